"""Surface EMG from raw recordings to an honest, reproducible, deployable classifier."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# What a user meets first; each is imported when it is first asked for, so that `import myograph` stays light.
_HOMES = {
    "errors": ("LeakageError", "MyographError"),
    "protocols": (
        "CrossSession",
        "KFoldRepetitions",
        "LeakyShuffledWindows",
        "LeaveOneSubjectOut",
        "PooledSubjects",
        "WithinSubject",
    ),
    "recording": ("Layout", "Recording"),
    "windows": ("Windowing", "Windows"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'myograph' has no attribute {name!r}")
    return getattr(importlib.import_module(f"myograph.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(["__version__", *_HOME_OF])

"""Surface EMG from raw recordings to an honest, reproducible, deployable classifier."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# What a user meets first; each is imported when it is first asked for, so that `import myograph` stays light.
_WHERE = {
    "Recording": "recording",
    "Layout": "recording",
    "Windowing": "windows",
    "Windows": "windows",
    "LeakageError": "errors",
    "MyographError": "errors",
}
for _name in ("WithinSubject", "KFoldRepetitions", "PooledSubjects", "LeaveOneSubjectOut", "CrossSession", "LeakyShuffledWindows"):
    _WHERE[_name] = "protocols"

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from myograph.errors import LeakageError, MyographError
    from myograph.protocols import (
        CrossSession,
        KFoldRepetitions,
        LeakyShuffledWindows,
        LeaveOneSubjectOut,
        PooledSubjects,
        WithinSubject,
    )
    from myograph.recording import Layout, Recording
    from myograph.windows import Windowing, Windows


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'myograph' has no attribute {name!r}")
    return getattr(importlib.import_module(f"myograph.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Surface EMG from raw recordings to an honest, reproducible, deployable classifier."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# What a user meets first; each is imported when it is first asked for, so that `import myograph` stays light.
_HOME_OF = {
    "CrossSession": "protocols",
    "Features": "estimators",
    "KFoldRepetitions": "protocols",
    "Layout": "recording",
    "LeakageError": "errors",
    "LeakyShuffledWindows": "protocols",
    "LeaveOneSubjectOut": "protocols",
    "MyographError": "errors",
    "NeuralClassifier": "training",
    "PooledSubjects": "protocols",
    "Recipe": "recipes",
    "Recording": "recording",
    "Scores": "results",
    "Windowing": "windows",
    "Windows": "windows",
    "WithinSubject": "protocols",
    "evaluate": "evaluation",
}
__all__ = ["__version__", *_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'myograph' has no attribute {name!r}")
    return getattr(importlib.import_module(f"myograph.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Surface EMG from raw recordings to an honest, reproducible, deployable classifier."""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# PyTorch's OpenMP threads (GNU's) wait busily for milliseconds after each parallel part, and so take the processors from
# threads that run compiled loops: a CNN-LSTM trained slower on two cores than on one. Read once, when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

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

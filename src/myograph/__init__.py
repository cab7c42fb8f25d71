"""Surface EMG from raw recordings to an honest, reproducible, deployable classifier."""

from __future__ import annotations

import sys

from myograph._common.lazy import Moved, attach

__version__ = "0.1.0"

# What a user meets first; each is imported when it is first asked for, so that `import myograph` stays light.
_HOME_OF = {
    "AuditedSplit": "audit",
    "CrossSession": "protocols",
    "Features": "features.transformer",
    "KFoldRepetitions": "protocols",
    "Layout": "recording",
    "LeakageError": "errors",
    "LeakageWarning": "errors",
    "LeakyShuffledWindows": "protocols",
    "LeaveOneSubjectOut": "protocols",
    "MyographError": "errors",
    "NeuralClassifier": "training.estimator",
    "PooledSubjects": "protocols",
    "Recipe": "evaluation.recipe",
    "Recording": "recording",
    "Scores": "evaluation.scores",
    "Windowing": "windows",
    "Windows": "windows",
    "WithinSubject": "protocols",
    "audited": "audit",
    "evaluate": "evaluation.run",
}
__all__ = ["__version__", *_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)

# Public modules of version 0.1.0 that lay at the top of the package.
_NEW_NAME_OF = {
    "adapt": "methods.adapt",
    "augment": "training.augment",
    "bursts": "preprocessing.bursts",
    "counting": "models.cost",
    "distributed": "training.distributed",
    "estimators": "features.transformer",
    "filters": "preprocessing.filters",
    "imitation": "training.imitation",
    "metrics": "evaluation.metrics",
    "quality": "datasets.quality",
    "report": "evaluation.report",
    "reproduction": "evaluation.reproduction",
    "results": "evaluation.scores",
    "settings": "evaluation.settings",
    "spatial": "preprocessing.spatial",
    "spectral": "features.images",
    "stats": "evaluation.stats",
    "transfer": "training.transfer",
}
sys.meta_path.append(Moved({f"{__name__}.{old}": f"{__name__}.{new}" for old, new in _NEW_NAME_OF.items()}))

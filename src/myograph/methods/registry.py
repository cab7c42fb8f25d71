"""`METHODS`: all methods by name. Each network is also a method with the same name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from myograph._common.registry import Factory, Registry
from myograph.models import MODELS


class Methods(Registry):
    """Registry of methods: classical methods under their own names, networks under those of their models.

    >>> "lda" in METHODS, "m5" in METHODS
    (True, True)
    >>> METHODS.summaries()["knn"]
    'k nearest neighbours on z-scored (and by default log-scaled) features.'
    """

    def __getitem__(self, name: str) -> Factory:
        if name not in self._entries and name not in self._index() and name in MODELS:
            from myograph.training.estimator import NeuralClassifier  # imports torch, which other methods do not need

            self._entries[name] = partial(NeuralClassifier, model=name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in MODELS

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*super().__iter__(), *MODELS}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def summaries(self) -> dict[str, str]:
        """Return each name with the first line of its docstring; that of a network is its model's."""
        return dict(sorted({**super().summaries(), **MODELS.summaries()}.items()))


METHODS = Methods("method", "myograph.methods", "METHODS")

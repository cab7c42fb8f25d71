"""Cut every training to a few epochs, to show that a run reaches its end; the scores then mean nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from myograph.evaluation.recipe import Recipe

T = TypeVar("T")


def shortened(thing: T, epochs: int) -> T:
    """Return a copy in which no number of epochs is above `epochs`.

    A number of epochs is a whole number named `epochs`, or whose name ends in `_epochs`. It is found in mappings, lists,
    tuples, dataclasses and scikit-learn estimators, and in those that they hold. Of a recipe only the method and its
    options are searched.

    >>> shortened({"epochs": 30, "pretrain_epochs": 0, "lr": 2}, 1)
    {'epochs': 1, 'pretrain_epochs': 0, 'lr': 2}
    """
    if isinstance(thing, Recipe):
        parts = {name: _cut("", getattr(thing, name), epochs) for name in ("method", "method_options")}
        return cast(T, dataclasses.replace(thing, **parts))
    return _cut("", thing, epochs)


def _cut(name: str, value: Any, most: int) -> Any:
    if isinstance(value, int) and (name == "epochs" or name.endswith("_epochs")):
        return min(value, most)
    if isinstance(value, Mapping):
        return {key: _cut(str(key), each, most) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_cut("", each, most) for each in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **_cut("", given, most))
    return _cut_estimator(value, most) if hasattr(value, "get_params") and not isinstance(value, type) else value


def _cut_estimator(estimator: Any, most: int) -> Any:
    from sklearn.base import clone

    fresh: Any = clone(estimator)
    return fresh.set_params(**_cut("", estimator.get_params(deep=False), most))

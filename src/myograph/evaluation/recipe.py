"""`Recipe`: everything that makes a run, as one frozen value. Each file here adds recipes under a name."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError
from myograph.protocols import Protocol, WithinSubject
from myograph.windows import Cutter, Windowing

RECIPES = Registry("recipe", "myograph.recipes")
DEFAULT_METHOD = "lda_svm"


@dataclass(frozen=True)
class Published:
    """A figure of a paper: what it measures, its value, where it stands, and how far it was verified."""

    setting: str
    value: float
    std: float | None = None
    source: str = ""
    status: Literal["verified", "secondary", "derived", "our choice"] = "verified"


@dataclass(frozen=True)
class Recipe:
    """One evaluation, whole.

    Parameters
    ----------
    name : what the run is called.
    dataset : a name of the registry, or a `Dataset` with its options set.
    dataset_options : options for a data set given by name.
    subjects : names of those to use; None uses all.
    filters : applied to every recording, in order, before it is cut.
    windowing : `Windowing` or `Bursts`.
    rest : what becomes of windows of rest: "drop", "keep", or "balance" (keep as many a subject as the average
        gesture has, drawn with `seed`).
    method : a name of the registry, or any scikit-learn estimator over windows.
    method_options : options for a method given by name.
    protocol : who trains and who tests.
    seed : of the method, of rest balancing; a protocol's own seed is its own field.
    published : the paper's figures for this setting, printed beside ours.
    """

    name: str
    dataset: Any
    protocol: Protocol = field(default_factory=WithinSubject)
    method: Any = DEFAULT_METHOD
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] | None = None
    filters: tuple[Any, ...] = ()
    windowing: Cutter = field(default_factory=lambda: Windowing(250.0, 50.0))
    rest: Literal["drop", "keep", "balance"] = "drop"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        for name in ("dataset_options", "method_options"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.rest not in ("drop", "keep", "balance"):
            raise ConfigError(f"rest is 'drop', 'keep' or 'balance', got {self.rest!r}")
        if not callable(getattr(self.protocol, "folds", None)):
            raise ConfigError(
                f"protocol is one of myograph's protocols, got {self.protocol!r}; wrap your own split in a class "
                "derived from myograph.protocols.Protocol"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, MappingProxyType) else v for k, v in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            object.__setattr__(self, key, MappingProxyType(value) if isinstance(value, dict) else value)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain values, as it stands in results and in the report."""
        return {f.name: describe(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def identity(self, data_hashes: Mapping[str, str]) -> str:
        """SHA-256 of all that decides the run: every field but the published figures, and the data themselves."""
        decides = {k: v for k, v in self.as_dict().items() if k != "published"}
        text = json.dumps({"recipe": decides, "data": dict(data_hashes)}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def describe(value: Any) -> Any:
    """A value of a recipe as JSON: a dataclass or estimator becomes its type and its parameters, an array a hash."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if hasattr(value, "get_params"):
        parameters = {k: describe(v) for k, v in value.get_params(deep=False).items()}
        return {"type": type(value).__name__, **parameters}
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "__array__") and not isinstance(value, type):
        return _describe_array(np.asarray(value.detach().cpu() if hasattr(value, "detach") else value))
    if isinstance(value, functools.partial):
        return {"type": "partial", **{k: describe(getattr(value, k)) for k in ("func", "args", "keywords")}}
    if callable(value) and hasattr(value, "__qualname__"):
        name = f"{value.__module__}.{value.__qualname__}"
        return f"{name} {_code_hash(value)}" if "<" in name and hasattr(value, "__code__") else name
    if type(value).__repr__ is object.__repr__:  # shows an address in memory, which is another one in each process
        return {"type": type(value).__name__, **{k: describe(v) for k, v in vars(value).items()}}
    return str(value)


def _describe_array(array: np.ndarray) -> Any:
    if array.size <= 32 and array.dtype.kind in "iufbU":
        return array.tolist()
    content = np.ascontiguousarray(array) if array.dtype.kind != "O" else repr(array.tolist()).encode()
    return f"{array.dtype} {array.shape} {hashlib.sha256(content).hexdigest()}"


def _code_hash(function: Any) -> str:
    """Functions without a name of their own are told apart by what they do."""
    code = function.__code__
    constants = [c for c in code.co_consts if not hasattr(c, "co_code")]
    return hashlib.sha256(code.co_code + repr((constants, code.co_names)).encode()).hexdigest()[:16]


def baseline(dataset: str, method: str = DEFAULT_METHOD, **options: Any) -> Recipe:
    """The recipe of a data set that has none of its own: its usual protocol and windows, and a method by name."""
    from myograph.datasets.base import DATASETS

    if dataset.endswith(".toml"):  # a description of the user's own folder
        dataset, options = "folder", {"path": dataset, **options}
    usual = DATASETS.create(dataset, **options)
    return Recipe(
        name=f"{dataset}-{method}",
        dataset=dataset,
        dataset_options=options,
        protocol=usual.protocol,
        windowing=usual.windowing,
        method=method,
    )

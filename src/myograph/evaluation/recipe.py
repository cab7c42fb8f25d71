"""`Recipe`: the complete definition of a run, as one frozen value."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from myograph._common.fields import ADDED, decisive
from myograph.errors import ConfigError
from myograph.evaluation.identity import Description, describe, is_own
from myograph.evaluation.registry import RECIPES
from myograph.evaluation.transfer import AdaptOn, How, Transfer
from myograph.protocols import Protocol, WithinSubject
from myograph.windows import Cutter, Windowing

__all__ = ["DEFAULT_METHOD", "RECIPES", "Published", "Recipe", "baseline", "describe"]

DEFAULT_METHOD = "smoothed"


@dataclass(frozen=True)
class Published:
    """A published figure.

    Parameters
    ----------
    setting : what it measures, in the paper's words.
    value, std : value and standard deviation in the paper's unit, usually percent; std is None if the paper gives none.
    source : the table or figure and the paper's DOI.
    status : "verified" in the paper itself, "secondary" (quoted from another paper), "derived" from its figures, or
        "our choice".

    >>> Published("accuracy of 52 movements", 66.59, 6.4, "Table 2, doi:10.3389/fnbot.2016.00009").value
    66.59
    """

    setting: str
    value: float
    std: float | None = None
    source: str = ""
    status: Literal["verified", "secondary", "derived", "our choice"] = "verified"


@dataclass(frozen=True)
class Recipe:
    """One complete evaluation: data, filters, windows, method, protocol and seed.

    Parameters
    ----------
    name : name of the run.
    dataset : the name of a registered data set, or a `Dataset` with its options set.
    dataset_options : options of a data set given by name.
    subjects : names of the subjects to use; None uses all.
    filters : applied to every recording, in this order, before windows are cut.
    windowing : `Windowing` or `Bursts`.
    rest : what to do with windows of rest: "drop"; "keep"; or "balance", which keeps for each subject as many as the
        average gesture has, drawn at random with `seed`.
    method : the name of a registered method, or any scikit-learn estimator that takes Windows.
    method_options : options of a method given by name.
    protocol : the division into training and test windows.
    seed : seed of the method and of the balancing of rest; a protocol's seed is a field of the protocol.
    published : the paper's figures for this setting, shown beside ours.
    transfer, adapt_on, adapt_seconds : how the windows of the tested person or session are used, see `Transfer`.

    Raises
    ------
    ConfigError : an invalid `rest`, `protocol`, `transfer` or `adapt_on`.

    >>> from myograph import LeaveOneSubjectOut
    >>> recipe = Recipe("first", dataset="simulated", protocol=LeaveOneSubjectOut(), method="lda")
    >>> recipe.as_dict()["windowing"]["length_ms"]
    250.0
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
    transfer: How = field(default="pool", metadata=ADDED)
    adapt_on: AdaptOn = field(default="each session", metadata=ADDED)
    adapt_seconds: float | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        for name in ("dataset_options", "method_options"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.rest not in ("drop", "keep", "balance"):
            raise ConfigError(f"rest must be 'drop', 'keep' or 'balance', got {self.rest!r}")
        self.how_to_transfer()
        if not callable(getattr(self.protocol, "folds", None)):
            raise ConfigError(
                f"protocol must be one of myograph's protocols, got {self.protocol!r}; wrap your own split in a class "
                "derived from myograph.protocols.Protocol"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, MappingProxyType) else v for k, v in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            object.__setattr__(self, key, MappingProxyType(value) if isinstance(value, dict) else value)

    def how_to_transfer(self) -> Transfer:
        """Return `transfer`, `adapt_on` and `adapt_seconds` as one value.

        >>> Recipe("example", "simulated", transfer="adapt").how_to_transfer().how
        'adapt'
        """
        return Transfer(self.transfer, self.adapt_on, self.adapt_seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, as shown in results and reports."""
        return {f.name: describe(getattr(self, f.name)) for f in decisive(self)}

    def identity(self, data_hashes: Mapping[str, str]) -> str:
        """Return the SHA-256 of everything that determines the run: every field except the published figures, and the
        data.

        The user's own functions and classes are included with their code; see `myograph.evaluation.identity`.

        Parameters
        ----------
        data_hashes : hash of the content of each recording, by name.

        >>> recipe = Recipe("example", "simulated")
        >>> recipe.identity({}) == Recipe("example", "simulated", seed=1).identity({})
        False
        """
        decides = {k: v for k, v in self.as_dict().items() if k != "published"}
        if code := own_code(self.method):
            decides["method_code"] = code
        text = json.dumps({"recipe": decides, "data": dict(data_hashes)}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def unknown_parts(self) -> list[str]:
        """Return the place and type of the parts that `identity` cannot describe, such as a compiled object that cannot
        be pickled.

        A run of such a recipe does not resume.

        >>> Recipe("example", "simulated").unknown_parts()
        []
        """
        description = Description()
        for f in dataclasses.fields(self):
            description.of(getattr(self, f.name), f.name)
        return description.unknown


def own_code(method: Any) -> Any:
    """Return a description of the code of a method or network that the user registered under a name; None for those of
    myograph, whose version is recorded, and for methods that are not given by name.

    >>> own_code("lda") is None
    True
    """
    from myograph.methods.registry import METHODS
    from myograph.models import MODELS

    if not isinstance(method, str) or method not in METHODS:
        return None
    factory = MODELS[method] if method in MODELS else METHODS[method]
    return describe(factory) if is_own(factory) else None


def baseline(dataset: str, method: str = DEFAULT_METHOD, **options: Any) -> Recipe:
    """Return a recipe for a data set, with its default protocol and windowing and the given method.

    Parameters
    ----------
    dataset : the name of a registered data set, or the path of a `.toml` description of a folder of recordings.
    method : the name of a registered method.
    options : options of the data set.

    Raises
    ------
    UnknownNameError : an unknown data set, or an option that it does not have.

    >>> baseline("simulated", "lda").name
    'simulated-lda'
    """
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

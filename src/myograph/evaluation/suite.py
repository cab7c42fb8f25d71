"""`Suite`: a grid of recipes, methods x data sets x protocols x seeds, as a frozen value or a TOML file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from myograph._common.files import sha256
from myograph._common.registry import Registry
from myograph.datasets.base import DATASETS, Dataset, get
from myograph.errors import ConfigError, DataError, unknown_name
from myograph.evaluation.recipe import DEFAULT_METHOD, Recipe
from myograph.evaluation.run import honest_protocols
from myograph.evaluation.settings import change
from myograph.methods.registry import METHODS
from myograph.models import MODELS
from myograph.protocols import Protocol

SUITES = Registry("suite", "myograph.evaluation.suites", "SUITES")
KEYS = {"name", "methods", "datasets", "protocols", "seeds", "filters", "windowing", "rest", "split", "set", "cluster"}


@dataclass(frozen=True)
class Method:
    """A method of a suite: a name of `METHODS`, its options, and its label in tables (by default its name).

    disturbance : kind and level of the disturbance at test time; see `myograph.evaluation.disturbed`.

    >>> Method("knn", {"k": 3}, label="3 neighbours").of_recipe()
    {'method': 'knn', 'method_options': {'k': 3}}
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    disturbance: tuple[str, float] | None = None

    def of_recipe(self, seed: int = 0) -> dict[str, Any]:
        """Return the fields of a recipe that define the method. A disturbed method is created here and needs the
        recipe's seed.
        """
        if self.disturbance is None:
            return {"method": self.name, "method_options": self.options}
        from myograph.evaluation.disturbed import Disturbed

        options = {**({"seed": seed} if _uses_seed(self.name) else {}), **self.options}
        return {"method": Disturbed(METHODS.create(self.name, **options), *self.disturbance)}


@dataclass(frozen=True)
class Data:
    """A data set of a suite: a name of `DATASETS`, its options, the subjects to use (all if None), and a label.

    >>> Data("simulated", {"n_subjects": 3}).dataset().subjects()
    ['1', '2', '3']
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] | None = None
    label: str = ""

    def dataset(self) -> Dataset:
        """Return the data set with its options."""
        return get(self.name, **self.options)


@dataclass(frozen=True)
class Suite:
    """A grid of recipes.

    Parameters
    ----------
    name : name of the suite.
    methods : names, or `Method`s; "all" stands for all registered ones, "networks" for the networks, and "classical" for
        those that neither are nor wrap another method. An adapter around another method is useful only with a transfer,
        so it is given by name.
    datasets : names, or `Data`; "present" stands for every registered data set whose files are present.
    protocols : `Protocol`s, or text as in `--set protocol=`. "usual" is the default protocol of each data set; "honest"
        stands for one protocol per question: new repetitions, new sessions, new people.
    seeds : seeds of the methods; a method without randomness is run once, with the first seed.
    filters, windowing, rest : as in `Recipe`; windowing None is the default of each data set.
    split : "person" makes a separate recipe for each person, for protocols that train and test within a person; a
        worker then holds the signals of one person at a time. None keeps all people of a data set together.
    settings : `key=value` settings for every recipe, as in `myograph run --set`.
    cluster : options of the batch system for `--cluster slurm`, such as queue, walltime, memory.
    also : further grids, whose cells follow those of this grid.

    Raises
    ------
    UnknownNameError : a method or data set that is not registered. ConfigError : an invalid value.

    >>> suite = Suite("two", methods=("lda", "knn"), datasets=("simulated",), protocols=("usual", "LeaveOneSubjectOut"))
    >>> [recipe.name for recipe in suite.cells()]
    ['simulated-lda', 'simulated-knn', 'simulated-lda', 'simulated-knn']
    """

    name: str
    methods: tuple[Method | str, ...] = (DEFAULT_METHOD,)
    datasets: tuple[Data | str, ...] = ("simulated",)
    protocols: tuple[Protocol | str, ...] = ("usual",)
    seeds: tuple[int, ...] = (0,)
    filters: tuple[Any, ...] = ()
    windowing: Any = None
    rest: Literal["drop", "keep", "balance"] = "drop"
    split: Literal["person"] | None = None
    settings: tuple[str, ...] = ()
    cluster: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Suite, ...] = ()

    def __post_init__(self) -> None:
        for name in ("methods", "datasets", "protocols", "seeds"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, (str, int, Method, Data, Protocol)) else tuple(value)
            if not value:
                raise ConfigError(f"suite {self.name!r}: {name} is empty; give at least one")
            object.__setattr__(self, name, value)
        if any(not isinstance(seed, int) or isinstance(seed, bool) for seed in self.seeds):
            raise ConfigError(f"suite {self.name!r}: seeds must be whole numbers, got {self.seeds!r}")
        if self.split not in (None, "person"):
            raise ConfigError(f"suite {self.name!r}: split must be 'person' or left out, got {self.split!r}")
        object.__setattr__(self, "methods", tuple(_methods(self.methods)))
        object.__setattr__(self, "datasets", tuple(_datasets(self.datasets)))
        for what in ("methods", "datasets"):
            shown: dict[str, Any] = {}
            for item in getattr(self, what):
                called = item.label or item.name
                if shown.setdefault(called, item) != item:
                    raise ConfigError(
                        f"suite {self.name!r}: two {what} have the label {called!r}; give each its own label"
                    )
        object.__setattr__(
            self, "protocols", tuple(p if isinstance(p, Protocol) else _protocol(p) for p in self.protocols)
        )

    def cells(self) -> list[Recipe]:
        """Return one recipe per cell, without duplicates, ordered so that neighbours share recordings, windows and
        folds.

        Raises
        ------
        UnknownNameError, ConfigError : options or settings that do not fit. DataError : the subjects of a data set that
            is split by person cannot be listed.
        """
        found: dict[str, Recipe] = {}
        for data in cast(tuple[Data, ...], self.datasets):
            dataset = data.dataset()
            for subjects in self._parts(data, dataset):
                for protocol in _protocols_of(self.protocols, dataset.protocol):
                    for method in cast(tuple[Method, ...], self.methods):
                        for recipe in self._of(data, dataset, subjects, protocol, method):
                            found.setdefault(recipe.identity({}), recipe)
        for other in self.also:
            for recipe in other.cells():
                found.setdefault(recipe.identity({}), recipe)
        return list(found.values())

    def _of(
        self, data: Data, dataset: Dataset, subjects: tuple[str, ...] | None, protocol: Protocol, method: Method
    ) -> Iterable[Recipe]:
        seeds = self.seeds if _uses_seed(method.name) or self.rest == "balance" else self.seeds[:1]
        for seed in seeds:
            recipe = Recipe(
                name=f"{data.label or data.name}-{method.label or method.name}",
                dataset=data.name,
                dataset_options=data.options,
                subjects=subjects,
                protocol=protocol,
                filters=self.filters,
                windowing=dataset.windowing if self.windowing is None else self.windowing,
                rest=self.rest,
                **method.of_recipe(seed),
                seed=seed,
            )
            yield change(recipe, self.settings)

    def _parts(self, data: Data, dataset: Dataset) -> list[tuple[str, ...] | None]:
        """Return the groups of subjects that have separate recipes."""
        from myograph.datasets.load import choose_subjects, locate

        if data.subjects is None and self.split is None:
            return [None]
        try:
            known = dataset.subjects(locate(dataset))
        except DataError:
            if self.split is None:
                return [data.subjects]  # each of its cells fails with this error
            raise
        chosen = choose_subjects(known, None if data.subjects is None else data.subjects, data.name)
        return [tuple(chosen)] if self.split is None else [(person,) for person in chosen]


def read_suite(path: str | Path) -> Suite:
    """Read a suite from a TOML file.

    Raises
    ------
    ConfigError : the file cannot be read, or a key or value does not fit. UnknownNameError : as in `Suite`.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "suite.toml"
    >>> _ = file.write_text('methods = ["lda", {name = "svm", C = 3.0, label = "svm, C=3"}]')
    >>> [recipe.name for recipe in read_suite(file).cells()]
    ['simulated-lda', 'simulated-svm, C=3']
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports]

    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}; give a suite as a TOML file, or the name of a built-in one: {', '.join(SUITES)}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a readable TOML file: {error}") from error
    return from_table(found, path.stem)


def from_table(found: Mapping[str, Any], name: str = "suite") -> Suite:
    """Create a suite from the content of a TOML file; `name` is used if the table has no name.

    Raises
    ------
    ConfigError, UnknownNameError : as in `read_suite`.

    >>> from_table({"methods": ["lda"], "seeds": [1, 2]}, "mine").seeds
    (1, 2)
    """
    for key in found:
        if key not in KEYS:
            raise unknown_name("key of a suite", key, KEYS)
    values: dict[str, Any] = {"name": str(found.get("name", name))}
    for key, make in (("methods", _method_of), ("datasets", _data_of), ("protocols", _text_of)):
        if key in found:
            values[key] = tuple(make(item) for item in _listed(found[key]))
    if "seeds" in found:
        values["seeds"] = tuple(_listed(found["seeds"]))
    settings = [f"filters={', '.join(map(str, _listed(found['filters'])))}"] if found.get("filters") else []
    if "windowing" in found and found["windowing"] != "usual":
        settings.append(f"windowing={found['windowing']}")
    settings += [f"{key}={_as_text(value)}" for key, value in _table(found, "set").items()]
    values.update({key: found[key] for key in ("rest", "split") if key in found})
    return Suite(**values, settings=tuple(settings), cluster=_table(found, "cluster"))


def load_modules(paths: Sequence[str | Path]) -> list[str]:
    """Run the user's own Python files, which register methods, networks or data sets; return the names of the modules.

    A file is run once per process. No other code of the user is run by a suite: a TOML file and a store only refer
    to registered names.

    Raises
    ------
    ConfigError : a file cannot be found, or its name is that of another module.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "methods_of_mine.py"
    >>> _ = file.write_text("from myograph.methods import METHODS")
    >>> load_modules([file])
    ['methods_of_mine']
    """
    names = []
    for given in paths:
        path = Path(given).resolve()
        if not path.is_file():
            raise ConfigError(f"there is no file {given}; --module needs a Python file that registers methods")
        content = sha256(path.read_bytes())
        known = sys.modules.get(path.stem)
        if known is not None and getattr(known, "_myograph_content", None) != content:
            raise ConfigError(
                f"a module named {path.stem!r} is already loaded from {getattr(known, '__file__', 'elsewhere')}; rename "
                f"{path.name}"
            )
        if known is None:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None:
                raise ConfigError(f"{given} is not a Python file; its name must end in .py")
            module = importlib.util.module_from_spec(spec)
            module._myograph_content = content  # type: ignore[attr-defined]
            sys.modules[path.stem] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[path.stem]
                raise
        names.append(path.stem)
    return names


def _methods(given: Iterable[Method | str]) -> Iterable[Method]:
    groups = {
        "all": list(METHODS),
        "networks": list(MODELS),
        "classical": [n for n in METHODS if n not in MODELS and not _wraps_another(n)],
    }
    for method in given:
        if isinstance(method, str) and method in groups:
            yield from map(Method, groups[method])
            continue
        method = Method(method) if isinstance(method, str) else method
        if method.name not in METHODS:
            raise unknown_name("method", method.name, [*METHODS, *groups])
        yield method


def _wraps_another(method: str) -> bool:
    """Whether a method has another one as a part, which its factory takes by name."""
    return bool({"classifier", "model"} & {*inspect.signature(METHODS[method]).parameters})


def _datasets(given: Iterable[Data | str]) -> Iterable[Data]:
    from myograph.datasets.load import is_here

    for data in given:
        if data == "present":
            yield from (Data(n) for n in DATASETS if n != "folder" and _needs_files(n) and is_here(n))
            continue
        data = Data(data) if isinstance(data, str) else data
        if data.name.endswith(".toml"):
            data = Data(
                "folder", {"path": data.name, **data.options}, data.subjects, data.label or Path(data.name).stem
            )
        data.dataset()  # checks its name and options
        yield data


def _needs_files(name: str) -> bool:
    return bool(getattr(DATASETS[name], "needs_files", True))


def _protocol(text: str) -> Protocol | str:
    if text in ("usual", "honest"):
        return text
    return change(Recipe("suite", "simulated"), [f"protocol={text}"]).protocol


def _protocols_of(given: Iterable[Protocol | str], usual: Protocol) -> Iterable[Protocol]:
    for protocol in given:
        if isinstance(protocol, Protocol):
            yield protocol
        else:
            yield from [usual] if protocol == "usual" else honest_protocols(usual).values()


def _uses_seed(method: str) -> bool:
    return "seed" in inspect.signature(METHODS[method]).parameters


def _method_of(item: Any) -> Method | str:
    if isinstance(item, str):
        return item
    item = _named(item, "method")
    return Method(item.pop("name"), label=str(item.pop("label", "")), options=_tuples(item))


def _data_of(item: Any) -> Data | str:
    if isinstance(item, str):
        return item
    item = _named(item, "data set")
    subjects = item.pop("subjects", None)
    chosen = (
        None if subjects is None else tuple(str(s).strip() for part in _listed(subjects) for s in str(part).split(","))
    )
    return Data(item.pop("name"), label=str(item.pop("label", "")), subjects=chosen, options=_tuples(item))


def _named(item: Any, what: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ConfigError(f"a {what} of a suite must be a name, or a table with a name and options, got {item!r}")
    return dict(item)


def _text_of(item: Any) -> str:
    if not isinstance(item, str):
        raise ConfigError(
            f"a protocol of a suite must be text such as 'LeaveOneSubjectOut(calibration=0.2)', got {item!r}"
        )
    return item


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _table(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"[{key}] of a suite must be a table, got {value!r}")
    return value


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)

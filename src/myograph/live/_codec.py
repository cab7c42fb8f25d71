"""Fitted estimators and settings as JSON and arrays, from a closed list of types; reading imports nothing that a file
names.

A file holds only the name of a class, not its import path. The name is looked up among myograph's classes,
scikit-learn's public estimators, and classes passed by the caller. Estimators are created without their constructors
(`cls.__new__(cls)`) and their attributes are restored. Only settings, which check their own values, are constructed
normally.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator

from myograph.errors import ConfigError, DataError
from myograph.recording import Layout
from myograph.windows import Windowing

MOST_NESTED = 60
# The trees of scikit-learn's neighbours are rebuilt from their points. The windows that a method was fitted on matter
# for a score, not for a decoder.
NOT_WRITTEN = ("_tree", "_seen")

ESTIMATORS_IN = ("myograph.features", "myograph.methods")


class Encoder:
    """Turns a value into JSON; its arrays are collected in `arrays` under names that the JSON refers to.

    Parameters
    ----------
    classes : the caller's own classes that may be written, in addition to the closed list.
    """

    def __init__(self, classes: Iterable[type] = ()):
        self.arrays: dict[str, np.ndarray] = {}
        self._own = {c.__name__: c for c in classes}
        self._seen: dict[int, tuple[Any, Any]] = {}

    def encode(self, value: Any, where: str = "value") -> Any:
        """Return the value as JSON. Raises
        ------
        ConfigError : a part of the value has a type that is not on the list; the message says where.
        """
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if np.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, np.generic) and value.dtype.kind in "biufU":
            return {"$": "scalar", "dtype": value.dtype.str, "value": self.encode(value.item())}
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, (list, tuple)):
            items = [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
            return items if type(value) is list else {"$": "tuple", "items": items}
        if isinstance(value, (dict, MappingProxyType)):
            pairs = [[self.encode(k, where), self.encode(v, f"{where}.{k}")] for k, v in value.items()]
            return {"$": "dict", "pairs": pairs}
        return self._object(value, where)

    def _array(self, value: np.ndarray, where: str) -> Any:
        if value.dtype.kind in "biuf":
            name = f"a{len(self.arrays)}"
            self.arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
            order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
            return {"$": "array", "name": name, "order": order}
        if value.dtype.kind == "U":
            return {"$": "names", "dtype": value.dtype.str, "shape": list(value.shape), "items": value.ravel().tolist()}
        if value.dtype.kind == "O":
            items = [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value.ravel())]
            return {"$": "objects", "shape": list(value.shape), "items": items}
        raise ConfigError(f"{where} is an array of {value.dtype}, which a decoder's file cannot hold")

    def _object(self, value: Any, where: str) -> Any:
        name = type(value).__name__
        if isinstance(value, np.ufunc) and getattr(np, value.__name__, None) is value:
            return {"$": "ufunc", "name": value.__name__}
        if isinstance(value, np.random.RandomState):
            return None  # fitted methods predict without random numbers; a later fit uses a new generator
        if name == "Tree" and type(value).__module__ == "sklearn.tree._tree":
            return self._tree(value, where)
        if name in settings() and type(value) is settings()[name]:
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(cast(Any, value)) if f.init}
            return {"$": "settings", "class": name, "fields": self.encode(fields, where)}
        if _class(name, self._own) is type(value):
            if name == "NeuralClassifier":
                return {"$": "network", "file": self._array(_network_bytes(value), where)}
            if id(value) not in self._seen:  # an estimator may occur in several places
                state = {k: v for k, v in vars(value).items() if k not in NOT_WRITTEN}
                self._seen[id(value)] = value, {"$": "estimator", "class": name, "state": self.encode(state, where)}
            return self._seen[id(value)][1]
        raise ConfigError(
            f"{where} is a {type(value).__module__}.{name}, which a decoder's file cannot hold: it holds methods of the "
            "registry, scikit-learn's estimators made of plain values and arrays, and classes given as classes=[...]"
        )

    def _tree(self, tree: Any, where: str) -> Any:
        _, (n_features, n_classes, n_outputs), state = tree.__reduce__()
        nodes = state["nodes"]
        fields = {name: self._array(np.ascontiguousarray(nodes[name]), where) for name in nodes.dtype.names}
        return {
            "$": "tree",
            "n_features": int(n_features),
            "n_classes": self._array(np.asarray(n_classes), where),
            "n_outputs": int(n_outputs),
            "max_depth": int(state["max_depth"]),
            "nodes": fields,
            "values": self._array(state["values"], where),
        }


class Decoded:
    """Restores a value from the JSON and the arrays of `Encoder`.

    Parameters
    ----------
    arrays : arrays by name. classes : the caller's own classes that the file may contain.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], classes: Iterable[type] = ()):
        self._arrays = arrays
        self._own = {c.__name__: c for c in classes}

    def decode(self, value: Any, depth: int = 0) -> Any:
        """Return the value. Raises
        ------
        DataError : a class or form that is not on the closed list, or inconsistent parts.
        """
        if depth > MOST_NESTED:
            raise DataError(f"values are nested deeper than {MOST_NESTED} levels, which no decoder needs")
        if isinstance(value, list):
            return [self.decode(v, depth + 1) for v in value]
        if not isinstance(value, dict):
            return value
        make: Callable[[dict[str, Any], int], Any] | None = getattr(self, f"_{value.get('$')}", None)
        if value.get("$") not in FORMS or make is None:
            raise DataError(f"a decoder's file has no form {value.get('$')!r}")
        return make(value, depth + 1)

    def _float(self, value: dict[str, Any], depth: int) -> float:
        return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[value["value"]]

    def _scalar(self, value: dict[str, Any], depth: int) -> np.generic:
        dtype = np.dtype(str(value["dtype"]))
        if dtype.kind not in "biufU":
            raise DataError(f"a scalar of {dtype} is not on the list")
        return cast(np.generic, np.array(self.decode(value["value"], depth), dtype)[()])

    def _array(self, value: dict[str, Any], depth: int) -> np.ndarray:
        return np.array(self._arrays[value["name"]], order="F" if value["order"] == "F" else "C")

    def _names(self, value: dict[str, Any], depth: int) -> np.ndarray:
        dtype = np.dtype(str(value["dtype"]))
        if dtype.kind != "U" or dtype.itemsize > 4 * 10_000:
            raise DataError(f"names must be an array of text, not of {dtype}")
        return np.array([str(v) for v in value["items"]], dtype=dtype).reshape(value["shape"])

    def _objects(self, value: dict[str, Any], depth: int) -> np.ndarray:
        array = np.empty(len(value["items"]), dtype=object)
        for i, item in enumerate(value["items"]):
            array[i] = self.decode(item, depth)
        return array.reshape(value["shape"])

    def _tuple(self, value: dict[str, Any], depth: int) -> tuple[Any, ...]:
        return tuple(self.decode(v, depth) for v in value["items"])

    def _dict(self, value: dict[str, Any], depth: int) -> dict[Any, Any]:
        return {self.decode(k, depth): self.decode(v, depth) for k, v in value["pairs"]}

    def _ufunc(self, value: dict[str, Any], depth: int) -> np.ufunc:
        found = getattr(np, str(value["name"]), None)
        if not isinstance(found, np.ufunc):
            raise DataError(f"NumPy has no universal function {value['name']!r}")
        return found

    def _settings(self, value: dict[str, Any], depth: int) -> Any:
        cls = settings().get(value["class"])
        if cls is None:
            raise DataError(f"there are no settings named {value['class']!r}; is the file of a later version?")
        return cls(**self.decode(value["fields"], depth))

    def _estimator(self, value: dict[str, Any], depth: int) -> Any:
        cls = _class(value["class"], self._own)
        if cls is None:
            raise DataError(
                f"the decoder holds a {value['class']!r}, which is not a class of myograph or scikit-learn; if it is "
                "your own class, pass it: Decoder.load(path, classes=[...])"
            )
        made: Any = object.__new__(cls)
        state = self.decode(value["state"], depth)
        if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
            raise DataError(f"the attributes of a {value['class']} have no names")
        made.__dict__.update(state)
        _finish(made)
        return made

    def _network(self, value: dict[str, Any], depth: int) -> Any:
        return _network_of(self._array(value["file"], depth))

    def _tree(self, value: dict[str, Any], depth: int) -> Any:
        from sklearn.tree._tree import NODE_DTYPE, Tree

        columns = {k: self._array(v, depth) for k, v in value["nodes"].items()}
        if set(columns) != set(NODE_DTYPE.names):
            raise DataError("a decision tree was written by another version of scikit-learn; train the decoder again")
        n = len(columns["feature"])
        nodes: Any = np.zeros(n, NODE_DTYPE)
        for name, column in columns.items():
            nodes[name] = column
        inner = nodes["left_child"] != -1
        own = np.arange(n)
        for side in ("left_child", "right_child"):
            child = nodes[side][inner]
            if ((child <= own[inner]) | (child >= n)).any():
                raise DataError("a decision tree's nodes do not form a tree; the file is damaged")
        feature = nodes["feature"][inner]
        if ((feature < 0) | (feature >= value["n_features"])).any():
            raise DataError("a decision tree uses a feature that does not exist; the file is damaged")
        tree = Tree(value["n_features"], self._array(value["n_classes"], depth).astype(np.intp), value["n_outputs"])
        state = {"max_depth": value["max_depth"], "node_count": n, "nodes": nodes}
        tree.__setstate__({**state, "values": self._array(value["values"], depth)})
        return tree


FORMS = (
    "float",
    "scalar",
    "array",
    "names",
    "objects",
    "tuple",
    "dict",
    "ufunc",
    "settings",
    "estimator",
    "network",
    "tree",
)


@functools.cache
def settings() -> dict[str, type]:
    """Return, by name, the classes that a file may hold as settings: frozen dataclasses that check their own values."""
    from myograph.live.postprocess import POSTPROCESSORS
    from myograph.preprocessing.filters import FILTERS

    classes = [
        Windowing,
        Layout,
        *(FILTERS[name] for name in FILTERS),
        *(POSTPROCESSORS[name] for name in POSTPROCESSORS),
    ]
    return {cast(type, c).__name__: cast(type, c) for c in classes}


def _class(name: str, own: Mapping[str, type]) -> type | None:
    return own.get(name) or _ours().get(name) or _scikit_learns().get(name)


@functools.cache
def _ours() -> dict[str, type]:
    """Return myograph's estimators, and the dataclasses that fitted ones hold: the classes defined in `features` and `methods`,
    and networks."""
    from myograph.training.estimator import NeuralClassifier

    found: dict[str, type] = {"NeuralClassifier": NeuralClassifier}
    for folder in ESTIMATORS_IN:
        package = importlib.import_module(folder)
        names = [folder, *(m.name for m in pkgutil.iter_modules(package.__path__, f"{folder}.") if not m.ispkg)]
        for name in names:
            own = [t for t in vars(importlib.import_module(name)).values() if getattr(t, "__module__", "") == name]
            classes = [t for t in own if isinstance(t, type)]
            found |= {t.__name__: t for t in classes if issubclass(t, BaseEstimator) or dataclasses.is_dataclass(t)}
    return found


@functools.cache
def _scikit_learns() -> dict[str, type]:
    from sklearn.utils import all_estimators

    return dict(all_estimators())


def _finish(made: Any) -> None:
    """Restore what an estimator has besides its attributes, and check what its compiled code relies on."""
    from sklearn.neighbors import BallTree, KDTree
    from sklearn.svm import SVC

    if hasattr(made, "_fit_method"):  # neighbours
        kind: Any = {"kd_tree": KDTree, "ball_tree": BallTree}.get(made._fit_method)
        metric = {"metric": made.effective_metric_, **made.effective_metric_params_}
        made._tree = None if kind is None else kind(made._fit_X, made.leaf_size, **metric)
    if isinstance(made, SVC) and hasattr(made, "dual_coef_"):
        n = len(cast(np.ndarray, made.support_vectors_))
        sizes = (int(np.sum(made._n_support)), cast(np.ndarray, made.dual_coef_).shape[1], len(made.support_))
        if sizes != (n, n, n):
            raise DataError("the arrays of a support vector machine are inconsistent; the file is damaged")


def _network_bytes(network: Any) -> np.ndarray:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = network.save(Path(folder) / "network.safetensors")
        return np.frombuffer(path.read_bytes(), np.uint8)


def _network_of(content: np.ndarray) -> Any:
    import tempfile
    from pathlib import Path

    from myograph.training.estimator import NeuralClassifier

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        path.write_bytes(content.astype(np.uint8).tobytes())
        return NeuralClassifier.load(path, device="cpu")

"""Parameters as JSON, with a closed table of types: reading a file imports or calls nothing that the file names.

`encode` writes plain values, tuples, dictionaries, arrays, and the classes in `_classes()`, and `decode` restores them.
For any other class or function the file holds only its name, and the class itself is passed when the file is loaded, as
in `NeuralClassifier.load(path, model=MyNet)`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from myograph.errors import ConfigError, DataError, MyographError
from myograph.recording import Layout

DEEPEST = 32  # levels of nested lists and dictionaries; parameters need fewer than ten
_IN_TRAINING = {"FeatureImitatingNet": "imitation", "FeatureImitation": "imitation", "LayerwiseAutoencoder": "transfer"}
_OPTIMIZERS = {
    f"torch.optim.{name}": value
    for name, value in vars(torch.optim).items()
    if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
}
# Version 0.1.0 wrote the path of a class instead of a name. These texts are looked up and never imported.
_OLD_NAMES = {
    "myograph.recording:Layout": "Layout",
    **{f"myograph.{module}:{name}": name for name, module in _IN_TRAINING.items()},
    **{f"myograph.training.{module}:{name}": name for name, module in _IN_TRAINING.items()},
    **{f"{value.__module__}:{value.__qualname__}": name for name, value in _OPTIMIZERS.items()},
}


class Yours(DataError):
    """A file names a class or function that is not in the table, so the caller of `load` must pass it."""

    def __init__(self, name: str):
        super().__init__(f"the file needs {name!r}, which is not part of myograph")
        self.name = name


@functools.cache
def _classes() -> dict[str, type]:
    """Return all classes that a file may name. The modules of `training` that define some of them are imported on first
    use.
    """
    from myograph import training

    return {"Layout": Layout, **{name: getattr(training, name) for name in _IN_TRAINING}, **_OPTIMIZERS}


def encode(value: Any, name: str = "value") -> Any:
    """Return one parameter as JSON.

    Parameters
    ----------
    value : plain values, NumPy scalars and arrays, tuples, lists, dictionaries with any keys, dataclasses, classes and
        functions, in any nesting.
    name : name of the parameter in the error message.

    Raises
    ------
    ConfigError : an object without a name, such as a lambda or a local function.

    Examples
    --------
    >>> encode((1, "a"))
    {'$tuple': [1, 'a']}
    >>> encode(Layout(row=(0, 0), column=(0, 1)))["$dataclass"]
    'Layout'
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), name)
    if isinstance(value, (os.PathLike, torch.device)):
        return str(value)
    if isinstance(value, (list, tuple)):
        items = [encode(v, name) for v in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, np.ndarray):
        return {"$array": encode(value.tolist(), name), "dtype": value.dtype.str}
    if isinstance(value, Mapping):
        return {"$pairs": [[encode(k, name), encode(v, name)] for k, v in value.items()]}
    known = {cls: short for short, cls in _classes().items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name), name) for f in dataclasses.fields(value) if f.init}
        if type(value) in known:
            return {"$dataclass": known[type(value)], "fields": fields}
        return {"$yours": _full_name(type(value), name), "fields": fields}
    if isinstance(value, type) and value in known:
        return {"$class": known[value]}
    if callable(value):
        return {"$yours": _full_name(value, name)}
    raise ConfigError(
        f"{name}={value!r} ({type(value).__name__}) cannot be written as JSON; give a name, plain values, or "
        "a class or function"
    )


def _full_name(thing: Any, name: str) -> str:
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not qualname or "<" in qualname:
        raise ConfigError(
            f"{name}={thing!r} cannot be found by its name, so it cannot be saved; use a "
            "class or function that is defined at the top level of a module (not a lambda, not a local function)"
        )
    return f"{module}:{qualname}"


def decode(value: Any, depth: int = 0) -> Any:
    """Return the parameter that `encode` wrote.

    Raises
    ------
    Yours : a class or function is not in the table.
    DataError : a value that `encode` does not write.

    Examples
    --------
    >>> decode({"$tuple": [1, "a"]})
    (1, 'a')
    >>> decode({"$yours": "os:system"})
    Traceback (most recent call last):
    myograph.training.values.Yours: the file needs 'os:system', which is not part of myograph
    """
    if depth > DEEPEST:
        raise DataError(f"values are nested in more than {DEEPEST} levels")
    if isinstance(value, list):
        return [decode(v, depth + 1) for v in value]
    if not isinstance(value, dict):
        return value
    try:
        if "$tuple" in value:
            return tuple(decode(list(value["$tuple"]), depth + 1))
        if "$array" in value:
            return _array(decode(value["$array"], depth + 1), value["dtype"])
        if "$pairs" in value:
            return {decode(k, depth + 1): decode(v, depth + 1) for k, v in value["$pairs"]}
        if "$yours" in value:
            raise Yours(str(value["$yours"]))
        if "$dataclass" in value:
            cls = _known(value["$dataclass"])
            if not dataclasses.is_dataclass(cls):
                raise DataError(f"{value['$dataclass']!r} has no fields")
            return cls(**{k: decode(v, depth + 1) for k, v in value["fields"].items()})
        return _known(value["$class"] if "$class" in value else value["$import"])
    except MyographError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"a value is not written as myograph writes it ({error})") from error


def _known(name: Any) -> type:
    classes = _classes()
    short = _OLD_NAMES.get(str(name), str(name))
    if short not in classes:
        raise Yours(str(name))
    return classes[short]


def _array(values: Any, dtype: Any) -> np.ndarray:
    """Return an array of labels or numbers. The length of texts is taken from the values, since a file could state a
    huge one.
    """
    wanted = np.dtype(dtype if isinstance(dtype, str) else "V")
    if wanted.kind not in "biufUO":
        raise DataError(f"an array of dtype {dtype!r} holds neither labels nor numbers")
    array = np.array(values, dtype=str if wanted.kind == "U" else wanted)
    return array

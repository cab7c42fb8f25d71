"""`key=value` settings of the command line, applied to a recipe.

A value is a Python literal, a name, or a call that constructs a protocol, windowing or filter. Nothing else is run.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from myograph.errors import ConfigError, MyographError, unknown_name
from myograph.evaluation.recipe import Recipe
from myograph.protocols import LeakyShuffledWindows

Changed = TypeVar("Changed")
WORDS = {"true": True, "false": False, "none": None}
# `dataset.x` and `method.x` set the options of a data set or method given by name.
OPTIONS_OF = {"dataset": "dataset_options", "method": "method_options"}


def change(recipe: Changed, settings: Iterable[str]) -> Changed:
    """Return the recipe (or another frozen dataclass) with all `key=value` settings applied in order.

    Raises
    ------
    UnknownNameError : an unknown key, or an unknown protocol, windowing or filter.
    ConfigError : a value that does not fit its key.

    >>> recipe = Recipe("example", dataset="simulated")
    >>> changed = change(recipe, ["seed=3", "windowing.length_ms=150", "protocol=LeaveOneSubjectOut", "subjects=1,2"])
    >>> changed.seed, changed.windowing.length_ms, changed.protocol, changed.subjects
    (3, 150, LeaveOneSubjectOut(calibration=0.0), ('1', '2'))
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"a setting must be key=value, got {setting!r}; for example windowing.length_ms=250")
        recipe = _set(recipe, key.strip().split("."), parse(text.strip()), key.strip())
    return recipe


def parse(text: str) -> Any:
    """Return the value of a setting: a literal, a constructor call, a list separated by commas, or else the text
    itself.

    Raises
    ------
    UnknownNameError, ConfigError : a call of an unknown constructor, or with invalid fields.

    >>> parse("WithinSubject(test_repetitions=(2, 5))")
    WithinSubject(test_repetitions=(2, 5), train_repetitions=None)
    >>> parse("MAV, WL"), parse("2.5"), parse("true"), parse("left hand")
    (('MAV', 'WL'), 2.5, True, 'left hand')
    """
    try:
        return _value(ast.parse(text, mode="eval").body)
    except MyographError:  # raised by a call; also a ValueError, but with a message of its own
        raise
    except (SyntaxError, ValueError):
        pass
    except (RecursionError, MemoryError) as error:  # raised by Python's parser for thousands of brackets
        raise ConfigError(f"the setting's value is nested too deeply: {text[:40]!r} …; write it more simply") from error
    if "," in text:
        return tuple(parse(part.strip()) for part in text.split(",") if part.strip())
    return text


def constructors() -> dict[str, type]:
    """Return name and class of everything that a setting may construct: every protocol, windowing and filter.

    >>> {"LeaveOneSubjectOut", "Windowing", "BandPass"} <= set(constructors())
    True
    """
    from myograph import protocols, windows
    from myograph.preprocessing import bursts, cutters, filters

    def of(module: Any) -> dict[str, type]:
        return {n: t for n, t in vars(module).items() if inspect.isclass(t) and dataclasses.is_dataclass(t)}

    mine = {**of(protocols), **of(windows), **of(cutters)}
    found = {
        name: t for name, t in mine.items() if t.__module__ in (protocols.__name__, windows.__name__, cutters.__name__)
    }
    found.pop("Fold", None)
    return {**found, **of(filters), "Bursts": bursts.Bursts}


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _construct(
            node.func.id,
            [_value(a) for a in node.args],
            {str(k.arg): _value(k.value) for k in node.keywords},
        )
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_value(e) for e in node.elts)
    if isinstance(node, ast.Name):
        return WORDS.get(node.id.lower(), node.id)
    return ast.literal_eval(node)


def _construct(name: str, args: list[Any], options: dict[str, Any]) -> Any:
    known = constructors()
    if name not in known:
        raise unknown_name("protocol, windowing or filter", name, known)
    _known_options(known[name], options)
    try:
        return known[name](*args, **options)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}; its fields are {inspect.signature(known[name])}") from error


def _set(target: Any, path: list[str], value: Any, key: str) -> Any:
    """Return a copy of a recipe, or of a part of it, with one value changed."""
    head, rest = path[0], path[1:]
    if isinstance(target, Recipe) and rest:
        head = OPTIONS_OF.get(head, head)
    if isinstance(target, (dict, types.MappingProxyType)):
        changed = dict(target)
        changed[head] = _set(changed.get(head, {}), rest, value, key) if rest else value
        return changed
    if not dataclasses.is_dataclass(target):
        raise ConfigError(
            f"{key}: a value of type {type(target).__name__} has no settings; remove {'.' + '.'.join(path)!r}"
        )
    fields = {f.name for f in dataclasses.fields(target)}
    if head not in fields:
        raise unknown_name(f"setting of {type(target).__name__}", head, fields)
    old = getattr(target, head)
    if rest:
        return dataclasses.replace(cast(Any, target), **{head: _set(old, rest, value, key)})
    return _replace(target, head, old, value, key)


def _replace(target: Any, name: str, old: Any, value: Any, key: str) -> Any:
    if isinstance(target, Recipe) and name in ("protocol", "windowing") and isinstance(value, str):
        value = _construct(value, [], {})
    if name in ("subjects", "filters", "published") or isinstance(old, tuple):
        value = value if isinstance(value, tuple) or value is None else (value,)
    if isinstance(target, Recipe) and name == "filters":
        value = tuple(_construct(v, [], {}) if isinstance(v, str) else v for v in value or ())
        for v in value:
            if not hasattr(v, "apply"):
                raise ConfigError(
                    f"{key} must be filters such as BandPass(20, 450), got {v!r}; see myograph.preprocessing"
                )
    if name == "subjects" and value is not None:
        value = tuple(str(v) for v in value)
    both_numbers = isinstance(old, (int, float)) and isinstance(value, (int, float))
    if old is not None and not both_numbers and isinstance(old, (int, float)) and value is not None:
        raise ConfigError(f"{key} must be a number (now {old!r}), got {value!r}")
    if name == "protocol" and not hasattr(value, "folds"):
        raise ConfigError(f"{key} must be a protocol such as WithinSubject, got {value!r}; see myograph.protocols")
    if isinstance(value, LeakyShuffledWindows) and value.honest is None:
        value = dataclasses.replace(value, honest=old)  # the protocol that it replaces is reported as the honest one
    try:
        return dataclasses.replace(target, **{name: value})
    except TypeError as error:
        raise ConfigError(f"{key}={value!r} does not fit: {error}") from error


def _known_options(factory: Any, options: dict[str, Any]) -> None:
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"field of {factory.__name__}", option, known)

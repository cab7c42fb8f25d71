"""A description, as plain values, of everything that determines a run: parameters, arrays, fitted state and user code.

A run resumes only if the description of its recipe is unchanged. Installed code (myograph, scikit-learn, …) is described by
its name; its version is recorded in the run. The user's own code has no version, so its content is described:

* bytecode with constants and nested functions, default values, closures and attributes;
* the global names that it uses, followed through the user's modules;
* the environment variables that it names;
* the whole text of each module that is imported inside a function.

Files that the code reads are not part of the description. Comments, line numbers and the names of local variables make no
difference. A different version of Python may compile the code to different bytecode; the run then does not resume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import importlib.util
import json
import os
import re
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from myograph._common.fields import decisive

# Attributes of a class that are not its own code: where it is defined, and what Python derives from the code.
_NOT_CODE = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__",
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__dataclass_fields__",
    "__dataclass_params__", "__match_args__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__",
    "__slots__", "__slotnames__",
}  # fmt: skip
# Installed types whose text is a complete description. The text of other types leaves out parts, such as the middle of an
# array, or contains a memory address, which differs between processes.
_TOLD_BY_TEXT = (
    bytes, bytearray, complex, range, slice, os.PathLike, enum.Enum, np.dtype, re.Pattern, type(...), type(NotImplemented),
    decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta,
)  # fmt: skip


def describe(value: Any) -> Any:
    """Return a JSON description of a value of a recipe.

    A dataclass or an estimator is described by its type and parameters, a large array by a hash, and a function or class of
    the user by its name and a hash of its code.

    >>> from myograph import WithinSubject
    >>> describe(WithinSubject((2, 5)))
    {'type': 'WithinSubject', 'test_repetitions': [2, 5], 'train_repetitions': None}
    """
    return Description().of(value)


class Description:
    """Describe values.

    Attributes
    ----------
    unknown : the place and the type of each value that cannot be described.
    own : whether any of the values so far contained the user's own code.

    Examples
    --------
    >>> description = Description()
    >>> description.of(np.array([1, 2]), name="weights") == description.of(np.array([1, 3]), name="weights")
    False
    >>> description.code(lambda x: x + 1) == description.code(lambda y: y + 1), description.unknown
    (True, [])
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.own = False
        self._path: list[str] = []
        self._open: set[int] = set()  # values whose description is in progress, so that circular references end
        self._code_of: dict[int, tuple[Any, str]] = {}

    def of(self, value: Any, name: str = "") -> Any:
        """Return the description. `name` is the name of the value within the whole, for the messages in `unknown`."""
        if value is None or isinstance(value, (str, int, float, bool)):
            return str(value) if is_own(type(value)) else value
        if id(value) in self._open:
            return f"the {type(value).__name__} that this is part of"
        self._open.add(id(value))
        self._path.append(name)
        try:
            return self._of(value)
        finally:
            self._path.pop()
            self._open.discard(id(value))

    def _of(self, value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: self._parameter(f.name, getattr(value, f.name)) for f in decisive(value)}
            return {"type": type(value).__name__, **fields, **self._beyond_parameters(value)}
        if hasattr(value, "get_params") and not isinstance(value, type):
            parameters = {k: self._parameter(k, v) for k, v in value.get_params(deep=False).items()}
            return {"type": type(value).__name__, **parameters, **self._beyond_parameters(value)}
        if isinstance(value, Mapping):
            made = {"": self.of(factory)} if (factory := getattr(value, "default_factory", None)) is not None else {}
            return {**{str(k): self.of(v, str(k)) for k, v in value.items()}, **made}
        if isinstance(value, (list, tuple)):
            return [self.of(v, str(i)) for i, v in enumerate(value)]
        if isinstance(value, (set, frozenset)):  # their order differs between processes
            return sorted((self.of(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True, default=str))
        if hasattr(value, "state_dict") and not isinstance(value, type):  # a torch module
            return self._module(value)
        if isinstance(value, np.ufunc):  # a ufunc made from a Python function shows only the name of the function
            return str(value) if getattr(np, value.__name__, None) is value else self._say_unknown(value)
        if isinstance(value, np.ma.MaskedArray):
            return [self.of(value.filled(0)), _describe_array(np.ma.getmaskarray(value))]
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):  # an array would lack their labels
            return {"type": type(value).__name__, "made from": self.of(list(value.__reduce__()))}
        if hasattr(value, "__array__") and not isinstance(value, type):
            array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
            return self.of(array.tolist()) if array.dtype.kind == "O" else _describe_array(array)
        if isinstance(value, functools.partial):
            return {"type": "partial", **{k: self.of(getattr(value, k), k) for k in ("func", "args", "keywords")}}
        if isinstance(value, types.MethodType):
            return {"type": "method", "of": self.of(value.__self__), "function": self.of(value.__func__)}
        if isinstance(value, types.ModuleType):
            return value.__name__
        if callable(value) and hasattr(value, "__qualname__"):
            name = f"{value.__module__}.{value.__qualname__}"
            return f"{name} {self.code(value)}" if is_own(value) or "<" in name else name
        return self._of_object(value)

    def _parameter(self, name: str, value: Any) -> Any:
        if name == "pretrained" and isinstance(value, (str, os.PathLike)) and Path(value).is_file():
            return {"file": str(value), "sha256": hashlib.sha256(Path(value).read_bytes()).hexdigest()}
        return self.of(value, name)

    def _beyond_parameters(self, value: Any) -> dict[str, Any]:
        """Describe the code of a user's type, and all attributes of a fitted estimator that are not parameters.

        This includes names that begin with "_", because some estimators of scikit-learn keep the training samples there.
        """
        held = getattr(value, "__dict__", {})
        if not hasattr(value, "get_params") or not any(map(is_fitted_name, held)):
            return self._own(value)
        parameters = value.get_params(deep=False)
        return {"fitted": {k: self.of(v, k) for k, v in held.items() if k not in parameters}, **self._own(value)}

    def _module(self, value: Any) -> dict[str, Any]:
        """Describe a torch module by its weights and by the code of the user's own layers in it."""
        layers = [m for m in getattr(value, "modules", list)() if m is not value and is_own(type(m))]
        inside = {"inside": [self.code(type(m)) for m in layers]} if layers else {}
        state = self.of(value.state_dict())
        return {"type": type(value).__name__, "text": str(value), "state": state, **self._own(value), **inside}

    def _own(self, value: Any) -> dict[str, Any]:
        return {"code": self.code(type(value))} if is_own(type(value)) else {}

    def _of_object(self, value: Any) -> Any:
        """Describe any other object by its attributes, by its text, or by what `__reduce_ex__` would rebuild it from."""
        if is_own(type(value)) or type(value).__repr__ is object.__repr__:
            if hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
                return {"type": type(value).__name__, **self.of(vars(value)), **self._own(value)}
        elif isinstance(value, _TOLD_BY_TEXT):
            return str(value)
        try:
            made = value.__reduce_ex__(4)
        except Exception:  # this runs code of the object or of an extension, which may raise anything
            return self._say_unknown(value)
        if isinstance(made, str):  # a name in the object's module
            return f"{type(value).__module__}.{made}"
        parts = [list(part) if isinstance(part, Iterator) else part for part in made]
        return {"type": type(value).__name__, "made from": self.of(parts), **self._own(value)}

    def _say_unknown(self, value: Any) -> str:
        where = ".".join(filter(None, self._path)) or "it"
        self.unknown.append(f"{where} ({type(value).__name__})")
        return f"unknown {type(value).__name__}"

    def code(self, thing: Any) -> str:
        """Return a hash of a user's function or class, including all of the user's code that it uses."""
        while not hasattr(thing, "__code__") and not isinstance(thing, type):
            wrapped = getattr(thing, "__wrapped__", None) or getattr(thing, "py_func", None)  # cached, or compiled
            if wrapped is None:
                return self._say_unknown(thing)
            thing = wrapped
        self.own = self.own or is_own(thing)
        if id(thing) not in self._code_of:
            # If functions call each other, one that is needed before its hash is complete is described by its name.
            self._code_of[id(thing)] = (thing, thing.__qualname__)
            parts = self._class(thing) if isinstance(thing, type) else self._function(thing)
            text = json.dumps(parts, sort_keys=True, default=str)
            self._code_of[id(thing)] = (thing, hashlib.sha256(text.encode()).hexdigest()[:16])
        return self._code_of[id(thing)][1]

    def _function(self, function: Any) -> Any:
        closure = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            with contextlib.suppress(ValueError):  # the cell is empty
                closure[name] = self.of(cell.cell_contents, name)
        used = sorted(set(_names(function.__code__)))
        within = names_in(function.__code__)
        known = function.__globals__
        outside: dict[str, Any] = {}
        if is_own(function):
            outside = {name: self._used(known[name], name, within) for name in used if name in known}
            outside |= _imported_inside(function.__code__, known.get("__package__") or "")
            if {"environ", "getenv"} & {*within}:
                outside["environment"] = {name: os.environ[name] for name in within if name in os.environ}
        attributes = {k: self.of(v, k) for k, v in vars(function).items() if k != "__wrapped__"}
        return {
            "code": _bytecode(function.__code__),
            "defaults": self.of([function.__defaults__, function.__kwdefaults__], function.__qualname__),
            "closure": closure,
            "globals": outside,
            **({"attributes": attributes} if attributes else {}),
        }

    def _used(self, value: Any, name: str, attributes: list[str]) -> Any:
        """Describe a global name that a function uses. A module of the user is described by the names used from it."""
        if not isinstance(value, types.ModuleType):
            return self.of(value, name)
        if not _is_own_module(value.__name__) or id(value) in self._open:
            return {"module": value.__name__}
        self._open.add(id(value))
        try:
            inside = {k: self._used(vars(value)[k], f"{name}.{k}", attributes) for k in attributes if k in vars(value)}
        finally:
            self._open.discard(id(value))
        return {"module": value.__name__, **inside}

    def _class(self, cls: type) -> Any:
        own = [c for c in cls.__mro__ if is_own(c)]
        return [
            {c.__qualname__: {k: self._member(k, v) for k, v in vars(c).items() if k not in _NOT_CODE}} for c in own
        ]

    def _member(self, name: str, value: Any) -> Any:
        if isinstance(value, (staticmethod, classmethod)):
            return [type(value).__name__, self.of(value.__func__, name)]
        if isinstance(value, property):
            return [self.of(part, name) for part in (value.fget, value.fset, value.fdel)]
        if isinstance(value, functools.cached_property):
            return self.of(value.func, name)
        if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return type(value).__name__
        if isinstance(value, types.FunctionType):  # it belongs to the class even if a decorator gave it another module
            return self.code(value)
        return self.of(value, name)


def is_fitted_name(name: str) -> bool:
    """Return whether a name is that of a fitted attribute in scikit-learn: it ends, but does not begin, with an underscore.

    >>> is_fitted_name("classes_"), is_fitted_name("_private_")
    (True, False)
    """
    return name.endswith("_") and not name.startswith("_")


def is_own(thing: Any) -> bool:
    """Return whether a function or class is the user's own: not from myograph, an installed package or the standard library.

    >>> is_own(np.mean)
    False
    """
    if isinstance(thing, types.FunctionType):  # a decorator may have given it the name and module of another function
        return _is_own_module(thing.__globals__.get("__name__") or "__main__")
    return _is_own_module(getattr(thing, "__module__", None) or "builtins")


@functools.lru_cache(maxsize=4096)
def _is_own_module(name: str, file: str | None = None) -> bool:
    top = name.partition(".")[0]
    if top in ("myograph", *sys.builtin_module_names) or top in sys.stdlib_module_names - {"__main__"}:
        return False
    file = file or getattr(sys.modules.get(name) or sys.modules.get(top), "__file__", None)
    if top == "__main__" or file is None:
        return True
    path = Path(file).resolve()
    roots = {sysconfig.get_path(key) for key in ("purelib", "platlib")}
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not any(root and path.is_relative_to(Path(root).resolve()) for root in roots)


def names_in(code: types.CodeType) -> list[str]:
    """Return the names that code uses and the strings in it, sorted. A string may be the name that `getattr` looks up.

    >>> names_in((lambda x: getattr(x, "mean")(axis=None)).__code__)
    ['getattr', 'mean']
    """
    return sorted({*_names(code), *_texts(code)})


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _texts(code: types.CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _texts(constant)
        elif isinstance(constant, str):
            yield constant


def _imported_inside(code: types.CodeType, package: str) -> dict[str, str]:
    """Return the hashes of the user's modules that code imports when it runs, and of the modules that these import."""
    found: dict[str, str] = {}
    todo = [(code, package)]
    while todo:
        code, package = todo.pop()
        todo += [(constant, package) for constant in code.co_consts if isinstance(constant, types.CodeType)]
        for name in _imports(code, package):
            if name in found:
                continue
            # A module that does not exist, or that is compiled and has no text, is left out.
            with contextlib.suppress(Exception):
                spec: Any = importlib.util.find_spec(name)
                text = Path(spec.origin).read_bytes()
                found[name] = hashlib.sha256(text).hexdigest()
                todo.append((compile(text, name, "exec"), spec.parent or ""))
    return {f"import {name}": text for name, text in found.items()}


def _imports(code: types.CodeType, package: str) -> Iterator[str]:
    """Yield the names of the user's modules that code imports; for `from a import b` also a.b, which may be a module."""
    for level, name, taken in _import_statements(code):
        base = importlib.util.resolve_name("." * level + name, package) if package else name
        top = None
        with contextlib.suppress(ImportError, ValueError):  # __main__ has no module specification
            top = importlib.util.find_spec(base.partition(".")[0])  # does not import the module
        if top is not None and _is_own_module(base, top.origin):
            yield base
            yield from (f"{base}.{inner}" for inner in taken)


@functools.lru_cache(maxsize=4096)
def _import_statements(code: types.CodeType) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """Return each import in the bytecode: the number of leading dots, the module, and the names imported from it."""
    steps, found = list(dis.get_instructions(code)), []
    for i, step in enumerate(steps):
        if step.opname != "IMPORT_NAME":
            continue
        level = next(s.argval for s in reversed(steps[:i]) if isinstance(s.argval, int))
        taken = []
        for following in steps[i + 1 :]:
            if following.opname == "IMPORT_FROM":
                taken.append(following.argval)
            elif not following.opname.startswith(("STORE", "EXTENDED_ARG")):
                break
        found.append((level, step.argval, tuple(taken)))
    return tuple(found)


def _bytecode(code: types.CodeType) -> Any:
    return [
        code.co_code.hex(),
        getattr(code, "co_exceptiontable", b"").hex(),
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        list(code.co_names),
        [_constant(c) for c in code.co_consts],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _bytecode(value)
    if isinstance(value, tuple):
        return [_constant(v) for v in value]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted(map(repr, value))]
    return f"{type(value).__name__} {value!r}"


def _describe_array(array: np.ndarray) -> Any:
    if array.size <= 32 and array.dtype.kind in "iufbU":
        return array.tolist()
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    return f"{array.dtype} {array.shape} {content.hexdigest()}"

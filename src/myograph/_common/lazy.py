"""Names of a package that are imported when they are first used, and modules that have moved."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def attach(package: str, home_of: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package whose names are defined in other modules.

    Parameters
    ----------
    package : the package's `__name__`.
    home_of : the module, relative to the package, that defines each name.

    Returns
    -------
    (`__getattr__`, `__dir__`), to be assigned in the package's `__init__`.
    """

    def __getattr__(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    return __getattr__, lambda: sorted([*home_of, *vars(sys.modules[package])])


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under their former names, with a DeprecationWarning.

    Parameters
    ----------
    new_name_of : full old module name to full new one.
    """

    def __init__(self, new_name_of: Mapping[str, str]):
        self.new_name_of = new_name_of

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.new_name_of else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new_name = self.new_name_of[spec.name]
        warnings.warn(f"{spec.name} has moved: import {new_name}", DeprecationWarning, stacklevel=2)
        module = ModuleType(spec.name, f"Moved to {new_name}.")
        moved = importlib.import_module(new_name)
        module.__getattr__ = lambda name: getattr(moved, name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module forwards to its new location."""

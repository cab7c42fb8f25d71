"""Named things found in a folder: one new file there is one new thing, with no second place to edit."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

from myograph.errors import ConfigError, unknown_name

Factory = Callable[..., Any]


class Registry:
    """Names to factories; the package named is imported, file by file, on first use.

    `@REGISTRY.register` takes a function or class under its own name (or its `name` attribute),
    `@REGISTRY.register("other")` under another; a clash of names is an error.
    """

    def __init__(self, kind: str, package: str):
        self.kind, self.package = kind, package
        self._entries: dict[str, Factory] = {}
        self._loaded = self._loading = False
        self._lock = threading.RLock()

    def register(self, given: str | Factory) -> Any:
        if isinstance(given, str):
            return lambda factory: self.add(given, factory)
        return self.add(getattr(given, "name", None) or given.__name__, given)

    def add(self, name: str, factory: Factory) -> Factory:
        known = self._entries.get(name)
        if known is not None and known is not factory:
            raise ConfigError(
                f"two {self.kind}s are named {name!r}: {known.__module__} and {factory.__module__}; rename one"
            )
        self._entries[name] = factory
        return factory

    def load(self) -> None:
        if self._loaded:
            return
        with self._lock:  # other threads wait until all is there
            if self._loaded or self._loading:  # a file that is being imported asks for another one's entry
                return
            self._loading = True
            try:
                package = importlib.import_module(self.package)
                for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                    if not module.name.startswith("_"):
                        importlib.import_module(f"{self.package}.{module.name}")
                self._loaded = True
            finally:
                self._loading = False

    def __getitem__(self, name: str) -> Factory:
        self.load()
        try:
            return self._entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._entries) from None

    def create(self, name: str, **options: Any) -> Any:
        """Call the factory, saying which options it knows when one is refused."""
        import inspect

        factory = self[name]
        parameters = inspect.signature(factory).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for option in options:
                if option not in parameters:
                    raise unknown_name(f"option of {self.kind} {name!r}", option, parameters)
        return factory(**options)

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self.load()
        return len(self._entries)

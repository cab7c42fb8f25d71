"""The extensions of numba's compiler for `myograph._common.jit`; the only module that uses undocumented parts of numba.

A damaged cache file is ignored and rewritten. A kernel is recompiled if the source of its module, or of a module that
this one uses, has changed. If the cache folder cannot be written, nothing is cached. If compilation takes longer than a
second in total, one line on stderr says so.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher
from numba.core.types import unliteral

_log = logging.getLogger(__name__)
PATIENCE_S = 1.0
DIGEST = 32  # bytes of a SHA-256


def loop(function: Callable[..., Any], cache: bool, options: dict[str, Any]) -> Any:
    """Compile a function that is called from Python."""
    made = _Loop(function, targetoptions={"nopython": True, "boundscheck": None, **options})
    if cache:
        made.enable_caching()
    return made


def inner_loop(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Compile a function that only kernels call."""
    hidden = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "nopython": True, "boundscheck": None}
    return _Loop(function, targetoptions={**options, **hidden}, pipeline_class=_PartCompiler)


class _Loop(CPUDispatcher):
    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Use one compiled version for all integers; numba would compile another for every constant argument."""
        return super().get_call_template([unliteral(a) for a in args], {k: unliteral(a) for k, a in kws.items()})

    def enable_caching(self) -> None:
        with contextlib.suppress(RuntimeError):  # no folder can be written: nothing is cached
            self._cache = _Cache(self.py_func)


class _PartLibrary(JITCodeLibrary):
    """LLVM code of a part; optimisation and machine code are left to the kernels into which it is linked."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _PartCompiler(Compiler):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.state.flags.no_compile = True  # no machine code, and therefore no function callable from Python
        if self.state.library is None:
            self.state.library = _PartLibrary(self.state.targetctx.codegen(), "part")
            self.state.library.enable_object_caching()

    def compile_extra(self, func: Any) -> Any:
        """Numba identifies a compiled function by its entry point; here this is a separate builtin method."""
        found = super().compile_extra(func)._replace(entry_point={}.__getitem__)
        self.state.targetctx.insert_user_function(found.entry_point, found.fndesc, [found.library])
        return found


class _Cache(FunctionCache):
    """The disk cache of one kernel: numba's, with checksums and a key that contains the kernel's sources."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        of = self._cache_file
        self._cache_file = _CheckedFile(of._cache_path, self._impl.filename_base, of._source_stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk, or a folder that has become read-only
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return *super()._index_key(sig, codegen), _sources(self._py_func.__module__)


class _CheckedFile(IndexDataCacheFile):
    """Index and data files, each with a SHA-256 of its name and content. Files that are damaged, or that were written for
    another loop, are treated as missing."""

    def _load_index(self) -> dict[Any, str]:
        version, stamp, overloads = self._read(self._index_path) or (None, None, {})
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, value: Any) -> None:
        content = self._dump(value)
        with self._open_for_write(path) as file:
            file.write(_digest(path, content) + content)

    @staticmethod
    def _read(path: str) -> Any:
        with contextlib.suppress(OSError):
            content = Path(path).read_bytes()
            if _digest(path, content[DIGEST:]) == content[:DIGEST]:
                return pickle.loads(content[DIGEST:])
        return None


def _digest(path: str, content: bytes) -> bytes:
    return hashlib.sha256(Path(path).name.encode() + b"\0" + content).digest()


@functools.cache
def _sources(module: str) -> str:
    """Return the SHA-256 of the sources of a module and of all modules of this package that it uses, and their
    constants.
    """
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in seen or not name.startswith("myograph.") or file is None:
            continue
        values = vars(sys.modules[name])
        constants = sorted((n, repr(v)) for n, v in values.items() if isinstance(v, (int, float, tuple)))
        seen[name] = hashlib.sha256(Path(file).read_bytes() + repr(constants).encode()).hexdigest()
        for value in values.values():
            if isinstance(value, ModuleType):
                waiting.append(value.__name__)
            elif isinstance(value, (FunctionType, CPUDispatcher)) or hasattr(value, "_defn"):  # an intrinsic
                waiting.append(str(value.__module__))
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()


class _Notice(event.Listener):
    """Prints once that loops are being compiled, when those of this package have taken PATIENCE_S in total.

    A loop compiles the loops that it calls, so starts and ends are nested; numba compiles in one thread at a time.
    """

    def __init__(self) -> None:
        self._depth, self._spent_s, self._begin, self._said = 0, 0.0, 0.0, False
        self._timer: threading.Timer | None = None

    def on_start(self, event: event.Event) -> None:
        if not _ours(event):
            return
        self._depth += 1
        if self._depth == 1 and not self._said:
            self._begin = time.monotonic()
            self._timer = threading.Timer(max(PATIENCE_S - self._spent_s, 0.0), self._say)
            self._timer.daemon = True
            self._timer.start()

    def on_end(self, event: event.Event) -> None:
        if not _ours(event):
            return
        self._depth -= 1
        if self._depth == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._spent_s += time.monotonic() - self._begin

    def _say(self) -> None:
        self._said = True
        _log.info("compiling loops")
        print("myograph: compiling numerical kernels once; later runs load them from disk", file=sys.stderr)


def _ours(found: event.Event) -> bool:
    return (found.data or {})["dispatcher"].py_func.__module__.startswith("myograph.")


event.register("numba:compile", _Notice())

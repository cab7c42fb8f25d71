"""Every fold of a run apart from the others: nothing that one leaves reaches the next.

myograph's own methods and those of installed packages keep what they learn in themselves, and each fold begins with a new
copy. The user's code may keep more without any bad intent, such as windows in a class attribute, or a fitted model in a
file. If what such a method keeps outside itself has changed, the fold runs in a process of its own. A file that was
written while an earlier fold ran cannot be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import random
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import numpy as np

from myograph._common.seen import no_leakage_warning
from myograph.errors import ConfigError, LeakageError
from myograph.evaluation.identity import Description, is_own, names_in
from myograph.evaluation.sealed import has_own_code

RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
CACHED = type(functools.lru_cache(len))
MOST_GROWTH = 1 << 32  # bytes by which a process may grow before it is replaced
_span: ContextVar[tuple[int, int] | None] = ContextVar("span", default=None)


def each_apart(
    work: Callable[..., Any], estimator: Any, calls: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, Any]]:
    """Yield (number of the call, `work(estimator, *call)`) of every call, as they are done.

    Parameters
    ----------
    work : a function of a module, so that another process finds it.
    jobs : number of parallel processes; -1 is one per core.

    Raises
    ------
    LeakageError : the user's code in the method changed something outside itself and cannot be pickled for a process of
        its own, or it reads a file that was written during an earlier call.
    ConfigError : a method that the user wrote met NaN.

    >>> dict(each_apart(max, 3, [(1,), (5,)], jobs=1))
    {0: 3, 1: 5}
    """
    import joblib

    state = state_of(estimator)
    method = None if state is None else pickled(estimator)
    if state is not None and method is None:
        state = state_of(estimator, trusting=True)
    begun = None if state is None else _file_clock()
    jobs = min(os.cpu_count() or 1 if jobs < 0 else max(jobs, 1), max(len(calls), 1))
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")
    here = [
        joblib.delayed(_here)(i, state, method is None, begun, work, estimator, call) for i, call in enumerate(calls)
    ]
    for i, done in cast(Iterable[tuple[int, tuple[Any] | None]], parallel(here)):
        yield i, done[0] if done else alone(method, _quietly, begun, work, calls[i])


def keep_worker() -> None:
    """Let a process of joblib's grow: called in it, for tasks that differ in size by more than a leak.

    joblib stops a process that has grown by 300 MB since its first task, and warns of it. Compiled kernels, torch and the
    recordings of a larger cohort are more than that, and a new process would have to load them again.

    >>> keep_worker()
    """
    from joblib.externals.loky import process_executor

    if hasattr(process_executor, "_MAX_MEMORY_LEAK_SIZE"):
        process_executor._MAX_MEMORY_LEAK_SIZE = MOST_GROWTH


def _here(
    i: int,
    state: str | None,
    trusting: bool,
    begun: int | None,
    work: Callable[..., Any],
    estimator: Any,
    call: tuple[Any, ...],
) -> tuple[int, tuple[Any] | None]:
    """What the call gives; None if another one left something in the user's code in this process."""
    keep_worker()
    if state is not None and state_of(estimator, trusting) != state:
        return i, None
    return i, (_quietly(estimator, begun, work, call),)


def _quietly(estimator: Any, begun: int | None, work: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    """Without leakage warnings, because every fold was audited."""
    try:
        with no_leakage_warning(), contextlib.nullcontext() if begun is None else no_file_since(begun):
            return work(estimator, *call)
    except ValueError as error:
        if "NaN" not in str(error) or not has_own_code(estimator):
            raise
        raise ConfigError(
            f"{error}\nA method of your own sees only the samples of its windows; all others are NaN. If it needs samples "
            "around its windows, make the windows longer, or put that step into the recipe's filters"
        ) from error


class _Lasting(Description):
    """A description of all that may outlast a fold, without the states of random generators, which move on and hold
    nothing of the windows.

    Parameters
    ----------
    trusting : parts of which nothing can be said count as unchanged; otherwise no two descriptions of them are equal.
    """

    def __init__(self, trusting: bool):
        super().__init__()
        self.trusting = trusting

    def _of(self, value: Any) -> Any:
        if isinstance(value, RANDOM) or f"{type(value).__module__}.{type(value).__name__}" == "torch._C.Generator":
            return type(value).__name__
        if isinstance(value, CACHED) and is_own(value):  # what it keeps cannot be read, but how often it was asked can
            return [super()._of(value), list(value.cache_info())]
        return super()._of(value)

    def _say_unknown(self, value: Any) -> str:
        said = super()._say_unknown(value)
        return said if self.trusting else f"{said} {uuid.uuid4()}"

    def _beyond_parameters(self, value: Any) -> dict[str, Any]:
        """With all attributes, whether they have the names of fitted ones or not."""
        known = (
            {f.name for f in dataclasses.fields(value)}
            if dataclasses.is_dataclass(value)
            else value.get_params(deep=False)
        )
        return {"held": self._held(value, known), **self._own(value)}

    def _module(self, value: Any) -> dict[str, Any]:
        """With what the user's own layers hold besides weights."""
        layers = [m for m in getattr(value, "modules", list)() if is_own(type(m))]
        bare = vars(sys.modules["torch"].nn.Module()) if layers else ()
        return {**super()._module(value), "held": [self._held(m, bare) for m in layers]}

    def _held(self, value: Any, known: Container[str]) -> dict[str, Any]:
        return {k: self.of(v, k) for k, v in getattr(value, "__dict__", {}).items() if k not in known}

    def _function(self, function: Any) -> Any:
        """With the content of the user's modules that the function imports, or names, when it runs."""
        found = super()._function(function)
        if is_own(function):
            named = names_in(function.__code__)
            imported = {key.removeprefix("import ") for key in found["globals"]}
            inside = [n for n in sorted(imported | {*named}) if n in sys.modules]
            found["content"] = {n: self._used(sys.modules[n], n, named) for n in inside}
        return found


def state_of(estimator: Any, trusting: bool = False) -> str | None:
    """Return a hash of all that the user's code in a method can keep from call to call: global variables, class
    attributes, closures, default values. None if the method contains no code that the user wrote.

    Parameters
    ----------
    trusting : parts of which nothing can be said, such as generators, count as unchanged; otherwise the hash is another
        one at each call where there are any.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> kept = []
    >>> method = FunctionTransformer(lambda X: kept.append(len(X)) or X)
    >>> before = state_of(method)
    >>> _ = method.transform(np.zeros((3, 2)))
    >>> state_of(method) == before
    False
    """
    description = _Lasting(trusting)
    found = description.of(estimator)
    if not description.own:
        return None
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


def pickled(estimator: Any) -> bytes | None:
    """Return the method with the user's code as it is now, None if it cannot be pickled.

    >>> pickled(i for i in range(3)) is None
    True
    """
    from joblib.externals.loky.cloudpickle_wrapper import dumps

    try:
        return dumps(estimator)
    except Exception:  # the user's code may raise anything here
        return None


def alone(method: bytes | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return `work(estimator, *arguments)` from a process of its own, for a method from `pickled`.

    Raises
    ------
    LeakageError : the method could not be pickled, so the process cannot be given it.
    ConfigError : the process cannot load the method.

    >>> alone(pickled([3, 4]), sum, 10)
    17
    """
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    why = (
        "the method changed something outside itself while a fold ran (a global variable, a class attribute or what a "
        "closure holds), which could reach the test windows of another fold; keep it in attributes of the estimator"
    )
    if method is None:
        raise LeakageError(f"{why}. Each fold would run in a process of its own, but the method cannot be pickled")
    with ProcessPoolExecutor(max_workers=1) as pool:
        loads = pool.submit(_load, method)
        if (error := loads.exception()) is not None:
            raise ConfigError(
                f"{why}. Each fold runs in a process of its own, and that one cannot load it: {error}"
            ) from error
        return pool.submit(_work, method, work, arguments).result()


def _load(method: bytes) -> None:
    from joblib.externals.loky.cloudpickle_wrapper import loads

    loads(method)


def _work(method: bytes, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    from joblib.externals.loky.cloudpickle_wrapper import loads

    return work(loads(method), *arguments)


@contextlib.contextmanager
def no_file_since(begun: int) -> Iterator[None]:
    """Inside, and in this thread, a file that was written between `begun` and now cannot be opened to read it.

    Only files that Python opens are noticed; compiled code and modules are left alone, and so are the results that
    `joblib.Memory` keeps, because they belong to one input alone.

    Parameters
    ----------
    begun : in nanoseconds, as `os.stat` gives them.

    Raises
    ------
    LeakageError : such a file is opened.

    >>> place, begun = Path(tempfile.mkdtemp()) / "model", time.time_ns()
    >>> _ = place.write_text("weights")
    >>> with no_file_since(begun - 10**9):
    ...     place.read_text()  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: ...
    """
    _watch()
    token = _span.set((begun, _file_clock()))
    try:
        yield
    finally:
        _span.reset(token)


def _file_clock() -> int:
    """The time that a file would have which is written now, later than that of every file that exists.

    Files are dated by a clock of coarse steps (4 to 16 ms), so the next step is waited for.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"\0")
        first = now = os.fstat(file.fileno()).st_mtime_ns
        while now <= first:
            time.sleep(0.001)
            file.write(b"\0")
            now = os.fstat(file.fileno()).st_mtime_ns
        return now


@functools.cache
def _watch() -> None:
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or (span := _span.get()) is None or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    path, mode, flags = Path(os.fsdecode(arguments[0])), arguments[1], arguments[2]
    if mode is None:
        reads = flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_TRUNC
    else:
        reads = "r" in mode or ("+" in mode and "w" not in mode)
    if not reads or path.suffix in (".py", ".pyc", ".nbi", ".nbc") or "joblib" in path.parts:
        return
    try:
        found = path.stat()
    except OSError:
        return
    regular = stat.S_ISREG(found.st_mode) and found.st_size > 0  # those of /proc have no size
    if regular and span[0] <= found.st_mtime_ns < span[1]:
        raise LeakageError(
            f"the method reads {path}, which was written after this run began and before this fold did: what one fold "
            "writes could reach the test windows of another; keep it in attributes of the estimator"
        )

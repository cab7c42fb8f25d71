"""`benchmark(suite, folder)`: run all cells of a suite that are not yet in its store."""

from __future__ import annotations

import functools
import json
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from myograph._common.pipelines import past_ms
from myograph._common.progress import Progress, silent
from myograph.errors import MyographError, ProtocolError, ShapeError, WindowError
from myograph.evaluation.engines import Engine, LocalEngine, WorkerDied
from myograph.evaluation.identity import describe
from myograph.evaluation.prepared import Split, hashes_of, make_method, prepare_with_rest, read, split
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.store import Store
from myograph.evaluation.suite import Suite, load_modules
from myograph.recording import Recording

DOES_NOT_FIT = (ProtocolError, WindowError, ShapeError)
"""Errors for data that do not allow the protocol, have no labels, or have a shape that the network does not accept."""
WAIT_S = 0.5  # between two checks of cells that another process is computing


@dataclass(frozen=True)
class Task:
    """One cell for a worker. The recipe is pickled, since it may contain classes of the user's modules."""

    recipe: bytes
    identity: str
    store: str
    modules: tuple[str, ...] = ()
    command: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The state of a cell: "done", "failed", "does not apply" (the protocol or method does not fit the data) or
    "elsewhere" (another process is computing it).
    """

    identity: str
    state: str
    seconds: float = 0.0
    message: str = ""


@dataclass
class Summary:
    """The result of a call of `benchmark`.

    cells : identities of the suite's cells whose data could be read, in the suite's order.
    done, found : cells computed now, and those that the store held before.
    failed, not_applicable : identity to message.
    seconds : wall time of each cell computed now.
    """

    cells: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    not_applicable: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "cells": len(self.cells),
            "computed": len(self.done),
            "found": len(self.found),
            "failed": self.failed,
            "not_applicable": self.not_applicable,
        }


def benchmark(
    suite: Suite,
    folder: str | Path,
    engine: Engine | None = None,
    modules: Sequence[str | Path] = (),
    progress: Progress | None = None,
    retry_failed: bool = False,
    command: str | None = None,
) -> Summary:
    """Run all cells of a suite that are not in its store, and store each cell when it is finished.

    If it is interrupted, call it again: finished cells are not computed twice. A cell that raises an error is recorded
    with its traceback, and the other cells are still run. Cells are single-threaded and their seeds are part of their
    recipes, so results depend neither on the engine nor on the order.

    Parameters
    ----------
    folder : folder of the `Store`, which several processes may use at the same time.
    engine : see `myograph.evaluation.engines`; one process by default.
    modules : the user's own Python files, see `load_modules`.
    progress : called as progress(what is being done, done, total).
    retry_failed : whether to compute cells again that failed in an earlier call.

    Raises
    ------
    ConfigError, UnknownNameError, DataError : as in `Suite.cells`. ResultsError : the store cannot be written.

    >>> import tempfile
    >>> suite = Suite("small", methods=("lda",), datasets=("simulated",), settings=("subjects=1",))
    >>> folder = tempfile.mkdtemp()
    >>> len(benchmark(suite, folder).done), len(benchmark(suite, folder).found)
    (1, 1)
    """
    load_modules(modules)
    store, engine, own = Store(folder), engine or LocalEngine(1), engine is None
    progress = progress or silent
    files = tuple(str(Path(path).resolve()) for path in modules)
    result = Summary()
    try:
        store.begin()
        tasks = _identified(suite.cells(), store, engine, files, command, result, progress)
        _run(tasks, store, engine, result, progress, retry_failed)
    finally:
        if own:
            engine.close()
    return result


def _identified(
    recipes: Sequence[Recipe],
    store: Store,
    engine: Engine,
    modules: tuple[str, ...],
    command: str | None,
    result: Summary,
    progress: Progress,
) -> list[Task]:
    """Return the cells as tasks. The data of each cell are read once by the workers, to compute the identities."""
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(data_key(recipe), []).append(recipe)
    hashes: dict[str, dict[str, str]] = {}
    jobs = [(pickle.dumps(group[0]), modules) for group in groups.values()]
    progress("reading recordings", 0, len(jobs))
    for done, (i, found) in enumerate(engine.run(hash_data, jobs), 1):
        key = list(groups)[i]
        if isinstance(found, BaseException):
            for recipe in groups[key]:
                identity = recipe.identity({"unread": key})
                result.failed[identity] = f"{recipe.name}: {found}"
                store.put_failure(identity, _failure(recipe, found))
        else:
            hashes[key] = found
        progress("reading recordings", done, len(jobs))
    tasks, failed = [], {failure["identity"] for failure in store.failures()}
    for recipe in recipes:
        if (key := data_key(recipe)) in hashes:
            if failed and (unread := recipe.identity({"unread": key})) in failed:
                store.forget_failure(unread)
            identity = recipe.identity(hashes[key])
            tasks.append(Task(pickle.dumps(recipe), identity, str(store.folder.resolve()), modules, command))
    result.cells = [task.identity for task in tasks]
    return tasks


def _run(
    tasks: Sequence[Task], store: Store, engine: Engine, result: Summary, progress: Progress, retry_failed: bool
) -> None:
    done = set(store.cells())
    failed = {} if retry_failed else {f["identity"]: f for f in store.failures()}
    result.found = [task.identity for task in tasks if task.identity in done]
    todo = []
    for task in tasks:
        if task.identity in failed:
            _note(result, task.identity, failed[task.identity]["state"], failed[task.identity]["message"])
        elif task.identity not in done:
            todo.append(task)
    total, finished = len(tasks), len(tasks) - len(todo)
    progress("cells", finished, total)
    while todo:
        again = []
        for i, outcome in engine.run(run_cell, todo):
            task = todo[i]
            if isinstance(outcome, BaseException):  # the worker died, or could not read the task
                recipe = pickle.loads(task.recipe)
                failure = _failure(recipe, outcome)
                store.put_failure(task.identity, failure)
                outcome = Outcome(task.identity, failure["state"], message=failure["message"])
            if outcome.state == "elsewhere":
                again.append(task)
                continue
            finished += 1
            _note(result, task.identity, outcome.state, outcome.message)
            result.seconds[task.identity] = outcome.seconds
            progress("cells", finished, total)
        if again:
            time.sleep(WAIT_S)
        todo = again


def _note(result: Summary, identity: str, state: str, message: str) -> None:
    if state in ("done", "found"):
        (result.done if state == "done" else result.found).append(identity)
    else:
        (result.not_applicable if state == "does not apply" else result.failed)[identity] = message


def run_cell(task: Task) -> Outcome:
    """Compute one cell, unless it is in the store or another process has it. Runs in a worker."""
    started = time.perf_counter()
    load_modules(task.modules)
    recipe: Recipe = pickle.loads(task.recipe)  # from a task of this package, never from a file
    store = Store(task.store)
    with store.claim(task.identity) as mine:
        if task.identity in store:
            return Outcome(task.identity, "found")
        if not mine:
            return Outcome(task.identity, "elsewhere")
        try:
            with single_threaded():
                scores = evaluate(recipe, SHARED.recordings(recipe), command=task.command, shared=SHARED.split)
            store.put(scores)
        except Exception as error:  # an error of the user's method or of the data must not stop the other cells
            failure = _failure(recipe, error)
            store.put_failure(task.identity, failure)
            return Outcome(task.identity, failure["state"], time.perf_counter() - started, failure["message"])
    return Outcome(task.identity, "done", time.perf_counter() - started)


def hash_data(job: tuple[bytes, tuple[str, ...]]) -> dict[str, str]:
    """Decode the recordings of a recipe, if necessary, and hash them. Runs in a worker."""
    payload, modules = job
    load_modules(modules)
    return hashes_of(SHARED.recordings(pickle.loads(payload)))


def data_key(recipe: Recipe) -> str:
    """Return a key that is equal for recipes that read the same recordings."""
    return json.dumps([describe(getattr(recipe, k)) for k in ("dataset", "dataset_options", "subjects")], default=str)


class Shared(threading.local):
    """Shared by consecutive cells of one worker: recordings, windows, and the folds of their protocols.

    One set of recordings and one of windows is kept, so that a worker holds the signals of one recipe at a time. Splits are
    kept as long as their windows, because one cell may need several: "target only" is shown next to a calibrated score,
    and the honest score next to a LEAKY one. A worker may run cells in several threads, and each has its own.
    """

    def __init__(self) -> None:
        self._recordings: dict[str, list[Recording]] = {}
        self._windows: dict[str, Any] = {}
        self._splits: dict[str, Split] = {}

    def recordings(self, recipe: Recipe) -> list[Recording]:
        """Return the recipe's recordings, unfiltered."""
        key = data_key(recipe)
        if key not in self._recordings:
            for old in (self._splits, self._windows, self._recordings):  # release them before the new ones are made
                old.clear()
            self._recordings[key] = read(recipe)
        return self._recordings[key]

    def split(self, recipe: Recipe, recordings: Sequence[Recording], progress: Progress) -> Split:
        """Return the recipe's windows and audited folds, as from `myograph.evaluation.prepared.split`."""
        cut = [recipe.filters, recipe.windowing, recipe.rest, recipe.seed if recipe.rest == "balance" else 0]
        key = json.dumps([data_key(recipe), describe(cut)], default=str)
        if key not in self._windows:
            self._splits.clear()
            self._windows.clear()
            self._windows[key] = prepare_with_rest(recipe, recordings, progress)
        settings = [recipe.protocol, recipe.how_to_transfer(), past_ms(make_method(recipe))]
        of_protocol = json.dumps(describe(settings), default=str)
        if of_protocol not in self._splits:
            self._splits[of_protocol] = split(recipe, recordings, progress, self._windows[key])
        return self._splits[of_protocol]


SHARED = Shared()


class single_threaded:  # used as a function
    """Limit a cell to one thread, so that its results do not depend on the machine's load.

    Threads started by BLAS, OpenMP, torch and numba are limited.
    """

    def __enter__(self) -> None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"  # for libraries that are loaded later
        loaded = [name for name in ("torch", "numba", "scipy", "sklearn") if name in sys.modules]
        self._limits = _thread_pools(tuple(loaded)).limit(limits=1)
        if "torch" in loaded:
            cast(Any, sys.modules["torch"]).set_num_threads(1)
        if "numba" in loaded:
            cast(Any, sys.modules["numba"]).set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        self._limits.restore_original_limits()


@functools.cache
def _thread_pools(loaded: tuple[str, ...]) -> Any:
    """Return the thread pools of this process; searched again when another library with thread pools has been loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _failure(recipe: Recipe, error: BaseException) -> dict[str, Any]:
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    state = "does not apply" if isinstance(error, DOES_NOT_FIT) else "failed"
    message = str(error) if isinstance(error, (MyographError, WorkerDied)) else f"{type(error).__name__}: {error}"
    return {
        "state": state,
        "kind": type(error).__name__,
        "message": f"{recipe.name}: {message}",
        "traceback": trace,
        "recipe": recipe.name,
        "settings": recipe.as_dict(),
    }

"""Engines that run the cells of a suite: processes of this machine, or Dask workers.

An engine calls one function on many items, in any order, and yields each result when it is available. If a worker dies,
its item is retried on another worker.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, Protocol, cast

from myograph.errors import ConfigError, need

ATTEMPTS = 3
"""Number of workers that may die at one item before it is abandoned."""


IN_FLIGHT = 1000
"""Number of items that a Dask scheduler holds at a time, so that its time and memory do not grow with their number."""


class WorkerDied(Exception):
    """The processes working on an item died too often, so it is not retried."""


class Engine(Protocol):
    """Runs a function on many items."""

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (position of the item, result, or the exception that the function raised)."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


class LocalEngine:
    """Processes of this machine, with joblib's loky. Each processes one item at a time, with one thread.

    Parameters
    ----------
    jobs : number of processes; -1 for one per core.
    """

    def __init__(self, jobs: int = 1):
        if jobs == 0 or jobs < -1:
            raise ConfigError(f"jobs must be a number of processes from 1, or -1 for one per core, got {jobs}")
        self.jobs = os.cpu_count() or 1 if jobs < 0 else jobs
        self._workers: list[Any] = []

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        waiting, deaths = deque(range(len(items))), [0] * len(items)
        while len(self._workers) < min(self.jobs, len(items)):
            self._workers.append(_new_worker())
        idle, running = list(self._workers), cast(dict[Future, tuple[int, Any]], {})
        while waiting or running:
            while waiting and idle:
                i, worker = waiting.popleft(), idle.pop()
                running[worker.submit(function, items[i])] = (i, worker)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                i, worker = running.pop(future)
                error = future.exception()
                if not _is_death(error):
                    idle.append(worker)
                    yield i, future.result() if error is None else error
                    continue
                worker.shutdown(wait=False, kill_workers=True)
                self._workers.remove(worker)
                self._workers.append(_new_worker())
                idle.append(self._workers[-1])
                deaths[i] += 1
                if deaths[i] < ATTEMPTS:
                    waiting.append(i)
                else:
                    yield i, WorkerDied(f"{ATTEMPTS} processes died at this cell; was there enough memory?")

    def close(self) -> None:
        for worker in self._workers:
            worker.shutdown(wait=False, kill_workers=True)
        self._workers = []


class DaskEngine:
    """Dask workers; if a worker dies, the scheduler retries its item on another worker.

    Parameters
    ----------
    client : a `distributed.Client`.
    cluster : closed with the engine, if given.
    """

    def __init__(self, client: Any, cluster: Any = None):
        self.client, self.cluster = client, cluster

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        distributed: Any = need("distributed", "cluster")
        futures: dict[Any, int] = {}
        running, waiting = distributed.as_completed(), iter(enumerate(items))

        def submit(n: int) -> None:
            # Items are sent as arguments, not as parts of the graph; in order, so that neighbours share work.
            for i, item in islice(waiting, n):
                future = self.client.submit(function, item, pure=False, priority=-i)
                futures[future] = i
                running.add(future)

        submit(IN_FLIGHT)
        for future in running:
            i = futures.pop(future)
            error = future.exception() if future.status == "error" else None
            if isinstance(error, distributed.scheduler.KilledWorker):
                error = WorkerDied(f"workers died at this cell: {error}")
            result = future.result() if error is None else error
            del future  # so that the scheduler releases it
            submit(1)
            yield i, result

    def close(self) -> None:
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()


def make_engine(cluster: str = "local", jobs: int = 1, options: Mapping[str, Any] | None = None) -> Engine:
    """Create an engine by name.

    Parameters
    ----------
    cluster : "local"; "slurm", for which dask-jobqueue starts one job per worker; or the address of a Dask scheduler.
    jobs : number of workers for "local" and "slurm".
    options : options of `dask_jobqueue.SLURMCluster`, such as queue, account, walltime, memory.

    Raises
    ------
    ConfigError : an unknown name, an option that `SLURMCluster` does not have, or no scheduler at the address.
    MissingExtraError : Dask is not installed.
    """
    if cluster == "local":
        return LocalEngine(jobs)
    if cluster == "slurm":
        distributed: Any = need("distributed", "cluster")
        started = slurm_cluster(options or {})
        started.scale(jobs=max(jobs, 1))
        return DaskEngine(distributed.Client(started), started)
    if "://" not in cluster:
        raise ConfigError(
            f"--cluster must be local, slurm, or a scheduler's address such as tcp://host:8786, got {cluster!r}"
        )
    distributed = need("distributed", "cluster")
    try:
        return DaskEngine(distributed.Client(cluster, timeout="10s"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {cluster}: {error}; start one with `dask scheduler`"
        ) from error


def slurm_cluster(options: Mapping[str, Any]) -> Any:
    """Return a `dask_jobqueue.SLURMCluster` of single-threaded workers, still without jobs."""
    jobqueue: Any = need("dask_jobqueue", "cluster")
    usual = {"cores": 1, "processes": 1, "memory": "4GB", "walltime": "24:00:00"}
    try:
        return jobqueue.SLURMCluster(**{**usual, **options})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[cluster] does not fit dask-jobqueue's SLURMCluster: {error}") from error


def _new_worker() -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=1)


def _is_death(error: BaseException | None) -> bool:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)

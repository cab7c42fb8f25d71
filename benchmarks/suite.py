"""What a suite costs beside its methods. Run: python benchmarks/suite.py

- Cost per cell: the processor time of a cell whose method does nothing (two people, two folds), in the process that
  computes it: windows and folds are shared, the cell is identified, fitted, predicted, scored and stored.
- Two Dask workers against one, on 40 cells of one second of single-threaded computing each. This needs two quiet cores,
  and the load of the machine is written beside the result.
- Scheduler cost per task: wall time of 10,000 tasks that do nothing, on two Dask workers and on two local processes.

`--only cell|workers|scheduler` runs one of the three and writes nothing. Results: benchmarks/results/suite.*.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from _harness import Row, in_turn, write
from myograph.evaluation.benchmark import benchmark
from myograph.evaluation.engines import DaskEngine, Engine, LocalEngine
from myograph.evaluation.suite import Data, Method, Suite, load_modules
from myograph.protocols import WithinSubject

MODULE = Path(__file__).with_name("_suite_module.py")
SMALL = {"n_subjects": 2, "n_sessions": 1, "n_gestures": 3, "n_repetitions": 4, "n_electrodes": 8}
DATA = Data("simulated", {**SMALL, "hold_s": 1.0, "rest_s": 0.5})
N_CELLS, N_SECONDS, N_TASKS = 60, 40, 10_000


class Here:
    """An engine that calls the function in this process."""

    def run(self, function: Any, items: Any) -> Any:
        for i, item in enumerate(items):
            yield i, function(item)

    def close(self) -> None:
        """Nothing to stop."""


def grid(n_cells: int, seconds: float = 0.0) -> Suite:
    """So many cells, of one method and so many seeds."""
    method = Method("bench_first", {"seconds": seconds / SMALL["n_subjects"]})
    return Suite("bench", (method,), (DATA,), (WithinSubject((2, 4)),), seeds=tuple(range(n_cells)))


def run_all(suite: Suite, engine: Engine) -> tuple[float, float]:
    """Wall and processor seconds of the whole suite in a new store."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        done = benchmark(suite, Path(folder) / "store", engine, [MODULE])
        assert len(done.done) == len(suite.seeds), done.failed
        return time.perf_counter() - wall, time.process_time() - cpu


def cell_cost() -> list[Row]:
    """The cost of a cell, in processor time, and of the method's own calls."""
    run_all(grid(3), Here())  # imports and compiles
    wall, cpu = (1e3 / N_CELLS * value for value in run_all(grid(N_CELLS), Here()))
    return [
        Row("one cell beside its method, processor time", cpu, 30, "ms", at_most=True),
        Row("one cell beside its method, wall time", wall, None, "ms", note=load()),
    ]


def workers() -> list[Row]:
    """Two Dask workers against one."""
    import distributed

    def with_workers(n: int) -> float:
        with distributed.LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) as cluster:
            engine = DaskEngine(distributed.Client(cluster))
            run_all(grid(2 * n), engine)  # imports
            return run_all(grid(N_SECONDS, 1.0), engine)[0]

    one, two = in_turn(lambda: with_workers(1), lambda: with_workers(2), rounds=1)
    return [Row(f"two Dask workers against one, {N_SECONDS} cells of 1 s", one / two, 1.7, note=load())]


def scheduler() -> list[Row]:
    """Wall time per task that does nothing."""
    import distributed

    rows = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        for name, engine in (("Dask", DaskEngine(distributed.Client(cluster))), ("local processes", LocalEngine(2))):
            list(engine.run(abs, range(100)))
            started = time.perf_counter()
            assert sum(result for _, result in engine.run(abs, range(N_TASKS))) == N_TASKS * (N_TASKS - 1) // 2
            took = (time.perf_counter() - started) / N_TASKS * 1e3
            rows.append(Row(f"one task of {N_TASKS:,}, {name}, wall time", took, None, "ms", note=load()))
            engine.close()
    return rows


def load() -> str:
    """The machine's load, which decides what wall times are worth."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def main() -> None:
    parts = {"cell": cell_cost, "workers": workers, "scheduler": scheduler}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=parts)
    chosen = parser.parse_args().only
    load_modules([MODULE])
    rows = [row for name, part in parts.items() if chosen in (None, name) for row in part()]
    for row in rows:
        print(f"{row.work}: {row.value:.3g} {row.unit} {row.note}")
    if chosen is None:
        write("suite", "What a suite costs beside its methods", rows)


if __name__ == "__main__":
    main()

"""What time, memory and disk a suite takes, and a cohort of 1,000 people. Run: python benchmarks/scale.py

- Cost model: one simulated person of about 1, 4 and 16 minutes of signal; processor time of reading, of windows with the
  audit, and of each method per fold; bytes of the decoded copy and of the store.
- Cohort: 1,000 simulated people, one method, each person a cell. In each worker the people are counted whose
  recordings are alive.

`--people N` sets the size of the cohort, `--only model|cohort` runs one part and writes nothing. Processor time depends
less on other programs than wall time, but it is not independent of them: the load is written beside the results.
Results: benchmarks/results/scale.*; docs/scale.md projects them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import tempfile
import time
from pathlib import Path

from _harness import Row, cpu_s, write
from myograph.evaluation.benchmark import benchmark
from myograph.evaluation.engines import LocalEngine
from myograph.evaluation.prepared import read, split
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.store import Store
from myograph.evaluation.suite import Data, Suite
from myograph.protocols import WithinSubject

MODULE = Path(__file__).with_name("_scale_module.py")
REPETITIONS = (4, 16, 64)  # of 3 gestures of 3 s with 2 s of rest: about 1, 4 and 16 minutes
METHODS = {"lda": {}, "lda_svm": {}, "knn": {}, "random_forest": {}, "myonet": {"epochs": 1}}
PERSON = {"n_sessions": 1, "n_gestures": 3, "n_electrodes": 8}
SHORT = {"n_sessions": 1, "n_gestures": 2, "n_repetitions": 2, "n_electrodes": 8, "hold_s": 0.6, "rest_s": 0.5}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cost_model() -> list[Row]:
    """Rows per size: reading, windows, methods, disk."""
    rows = []
    for n in REPETITIONS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MYOGRAPH_CACHE"] = folder
            options = {**PERSON, "n_subjects": 1, "n_repetitions": n}
            protocol = WithinSubject(tuple(range(2, n + 1, 2)))
            recipe = Recipe("scale", "simulated", protocol, "lda", dataset_options=options)
            recordings = read(recipe)  # simulated and decoded, once
            hours = sum(r.n_samples / r.rate_hz for r in recordings) / 3600
            split(recipe, recordings)  # compiles
            again = cpu_s(lambda: read(recipe))  # noqa: B023
            cut = cpu_s(lambda: split(recipe, recordings))  # noqa: B023
            what = f"{hours * 60:.1f} min of 8 channels at {recordings[0].rate_hz:g} Hz"
            signal = sum(r.signal.nbytes for r in recordings)
            rows.append(Row(f"read again, {what}", again / hours, None, "s per subject-hour"))
            rows.append(Row(f"windows, folds, audit, {what}", cut / hours, None, "s per subject-hour"))
            rows.append(Row(f"signals in memory, {what}", signal / hours / 1e6, None, "MB per subject-hour"))
            rows.append(
                Row(f"decoded copy on disk, {what}", size_of(Path(folder)) / hours / 1e6, None, "MB per subject-hour")
            )
            parts = split(recipe, recordings)
            for name, chosen in METHODS.items():
                mine = Recipe("scale", "simulated", protocol, name, method_options=chosen, dataset_options=options)
                once = lambda: evaluate(mine, recordings, shared=lambda *_: parts)  # noqa: B023, E731
                once()  # imports, compiles
                rows.append(Row(f"one fold of {name}, {what}", cpu_s(once), None, "s"))
            store = Store(Path(folder) / "store")
            store.put(evaluate(recipe, recordings))
            note = f"{len(parts.folds[0].test)} test windows"
            rows.append(Row(f"one cell in the store, {what}", size_of(store.folder) / 1e3, None, "kB", note=note))
    return rows


def cohort(n_people: int, jobs: int) -> list[Row]:
    """Every person of a cohort through the whole chain, on worker processes."""
    engine = LocalEngine(jobs)
    with tempfile.TemporaryDirectory() as folder:
        watched = Path(folder) / "watched"
        watched.mkdir()
        os.environ.update(MYOGRAPH_CACHE=folder, WATCHED=str(watched))
        data = Data("simulated", {**SHORT, "n_subjects": n_people})
        suite = Suite("cohort", ("lda",), (data,), (WithinSubject((2,)),), split="person")
        started = time.perf_counter()
        found = benchmark(suite, Path(folder) / "store", engine, [MODULE], progress=told)
        engine.close()
        took = time.perf_counter() - started
        assert len(found.done) == n_people, found.failed
        started_reading = time.process_time()
        assert Store(Path(folder) / "store").results()["person"].nunique() == n_people
        read_back = time.process_time() - started_reading
        on_disk = size_of(Path(folder) / "store")
        workers = [[tuple(map(float, line.split())) for line in path.open()] for path in watched.iterdir()]
        del os.environ["WATCHED"]
    note = f"{jobs} workers, load {os.getloadavg()[0]:.1f}"
    growth = max(lines[-1][1] - lines[len(lines) // 10][1] for lines in workers)
    most = max(people for lines in workers for people, _, _ in lines)
    cpu = sum(lines[-1][2] for lines in workers)
    peak = max(lines[-1][1] for lines in workers)
    return [
        Row(f"people in a worker's memory at once, of {n_people:,}", most, 2, "", at_most=True),
        Row("peak memory of a worker", peak, None, "MB"),
        Row("its growth after the first tenth of the people", growth, None, "MB"),
        Row("whole chain per person, simulation included, processor time", cpu / n_people * 1e3, None, "ms"),
        Row("whole chain per person, wall time", took / n_people * 1e3, None, "ms", note=note),
        Row("reading all results back, per cell", read_back / n_people * 1e3, None, "ms"),
        Row("store per cell", on_disk / n_people / 1e3, None, "kB"),
    ]


def told(message: str, done: int, total: int) -> None:
    """Print every hundredth step."""
    if done % 100 == 0:
        print(f"{message}: {done} of {total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("model", "cohort"))
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    rows = [] if given.only == "model" else cohort(given.people, given.jobs)
    rows += [] if given.only == "cohort" else cost_model()
    for row in rows:
        print(f"{row.work}: {row.value:.4g} {row.unit} {row.note}", flush=True)
    if given.only is None:
        write("scale", "Scale of suites", rows, load=f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()

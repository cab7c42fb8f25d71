"""Side-by-side timing: process CPU time on one thread, alternating runs, medians, and a table of ratios with their bars."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(os.environ.get("MYOGRAPH_BENCH_RESULTS") or Path(__file__).parent / "results")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass
class Row:
    """One line of the table. `value` is to be at least `bar`, or at most where `at_most`; None: only to compare with."""

    work: str
    value: float
    bar: float | None = None
    unit: str = "x"
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


def cpu_s(work: Callable[[], Any]) -> float:
    """CPU seconds of this process for one run."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def in_turn(*works: Callable[[], float], rounds: int = 5) -> list[float]:
    """Medians of the seconds that each work returns, the works taking turns."""
    seen: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for mine, work in zip(seen, works):
            mine.append(work())
    return [statistics.median(mine) for mine in seen]


class Peer:
    """A worker process in another environment: it loads an array once and times the requested functions."""

    def __init__(self, python: Path, script: Path, signal_file: Path):
        self._process = subprocess.Popen(
            [str(python), str(script), str(signal_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **ONE_THREAD},
        )  # fmt: skip

    def __call__(self, **request: Any) -> float:
        """CPU seconds that the request took there."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer ended at {request}")
        return float(json.loads(answer)["seconds"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def write(name: str, title: str, rows: list[Row], **more: Any) -> str:
    """Write results/<name>.json and .md; returns the table."""
    RESULTS.mkdir(exist_ok=True, parents=True)
    cpu = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    about = {"machine": cpu or platform.processor(), "python": platform.python_version(), **more}
    content = {"title": title, **about, "rows": [{**asdict(r), "met": r.met} for r in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = [f"# {title}", "", *(f"- {key}: {value}" for key, value in about.items()), "", *table(rows)]
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{name}.md").write_text(text)
    return text


def table(rows: list[Row]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = ["| work | measured | bar | met | note |", "|---|---|---|---|---|"]
    for r in rows:
        sign, met = "<=" if r.at_most else ">=", {None: "", True: "yes", False: "NO"}[r.met]
        bar = "" if r.bar is None else f"{sign} {r.bar:g} {r.unit}"
        lines.append(f"| {r.work} | {r.value:.3g} {r.unit} | {bar} | {met} | {r.note} |")
    return lines


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16, as /proc/cpuinfo tells (of Intel, AMD and Arm)."""
    flags = next((line for line in _cpuinfo() if line.startswith(("flags", "Features"))), "")
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split()))


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []

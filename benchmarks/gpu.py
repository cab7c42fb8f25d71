"""Time per epoch, utilisation and distance from the machine's limits on a GPU: python benchmarks/gpu.py

For each network, through `NeuralClassifier` with the data on the device, in float32 and with bf16 autocast: the seconds
per epoch and the share of them during which the device is busy. Beside them stand two floors. The arithmetic floor is the
operations of forward and backward pass at the rate of large matrix products measured in the same run (TensorFloat-32,
which convolutions may use). The memory floor is the traffic of the input, the weights and the optimiser's state, once per
step, at the copy rate measured in the same run. Results: benchmarks/results/gpu.json and gpu.md. Without a GPU the
script says so and ends. With MYOGRAPH_COMPILED=0 steps do not run as CUDA graphs; results then go to gpu_eager. Names of networks as arguments
measure these alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from myograph.models import MODELS
from myograph.training.estimator import NeuralClassifier

RESULTS = Path(__file__).parent / "results"
PROFILED = 32  # batches of the profiled epochs; a profile of all would take minutes
# model: options, (channels, samples, classes), windows, batch
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int], int, int]] = {
    "atzori": ({}, (10, 15, 53), 65536, 256),
    "ding": ({}, (12, 200, 17), 16384, 256),
    "m5": ({}, (192, 20, 7), 32768, 1000),
    "mobilenet_v2": ({"grid": (8, 24)}, (192, 1, 8), 65536, 1000),
    "muscle_cnn_lstm": ({}, (1, 500, 4), 32768, 1024),
    "fin_lstm": ({}, (1, 600, 12), 8192, 4000),
    "myonet": ({}, (10, 300, 12), 16384, 256),
}


def rates() -> dict[str, float]:
    """Rates that large matrix products (FLOP/s) and copies (bytes/s) reach on this device."""
    found = {}
    for name, kind, tf32 in (
        ("float32_flops", torch.float32, False),
        ("tf32_flops", torch.float32, True),
        ("bf16_flops", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a = torch.randn(8192, 8192, device="cuda", dtype=kind)
        found[name] = 2 * 8192**3 / seconds(lambda a=a: a @ a)
    torch.backends.cuda.matmul.allow_tf32 = False
    block = torch.empty(1 << 28, device="cuda")
    return found | {"bytes_per_s": 2 * block.nbytes / seconds(lambda: block.clone())}


def seconds(task: Any, runs: int = 10) -> float:
    task()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        task()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / runs


def flops_of_step(name: str, options: dict[str, Any], shape: tuple[int, int, int], batch: int) -> float:
    """Forward and backward, counted on the meta device, where the counter agrees with hand formulas."""
    channels, samples, classes = shape
    with torch.device("meta"):
        module = MODELS.create(name, n_channels=channels, n_classes=classes, n_samples=samples, **options)
        counter = FlopCounterMode(display=False)
        with counter:
            module(torch.empty(batch, channels, samples)).sum().backward()
    return counter.get_total_flops()


def measure(name: str, limits: dict[str, float]) -> dict[str, Any]:
    options, shape, n, batch = CASES[name]
    channels, samples, classes = shape
    y = np.arange(n) % classes
    X = np.random.default_rng(0).normal(size=(n, channels, samples)).astype(np.float32)
    row: dict[str, Any] = {"model": name, "windows": n, "batch": batch}
    for precision in ("float32", "bf16"):
        clf = NeuralClassifier(name, options, epochs=4, batch_size=batch, precision=precision, device="cuda").fit(X, y)
        row[f"{precision}_epoch_s"] = float(clf.history_["seconds"].iloc[1:].min())
        some = slice(0, min(n, PROFILED * batch))
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            clf.set_params(epochs=2).fit(X[some], y[some])
        per_step = sum(e.self_device_time_total for e in seen.key_averages()) / 1e6 / (2 * -(-len(y[some]) // batch))
        row[f"{precision}_busy"] = min(1.0, per_step * -(-n // batch) / row[f"{precision}_epoch_s"])
    steps = -(-n // batch)
    try:
        row["arithmetic_floor_s"] = steps * flops_of_step(name, options, shape, batch) / limits["tf32_flops"]
    except (RuntimeError, NotImplementedError) as error:
        row["arithmetic_floor_s"] = None
        print(f"{name}: not counted ({error})")
    weights = sum(p.numel() for p in clf.module_.parameters())
    # Adam reads weight, gradient and two moments and writes weight and moments: seven passes of four bytes.
    row["memory_floor_s"] = (2 * X.nbytes + steps * weights * 4 * 7) / limits["bytes_per_s"]
    row["bf16_gain"] = row["float32_epoch_s"] / row["bf16_epoch_s"]
    print(row, flush=True)
    return row


def main() -> None:
    if not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        return
    limits = rates()
    name = "gpu_eager" if os.environ.get("MYOGRAPH_COMPILED") == "0" else "gpu"
    rows: list[dict[str, Any]] = []
    for case in sys.argv[1:] or CASES:
        rows.append(measure(case, limits))
        write(name, {"device": torch.cuda.get_device_name(), "torch": torch.__version__, **limits}, rows)


def write(name: str, machine: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    about = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in machine.items())
    lines = [f"# {machine['device']}", "", about, "", "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

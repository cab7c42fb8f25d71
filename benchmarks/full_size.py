"""Cost of the published systems at full size: time per epoch on this machine, and projected totals. Run: python benchmarks/full_size.py

A few batches of noise in each network's published shape and batch size are trained through `NeuralClassifier`; the seconds
per window (an epoch of a fit minus that of half as many windows) times the published number of windows, epochs and fits
is the total. Window counts follow from the data sets' descriptions (NinaPro holds a movement for 5 s) and the papers'
protocols; ours is used if a step was not published. The last column is the arithmetic alone (three times the forward
multiply-accumulates, two operations each) on one GPU at the rate that `benchmarks/gpu.py` measured, or, without
results/gpu.json, at an assumed one that the table names. It is a lower bound, not a measurement.
Results: benchmarks/results/full_size.json and .md.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from _harness import RESULTS
from myograph.models import MODELS
from myograph.models.cost import macs
from myograph.training.estimator import NeuralClassifier
from myograph.training.imitation import FeatureImitatingNet

ASSUMED_FLOPS = 10e12  # of matrix products in float32 that a training step sustains on a present GPU
HOLD_S = 5.0


@dataclass
class Size:
    """One fit of a published system: `windows` train windows per fit, `epochs`, and `fits` people or folds."""

    system: str
    model: Any
    shape: tuple[int, int, int]  # channels, samples, classes
    windows: int
    epochs: int
    fits: int
    batch: int
    counted: str
    options: dict[str, Any] = field(default_factory=dict)
    measured: int = 2048  # windows that are trained on here
    measured_batch: int | None = None  # where the published batch is too much for a few seconds


def held(window_ms: float, step_ms: float) -> int:
    """Windows of one movement that is held for 5 s."""
    return int((HOLD_S * 1000 - window_ms) // step_ms) + 1


SIZES = [
    Size("Atzori 2016, DB1", "atzori", (10, 15, 53), 53 * 7 * held(150, 50) * 2, 30, 27, 256,
         "53 classes x 7 repetitions, a window every 50 ms (ours), doubled by noise", measured=8192),
    Size("Atzori 2016, DB2", "atzori_delsys", (12, 30, 50), 50 * 4 * held(150, 50) * 2, 30, 40, 256,
         "50 classes x 4 repetitions, a window every 50 ms (ours), doubled by noise", measured=4096),
    Size("Tsinganos 2018, DB1", "tsinganos", (10, 15, 53), 53 * 7 * held(150, 50), 100, 27, 512,
         "53 classes x 7 repetitions, a window every 50 ms", measured=8192),
    Size("Zhai 2017, DB2 baseline", "zhai", (12, 25, 50), 50 * 4 * held(200, 100), 30, 40, 64,
         "50 classes x 4 repetitions; epochs ours", {"planes": 800, "units": 800}, 1024),
    Size("Zhai 2017, DB2, last session", "zhai", (12, 25, 50), 50 * held(200, 100), 30 + 4 * 10, 40, 64,
         "50 classes x 1 repetition, four recalibrations of 10 epochs (ours)", {"planes": 800, "units": 800}, 1024),
    Size("Ding 2018, C-B1PB2, DB2 B", "ding", (12, 200, 17), 17 * 4 * held(100, 50), 50, 40, 128,
         "17 movements x 4 repetitions, a window every 50 ms; step and epochs ours", measured=512),
    Size("Muscle CNN-LSTM, intrapersonal", "muscle_cnn_lstm", (1, 500, 4), 49_648, 200, 1, 1024,
         "the published training samples"),
    Size("Muscle CNN-LSTM, one subject left out", "muscle_cnn_lstm", (1, 500, 4), 62_112 - 7_664, 200, 8, 1024,
         "the published samples of 8 people less one"),
    *(
        Size(f"HD MobileNetV2, width {w:g}", "mobilenet_v2", (192, 1, 8), 1_228_800 // 2, 5, 1, 1000,
             "half of the published samples, one instant each", {"grid": (8, 24), "width": w}, 2000)
        for w in (1.0, 0.7, 0.4, 0.2)
    ),
    Size("HD M5", "m5", (192, 20, 7), int(1_228_800 / 40 * 49 * 0.67), 100, 1, 1000,
         "7 classes x 7 repetitions of the same length, one window per sample, 67 %", measured=8000),
    Size("FIN, four imitators", "fin_lstm", (1, 600, 12), int(25 * 3 * 17 * held(300, 10) * 12 * 0.9), 60, 4, 4000,
         "25 people x 3 repetitions x 17 movements x 12 channels, 90 %", measured=256, measured_batch=64),
    Size("FIN, joint step, all windows", "fin", (12, 600, 17), 17 * 4 * held(300, 10), 10, 40, 250,
         "17 movements x 4 repetitions of each person; an imitator for each channel", {"share_channels": False},
         measured=32, measured_batch=16),
]  # fmt: skip


def module_of(size: Size) -> torch.nn.Module:
    channels, samples, classes = size.shape
    if size.model == "fin":
        return FeatureImitatingNet(channels, classes, samples, **size.options)
    return MODELS.create(size.model, n_channels=channels, n_samples=samples, n_classes=classes, **size.options)


def seconds_per_window(size: Size) -> float:
    """Of one epoch, set-up of the fit left out."""
    channels, samples, classes = size.shape
    rng = np.random.default_rng(0)
    y = np.arange(size.measured) % classes
    X = rng.normal(size=(size.measured, channels, samples)).astype(np.float32)
    model = FeatureImitatingNet if size.model == "fin" else size.model
    clf = NeuralClassifier(
        model, size.options, epochs=3, batch_size=size.measured_batch or size.batch, normalise="none", device="cpu"
    )
    return float(clf.fit(X, y).history_["seconds"].iloc[1:].min()) / size.measured


def measure(size: Size, flops: float) -> dict[str, Any]:
    each = seconds_per_window(size)
    channels, samples, _ = size.shape
    work = 6.0 * macs(module_of(size), channels, samples) * size.windows * size.epochs * size.fits
    row = {
        **asdict(size),
        "model": str(size.model),
        "epoch_s": each * size.windows,
        "total_h": each * size.windows * size.epochs * size.fits / 3600,
        "gpu_floor_h": work / flops / 3600,
    }
    print(f"{size.system:40} {row['epoch_s']:10.1f} s per epoch {row['total_h']:10.2f} h", flush=True)
    return row


def main() -> None:
    gpu = RESULTS / "gpu.json"
    machine = json.loads(gpu.read_text())["machine"] if gpu.exists() else None
    flops = machine["tf32_flops"] if machine else ASSUMED_FLOPS
    rate = f"{flops / 1e12:.0f} TFLOP/s"
    device = (
        f"the {rate} of large TensorFloat-32 products on an {machine['device']}"
        if machine
        else f"an assumed {rate}: no GPU was available"
    )
    start = time.perf_counter()
    rows = [measure(size, flops) for size in SIZES]
    about = {"threads": torch.get_num_threads(), "gpu": device, "measured_in_s": round(time.perf_counter() - start)}
    (RESULTS / "full_size.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    lines = [
        "# The published systems at full size",
        "",
        f"Measured on {about['threads']} CPU threads with a few batches each, and scaled to the full size. The GPU hours are a lower",
        f"bound: the arithmetic alone at {device}.",
        "",
        "| system | parameters | train windows per fit | epochs | fits | seconds per epoch | total hours, CPU | least hours, GPU | what is counted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size, row in zip(SIZES, rows):
        parameters = sum(p.numel() for p in module_of(size).parameters())
        lines.append(
            f"| {size.system} | {parameters:,} | {size.windows:,} | {size.epochs} | {size.fits} | {row['epoch_s']:.3g} "
            f"| {row['total_h']:.3g} | {row['gpu_floor_h']:.2g} | {size.counted} |"
        )
    (RESULTS / "full_size.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

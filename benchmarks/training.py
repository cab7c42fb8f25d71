"""Training and preparation against the loops in which the published systems were trained. Run: python benchmarks/training.py

The other side is written in the style of the published code: a Dataset that returns one window, a DataLoader, a plain
loop that reads each batch's loss; the same network, optimiser, batch size and number of epochs, data already in memory.
Three epochs, preparation included. Runs alternate on one thread; what counts is CPU time (other programs may share the machine), and the median of the
ratios. Results: benchmarks/results/training.json and .md. `--only NAME` runs one row, `--quick` takes fewer windows.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from myograph import Recording, Windowing, Windows
from myograph._loop import denormals_flushed
from myograph.estimators import Features
from myograph.imitation import FeatureImitatingNet
from myograph.models import MODELS
from myograph.training import NeuralClassifier

RESULTS = Path(__file__).parent / "results"
# name: model, options, (channels, samples, classes), windows, batch, bar
EPOCHS = {
    "MobileNetV2 8x24": ("mobilenet_v2", {"grid": (8, 24)}, (192, 1, 8), 512, 128, 2.1),
    "Atzori 10x15": ("atzori", {}, (10, 15, 53), 8192, 256, 1.3),
    "Ding 12x200": ("ding", {}, (12, 200, 17), 384, 128, 1.3),
    "M5 192x20": ("m5", {}, (192, 20, 7), 4096, 256, 1.3),
    "CNN-LSTM 1x500": ("muscle_cnn_lstm", {}, (1, 500, 4), 2048, 256, 3.5),
    "FIN LSTM 1x600": ("fin_lstm", {}, (1, 600, 12), 256, 64, 3.5),
}


def cpu(task: Callable[[], Any]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int) -> tuple[list[float], list[float]]:
    """CPU seconds of both sides, run by turns; the first pair of runs, which loads libraries, does not count."""
    ours(), theirs()
    pairs = [(cpu(ours), cpu(theirs)) for _ in range(runs)]
    return [a for a, _ in pairs], [b for _, b in pairs]


class OneByOne(Dataset):
    def __init__(self, X: np.ndarray, y: np.ndarray):
        self.X, self.y = X, y

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(self.X[i]), int(self.y[i])


def research_loop(model: nn.Module, X: np.ndarray, y: np.ndarray, batch: int, epochs: int = 1) -> None:
    X = (X - X.mean((0, 2))[:, None]) / X.std((0, 2))[:, None]
    loader = DataLoader(OneByOne(X, y), batch_size=batch, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        total, correct = 0.0, 0
        for x, target in loader:
            optimizer.zero_grad()
            output = model(x)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += (output.argmax(1) == target).sum().item()


def epoch_row(name: str, runs: int, scale: float) -> dict[str, Any]:
    model, options, (channels, samples, classes), n, batch, bar = EPOCHS[name]
    n = max(batch, int(n * scale))
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    X = rng.normal(size=(n, channels, samples)).astype(np.float32)
    clf = NeuralClassifier(model, options, epochs=3, batch_size=batch, optimizer="adam", weight_decay=0.0, device="cpu")
    shape = {"n_channels": channels, "n_classes": classes, "n_samples": samples}
    ours, theirs = alternate(
        lambda: clf.fit(X, y), lambda: research_loop(MODELS.create(model, **shape, **options), X, y, batch, 3), runs
    )
    row = compare(name, ours, theirs, bar) | {"windows": n, "batch": batch}
    # Where our time goes: the steps of the network on ready batches, nothing else.
    module = MODELS.create(model, **shape, **options)
    ready = torch.from_numpy(X[:batch])
    with denormals_flushed():
        spent = [cpu(lambda: bare_steps(clf.module_.train(), ready, y[:batch], 3 * (n // batch))) for _ in range(runs)]
    clf.module_.eval()
    row["share of our time in the network's steps"] = min(1.0, statistics.median(spent) / statistics.median(ours))
    row["parameters"] = sum(p.numel() for p in module.parameters())
    return row


def bare_steps(module: nn.Module, x: torch.Tensor, y: np.ndarray, steps: int) -> None:
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    target = torch.from_numpy(y)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), target).backward()
        optimizer.step()


def compare(name: str, ours: list[float], theirs: list[float], bar: float) -> dict[str, Any]:
    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
    print(
        f"{name:24} ours {statistics.median(ours):8.3f} s  theirs {statistics.median(theirs):8.3f} s  {ratio:7.2f}x  bar {bar}x"
    )
    return {
        "name": name,
        "ours_cpu_s": statistics.median(ours),
        "theirs_cpu_s": statistics.median(theirs),
        "ratio": ratio,
        "bar": bar,
        "ours": ours,
        "theirs": theirs,
    }


def joint_row(runs: int, scale: float) -> dict[str, Any]:
    """One joint step of 4 features x 12 channels: 48 recurrent networks in a loop, against 4 over batched channels."""
    batch = max(4, int(16 * scale))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(batch, 12, 600)).astype(np.float32))
    y = torch.from_numpy(np.arange(batch) % 17)
    nets = [FeatureImitatingNet(12, 17, 600, share_channels=s).train() for s in (True, False)]
    optimizers = [
        [torch.optim.Adam(n.imitators.parameters(), 1e-3), torch.optim.Adam(n.classifier.parameters(), 1e-2)]
        for n in nets
    ]

    def step(which: int) -> None:
        for o in optimizers[which]:
            o.zero_grad()
        nn.functional.cross_entropy(nets[which](x), y).backward()
        for o in optimizers[which]:
            o.step()

    def ours() -> None:
        with denormals_flushed():
            step(0)

    return compare("FIN joint step", *alternate(ours, lambda: step(1), runs), 8.0) | {"windows": batch}


def preparation_row(runs: int, scale: float) -> dict[str, Any]:
    """Windows of 300 ms every 10 ms and four features of a DB2-shaped subject: 12 channels, 17 movements x 6 repetitions."""
    seconds = max(1.0, 5.0 * scale)  # of each repetition
    each = int(seconds * 2000)
    rng = np.random.default_rng(0)
    label = np.repeat(np.tile(np.arange(17), 6), each).astype(np.int32)
    repetition = np.repeat(np.repeat(np.arange(1, 7), 17), each).astype(np.int32)
    recording = Recording(rng.normal(size=(12, len(label))).astype(np.float32), 2000.0, label, "1", repetition)
    features = Features(("RMS", "VAR", "SSI", "ENT"))
    table = pd.DataFrame(recording.signal.T.astype(np.float64))
    table["movement"], table["repetition"] = label, repetition
    few = 1  # movements that the other side prepares; its cost is the same for each

    def ours() -> np.ndarray:
        windows = Windows.cut(recording, Windowing(300, 10))
        return features.fit(windows).transform(windows)

    def theirs() -> np.ndarray:
        rows = []
        for movement in range(few):
            for r in range(1, 7):
                part = table[(table["movement"] == movement) & (table["repetition"] == r)]
                for start in range(0, len(part) - 600 + 1, 20):
                    window = part.iloc[start : start + 600, :12].to_numpy().T
                    row = []
                    for channel in window:
                        e = np.exp(channel - channel.max())
                        row += [
                            np.sqrt(np.mean(channel**2)),
                            np.var(channel),
                            np.sum(channel**2),
                            scipy.stats.entropy(e / e.sum()),
                        ]
                    rows.append(row)
        return np.array(rows)

    mine, other = ours(), theirs()
    windows = Windows.cut(recording, Windowing(300, 10))
    same = mine[np.isin(windows.y, [str(m) for m in range(few)])].reshape(-1, 4, 12)
    order = np.lexsort((windows.table["position"], windows.table["repetition"], windows.table["label"].cat.codes))
    same = mine[order][: len(other)].reshape(-1, 4, 12)
    assert np.allclose(same, other.reshape(-1, 12, 4).transpose(0, 2, 1), rtol=1e-3, atol=1e-4), "not the same features"
    a, b = alternate(ours, theirs, runs)
    return compare("FIN preparation", a, [t * 17 / few for t in b], 50.0) | {"windows": len(windows)}


LATENCY = {
    "m5": (192, 20),
    "myonet": (10, 300),
    "atzori": (10, 15),
    "zhai": None,
    "mobilenet_v2": (192, 1),
    "fin_lstm": (1, 600),
    "fin_cnn": (12, 48),
    "gengnet": (128, 1),
    "muscle_cnn_lstm": (1, 500),
    "muscle_cnn": (1, 500),
    "muscle_lstm": (1, 500),
}


def latency_rows(runs: int) -> list[dict[str, Any]]:
    """One window through a fitted estimator's `predict`, eager, and through the network alone; milliseconds."""
    rows = []
    for name in MODELS:
        row = None
        for shape in (LATENCY.get(name), (12, 300), (12, 200), (10, 15), (12, 30), (25, 12), (12, 25), (8, 52)):
            if shape is None:
                continue
            try:
                module = MODELS.create(name, n_channels=shape[0], n_classes=10, n_samples=shape[1])
                row = timed(name, module, shape, runs)
                break
            except Exception as error:  # this size is none of the model's: the next
                last = error
        if row is None:
            print(f"{name}: no size tried fits ({last})")
            continue
        rows.append(row)
        print(f"{name:18} {row['window']:9} predict {row['predict_ms']:.3f} ms  network {row['network_ms']:.3f} ms")
    return rows


def timed(name: str, module: nn.Module, shape: tuple[int, int], runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, *shape)).astype(np.float32)
    clf = NeuralClassifier(name, epochs=1, batch_size=20, device="cpu").fit(X, np.arange(40) % 10)
    x = torch.from_numpy(X[:1])
    network = clf.network_

    def through_network() -> None:
        with torch.inference_mode():
            network(x)

    row: dict[str, Any] = {"model": name, "window": f"{shape[0]}x{shape[1]}"}
    row["parameters"] = sum(p.numel() for p in module.parameters())
    for key, call in (("predict_ms", lambda: clf.predict(X[:1])), ("network_ms", through_network)):
        for _ in range(10):
            call()
        spent = []
        for _ in range(40 * runs):
            start = time.perf_counter()
            call()
            spent.append(time.perf_counter() - start)
        row[key] = 1000 * statistics.median(spent)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    scale = 0.5 if given.quick else 1.0
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        name: (lambda name=name: epoch_row(name, given.runs, scale)) for name in EPOCHS
    }
    tasks["FIN joint step"] = lambda: joint_row(min(3, given.runs), scale)
    tasks["FIN preparation"] = lambda: preparation_row(min(3, given.runs), 0.2 if given.quick else 1.0)
    rows = [task() for name, task in tasks.items() if given.only in name]
    latency = latency_rows(given.runs) if given.only in ("", "latency") else []
    if given.only:
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training.json").write_text(json.dumps({"training": rows, "latency": latency}, indent=1) + "\n")
    lines = [
        "# Training against the research-style loop",
        "",
        "CPU seconds on one thread, medians of alternating runs.",
        "",
    ]
    lines += ["| work | ours | research loop | ratio | bar | in the network's steps |", "|---|---|---|---|---|---|"]
    for r in rows:
        share = r.get("share of our time in the network's steps")
        lines.append(
            f"| {r['name']} | {r['ours_cpu_s']:.3f} | {r['theirs_cpu_s']:.3f} | {r['ratio']:.2f}x | {r['bar']}x "
            f"| {'' if share is None else f'{share:.0%}'} |"
        )
    lines += [
        "",
        "# One window, eager, milliseconds (median)",
        "",
        "| model | window | parameters | predict | network |",
    ]
    lines += ["|---|---|---|---|---|"]
    for r in latency:
        lines.append(
            f"| {r['model']} | {r['window']} | {r['parameters']:,} | {r['predict_ms']:.3f} | {r['network_ms']:.3f} |"
        )
    (RESULTS / "training.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

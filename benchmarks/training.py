"""Training and preparation compared with the loops in which the published systems were trained. Run: python benchmarks/training.py

The other side is written in the style of the published code: a Dataset that returns one window, a DataLoader, a plain
loop that reads each batch's loss; the same layers, optimiser, batch size and number of epochs, data already in memory.
Three epochs, preparation included. Each side of each row runs in a separate process, as the published scripts do,
because our training settings (allocator, denormals) apply to a whole process, and earlier allocations made the other side
of the joint step three times as fast. The sides alternate on one thread. The result is the median of the ratios of CPU
time, since other programs may share the machine. Results: benchmarks/results/training.* and latency.*.
`--only NAME` runs the rows whose name begins with NAME, `--quick` uses fewer windows; neither writes results.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import contextlib
import json
import statistics
import sys
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

from _harness import RESULTS, Peer, Row, has_bf16, write
from myograph import Recording, Windowing, Windows
from myograph.errors import ShapeError
from myograph.features.transformer import Features
from myograph.models import MODELS
from myograph.models._cpu.depthwise import Depthwise
from myograph.training.estimator import NeuralClassifier
from myograph.training.imitation import FeatureImitatingNet
from myograph.training.loop import training_settings

# name: model, options of the estimator, (channels, samples, classes), windows, batch, bar
EPOCHS = {
    "MobileNetV2 8x24": ("mobilenet_v2", {"model_options": {"grid": (8, 24)}}, (192, 1, 8), 1024, 128, 2.1),
    "Atzori 10x15": ("atzori", {}, (10, 15, 53), 8192, 256, 1.3),
    "Ding 12x200": ("ding", {}, (12, 200, 17), 384, 128, 1.3),
    "M5 192x20": ("m5", {}, (192, 20, 7), 4096, 256, 1.3),
    "CNN-LSTM 1x500": ("muscle_cnn_lstm", {}, (1, 500, 4), 2048, 256, 3.5),
    "FIN LSTM 1x600": ("fin_lstm", {}, (1, 600, 12), 256, 64, 3.5),
    # Not the same arithmetic, so without a bar. Left out if the processor has no instructions for it, where it is slower.
    "Atzori 10x15 in bf16": ("atzori", {"precision": "bf16"}, (10, 15, 53), 8192, 256, None),
    "Ding 12x200 in bf16": ("ding", {"precision": "bf16"}, (12, 200, 17), 384, 128, None),
}


def cpu(task: Callable[[], Any]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def windows_like_emg(n: int, channels: int, samples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(X, y): standardised noise whose strength in each channel depends on the class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    strength = rng.uniform(0.3, 1.7, size=(classes, channels, 1))
    return (strength[y] * rng.normal(size=(n, channels, samples))).astype(np.float32), y


class PlainImitator(nn.Module):
    """The published imitator as written: three bidirectional layers, the last state of the top backward half."""

    def __init__(self, n_outputs: int):
        super().__init__()
        self.lstm = nn.LSTM(1, 32, 3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x.transpose(1, 2))[1][0][-1])


class PlainHybrid(nn.Module):
    """The published CNN-LSTM, layer by layer."""

    def __init__(self, n_outputs: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, 32, 5, padding="same"), nn.Conv1d(32, 64, 7, padding="same")
        self.leaky, self.pool, self.dropout = nn.LeakyReLU(0.3), nn.MaxPool1d(2), nn.Dropout(0.2)
        self.each, self.lstm = nn.Linear(64, 50), nn.LSTM(50, 30, batch_first=True)
        self.hidden, self.head = nn.Linear(30, 15), nn.Linear(15, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv1, self.conv2):
            x = self.dropout(self.pool(self.leaky(conv(x))))
        x = self.dropout(self.leaky(self.each(x.transpose(1, 2))))
        return self.head(self.leaky(self.hidden(self.lstm(x)[0][:, -1])))


class PlainM5(nn.Sequential):
    """M5, layer by layer, on (window, sample, channel) read as one column."""

    def __init__(self, n_outputs: int):
        pool = (2, 1)
        super().__init__(
            *(nn.Conv2d(1, 16, (16, 1), stride=(16, 1)), nn.ReLU(), nn.MaxPool2d(pool)),
            *(nn.Conv2d(16, 16, (3, 1)), nn.ReLU(), nn.MaxPool2d(pool)),
            *(nn.Conv2d(16, 32, (3, 1)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n_outputs)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2).reshape(len(x), 1, -1, 1))


def plain_mobilenet(n_outputs: int) -> nn.Module:
    """MobileNetV2 of torch's layers alone."""
    net = MODELS.create("mobilenet_v2", n_channels=192, n_classes=n_outputs, n_samples=1, grid=(8, 24))
    for layer in list(net.modules()):
        for name, part in layer.named_children():
            if isinstance(part, Depthwise):
                n = part.in_channels
                setattr(layer, name, nn.Conv2d(n, n, part.kernel_size, part.stride, part.padding, groups=n, bias=False))
    return net


PLAIN = {
    "fin_lstm": PlainImitator,
    "m5": PlainM5,
    "mobilenet_v2": plain_mobilenet,
    "muscle_cnn_lstm": PlainHybrid,
}


class PlainJoint(nn.Module):
    """The published joint network as written: one imitator per feature and channel, run in sequence."""

    def __init__(self, n_channels: int, n_classes: int):
        super().__init__()
        self.imitators = nn.ModuleList(PlainImitator(12) for _ in range(4 * n_channels))
        self.classifier = MODELS.create("fin_cnn", n_channels=n_channels, n_classes=n_classes, n_samples=48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[1]
        outputs = [one(x[:, i % n : i % n + 1]) for i, one in enumerate(self.imitators)]
        rows = [torch.cat(outputs[channel::n], 1) for channel in range(n)]
        return self.classifier(torch.stack(rows, 1))


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


def epoch_work(side: str, name: str, scale: float) -> Callable[[], Any]:
    model, options, (channels, samples, classes), n, batch, _ = EPOCHS[name]
    X, y = windows_like_emg(max(batch, int(n * scale)), channels, samples, classes)
    shape = {"n_channels": channels, "n_classes": classes, "n_samples": samples}
    if side == "research":
        make = PLAIN.get(model, lambda _: MODELS.create(model, **shape, **options.get("model_options", {})))
        return lambda: research_loop(make(classes), X, y, batch, 3)
    adam = {"optimizer": "adam", "weight_decay": 0.0}
    clf = NeuralClassifier(model, epochs=3, batch_size=batch, device="cpu", **adam, **options)
    if side == "ours":
        return lambda: clf.fit(X, y)
    # Our time without preparation: only the network's steps on ready batches.
    clf.set_params(epochs=1).fit(X[: 2 * batch], y[: 2 * batch])
    ready = torch.from_numpy(X[:batch])
    return lambda: bare_steps(clf.module_.train(), ready, y[:batch], 3 * -(-len(X) // batch))


def bare_steps(module: nn.Module, x: torch.Tensor, y: np.ndarray, steps: int) -> None:
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    target = torch.from_numpy(y)
    with training_settings():
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), target).backward()
            optimizer.step()


def joint_work(side: str, name: str, scale: float) -> Callable[[], Any]:
    """One joint step of 4 features x 12 channels: 48 recurrent networks in a loop, against 4 over batched channels."""
    X, labels = windows_like_emg(max(4, int(16 * scale)), 12, 600, 17)
    x, y = torch.from_numpy(X), torch.from_numpy(labels)
    net = FeatureImitatingNet(12, 17, 600).train() if side == "ours" else PlainJoint(12, 17).train()
    optimizers = [
        torch.optim.Adam(net.imitators.parameters(), 1e-3),
        torch.optim.Adam(net.classifier.parameters(), 1e-2),
    ]
    settings = contextlib.ExitStack()
    if side == "ours":
        settings.enter_context(training_settings())  # as long as there are steps, as in `fit`

    def step(_: Any = settings) -> None:
        for o in optimizers:
            o.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        for o in optimizers:
            o.step()

    return step


def preparation_work(side: str, name: str, scale: float) -> Callable[[], Any]:
    """Windows of 300 ms every 10 ms and four features of a DB2-shaped subject: 12 channels, 17 movements x 6 repetitions."""
    each = int(max(1.0, 5.0 * scale) * 2000)  # samples of each repetition
    rng = np.random.default_rng(0)
    label = np.repeat(np.tile(np.arange(17), 6), each).astype(np.int32)
    repetition = np.repeat(np.repeat(np.arange(1, 7), 17), each).astype(np.int32)
    recording = Recording(rng.normal(size=(12, len(label))).astype(np.float32), 2000.0, label, "1", repetition)
    features = Features(("RMS", "VAR", "SSI", "ENT"))

    def ours() -> np.ndarray:
        windows = Windows.cut(recording, Windowing(300, 10))
        return features.fit(windows).transform(windows)

    if side == "ours":
        return ours
    table = pd.DataFrame(recording.signal.T.astype(np.float64))
    table["movement"], table["repetition"] = label, repetition

    def research() -> np.ndarray:
        """One movement of 17; what it takes counts 17 times."""
        rows = []
        for r in range(1, 7):
            part = table[(table["movement"] == 0) & (table["repetition"] == r)]
            for start in range(0, len(part) - 600 + 1, 20):
                window = part.iloc[start : start + 600, :12].to_numpy().T
                row = []
                for channel in window:
                    e = np.exp(channel - channel.max())
                    entropy = scipy.stats.entropy(e / e.sum())
                    row += [np.sqrt(np.mean(channel**2)), np.var(channel), np.sum(channel**2), entropy]
                rows.append(row)
        return np.array(rows)

    windows = Windows.cut(recording, Windowing(300, 10))
    order = np.lexsort((windows.table["position"], windows.table["repetition"], windows.table["label"].cat.codes))
    other = research().reshape(-1, 12, 4).transpose(0, 2, 1)
    mine = ours()[order][: len(other)].reshape(-1, 4, 12)
    assert np.allclose(mine, other, rtol=1e-3, atol=1e-4), "not the same features"
    return research


WORKS: dict[str, tuple[Callable[..., Callable[[], Any]], float]] = {
    **{name: (epoch_work, row[-1]) for name, row in EPOCHS.items()},
    "FIN joint step": (joint_work, 8.0),
    "FIN preparation": (preparation_work, 50.0),
}


def worker(side: str) -> None:
    """Answers each request on the standard input with the CPU seconds of one run; the first run of a work is for warmth."""
    torch.set_num_threads(1)
    ready: dict[tuple[str, str], Callable[[], Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = request["name"], request.get("part", side)
        if key not in ready:
            ready.clear()
            ready[key] = WORKS[key[0]][0](key[1], key[0], request["scale"])
            ready[key]()
        print(json.dumps({"seconds": cpu(ready[key])}), flush=True)


def compare(name: str, sides: dict[str, Peer], runs: int, scale: float) -> Row:
    pairs = [(sides["ours"](name=name, scale=scale), sides["research"](name=name, scale=scale)) for _ in range(runs)]
    ours, theirs = [a for a, _ in pairs], [17 * b if name == "FIN preparation" else b for _, b in pairs]
    note = f"{statistics.median(ours):.3g} s against {statistics.median(theirs):.3g} s"
    if name in EPOCHS and WORKS[name][1] is not None:
        bare = statistics.median(sides["ours"](name=name, scale=scale, part="bare") for _ in range(runs))
        note += f"; {min(1.0, bare / statistics.median(ours)):.0%} of ours in the network's steps"
    return Row(name, statistics.median(b / a for a, b in zip(ours, theirs)), WORKS[name][1], note=note)


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


def latencies(runs: int) -> list[dict[str, Any]]:
    """One window through a fitted estimator's `predict`, eager, and through the network alone; milliseconds."""
    rows = []
    for name in MODELS:
        for shape in (LATENCY.get(name), (12, 300), (12, 200), (10, 15), (12, 30), (25, 12), (12, 25), (8, 52)):
            if shape is None:
                continue
            try:
                module = MODELS.create(name, n_channels=shape[0], n_classes=10, n_samples=shape[1])
            except ShapeError:  # this size is none of the model's: the next
                continue
            rows.append(timed(name, module, shape, runs))
            break
        else:
            raise LookupError(f"no window size tried fits {name}: add one to LATENCY")
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
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", choices=("ours", "research"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    torch.set_num_threads(1)
    rows = []
    for name in WORKS:
        if name.startswith(given.only) and (has_bf16() or not name.endswith("bf16")):
            sides = {s: Peer(Path(sys.executable), Path(__file__), Path(f"--worker={s}")) for s in ("ours", "research")}
            rows.append(compare(name, sides, given.runs, 0.5 if given.quick else 1.0))
            print(f"{name:18} {rows[-1].value:8.2f}x  bar {rows[-1].bar or 'none'}  {rows[-1].note}", flush=True)
            for peer in sides.values():
                peer.close()
    found = latencies(given.runs) if "latency".startswith(given.only) else []
    table = latency_table(found)
    if given.only or given.quick:
        print(table)
        return
    for name in ("m5", "myonet"):
        row = next(r for r in found if r["model"] == name)
        note = f"{row['window']}; the network alone {row['network_ms']:.3f} ms"
        rows.append(Row(f"{name}, one window, eager", row["predict_ms"], 1.0, "ms", True, note))
    about = "CPU seconds on one thread, medians of alternating runs; latencies by the clock"
    print(write("training", "Training against the research-style loop", rows, figures=about), table, sep="\n")
    (RESULTS / "latency.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "latency.md").write_text(f"# One window, eager, milliseconds (median)\n\n{table}")


def latency_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| model | window | parameters | predict | network |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['model']} | {r['window']} | {r['parameters']:,} | {r['predict_ms']:.3f} | {r['network_ms']:.3f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n" if rows else ""


if __name__ == "__main__":
    main()

"""Small networks and windows that several test files train."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from myograph import Recording, Windowing, Windows
from myograph.training.estimator import NeuralClassifier


class Net(nn.Module):
    """A 2-D convolution, batch norm, dropout: what resume and channels-last can go wrong on."""

    def __init__(self, n_channels, n_classes, n_samples, width=8):
        super().__init__()
        self.conv = nn.Conv2d(1, width, (1, 5), padding=(0, 2))
        self.norm = nn.BatchNorm2d(width, momentum=0.5)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width * n_channels, n_classes)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x[:, None]))).mean(-1)
        return self.head(self.drop(h.flatten(1)))


class Recurrent(nn.Module):
    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.lstm = nn.LSTM(n_channels, 6, batch_first=True)
        self.head = nn.Linear(6, n_classes)

    def forward(self, x):
        return self.head(self.lstm(x.transpose(1, 2))[0][:, -1])


def toy(labels=("a", "b", "z"), per=60, seed=0):
    """(X, y, groups): the label is the amplitude; six repetitions a label."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.array(labels), per)
    size = 2.0 ** np.repeat(np.arange(len(labels)), per)
    X = (rng.normal(size=(len(y), 4, 24)) * 40 * size[:, None, None]).astype(np.float32)
    return X, y, np.tile(np.repeat(np.arange(6), per // 6), len(labels))


def toy_windows(subjects=2, repetitions=5, seed=0):
    rng = np.random.default_rng(seed)
    recordings = []
    for s in range(subjects):
        label = np.tile(np.repeat([0, 1, 2], 120), repetitions)
        repetition = np.repeat(np.arange(1, repetitions + 1), 360)
        signal = rng.normal(size=(4, len(label))) * (10 + 30 * label)
        recordings.append(
            Recording(
                signal.astype(np.float32), 1000.0, label, f"s{s}", repetition, label_names=("rest", "fist", "open")
            )
        )
    return Windows.cut(recordings, Windowing(length_ms=24, step_ms=12))


def small(**changes):
    return NeuralClassifier(**{"model": Net, "epochs": 4, "batch_size": 32, "lr": 1e-2, "device": "cpu", **changes})


def weights(estimator):
    return {k: v.clone() for k, v in estimator.network_.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

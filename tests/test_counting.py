"""Counts against hand counts and the published figures."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from myograph.errors import ConfigError, ShapeError
from myograph.models import MODELS
from myograph.models import cost as counting


def test_m5_by_hand():
    # positions x kernel x inputs x planes: 240 x 16, 118 x 3 x 16 x 16, 57 x 3 x 16 x 32, and 32 x 7
    by_hand = 240 * 16 * 16 + 118 * 3 * 16 * 16 + 57 * 3 * 16 * 32 + 32 * 7
    assert by_hand == 239_840  # the published figure
    row = counting.count("m5", 192, 20, 7, latency=False)
    assert (row["macs"], row["parameters"]) == (by_hand, 2_855)
    # the first layer reads 3840 values and writes 240 x 16, 4 bytes each; no layer moves more
    assert row["activation_bytes"] == 4 * (3840 + 3840)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 17.01), (0.7, 12.03), (0.4, 7.05), (0.2, 4.56)])
def test_mobilenet_as_computed_from_its_table(width, millions):
    row = counting.count("mobilenet_v2", 192, 1, 8, latency=False, width=width, grid=(8, 24))
    assert row["macs"] == pytest.approx(1e6 * millions, abs=5e3)


@pytest.mark.parametrize("both", [False, True])
def test_lstm_by_formula(both):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=both)

        def forward(self, x):
            return self.lstm(x.transpose(1, 2))[0]

    ways = 2 if both else 1
    by_hand = 7 * ways * 4 * 5 * ((3 + 5) + (5 * ways + 5))
    assert counting.macs(Net(), 3, 7) == by_hand
    # A second route: on the meta device torch takes an LSTM apart and counts its matrix products.
    with FlopCounterMode(display=False) as counter:
        Net().to("meta")(torch.empty(1, 3, 7, device="meta"))
    assert counter.get_total_flops() // 2 == by_hand


def test_attention_by_hand():
    net = MODELS.create("temgnet", n_channels=4, n_classes=3, n_samples=50, size=16, heads=2, layers=1)
    tokens, size = 11, 16
    layer = tokens * size * size * (3 + 1 + 2 + 2) + 2 * tokens * tokens * size
    assert counting.macs(net, 4, 50) == 10 * 20 * size + layer + size * 3


def test_a_network_of_your_own_is_left_as_it_was():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(), nn.Linear(5, 2)).train()
    row = counting.count(net, 3, 4, 2)
    assert row["macs"] == 12 * 5 + 5 * 2
    assert row["activation_bytes"] == 4 * (12 + 12)
    assert net.training
    assert next(net.parameters()).device == torch.device("cpu")
    assert 0 < row["latency_ms"] < 1000
    assert not any(m._forward_hooks for m in net.modules())
    with pytest.raises(ConfigError, match="width"):
        counting.count(net, 3, 4, 2, width=1)


def test_table_has_every_model_and_says_why_one_does_not_fit():
    rows = {row["name"]: row for row in counting.table()}
    assert set(rows) == set(MODELS)
    assert all(row["parameters"] > 0 and row["macs"] > 0 and row["summary"] and row["source"] for row in rows.values())
    assert rows["atzori"]["parameters"] == 84_853
    assert rows["atzori"]["published"]["stated_parameters"] == 84_853
    rows = {row["name"]: row for row in counting.table(["m5", "zhai"], n_channels=8, n_samples=50)}
    assert "25 principal" in rows["zhai"]["why"]
    assert rows["zhai"]["published"]["parameters"] > 0
    assert rows["m5"]["samples"] == 50
    assert rows["m5"]["published"]["macs"] == 239_840
    with pytest.raises(ShapeError):
        counting.info("zhai", 12, 300)
    with pytest.raises(ShapeError, match="12 channels x 0 samples"):
        counting.info("atzori", 12, 0)

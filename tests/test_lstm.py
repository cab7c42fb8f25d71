"""The compiled LSTM against torch's own, in double precision."""

import copy
import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from myograph.models import MODELS
from myograph.models._cpu.lstm import LSTM
from myograph.models.layers import compilable


def gradients(output, inputs, slope):
    return torch.autograd.grad(output, inputs, slope, retain_graph=True, allow_unused=True)


def apart(mine, plain):
    """The difference of two tensors, relative to the size of the second."""
    mine, plain = mine.detach(), plain.detach()
    return float((mine - plain).norm() / plain.norm().clamp_min(1e-12))


@given(
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(1, 3),
    st.booleans(),
    st.integers(1, 20),
    st.integers(1, 30),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_like_torch(n_in, hidden, layers, both, rows, steps, seed):
    torch.manual_seed(seed)
    mine = LSTM(n_in, hidden, layers, both)
    plain = nn.LSTM(n_in, hidden, layers, batch_first=True, bidirectional=both).double()
    plain.load_state_dict(mine.state_dict())
    x = torch.randn(rows, steps, n_in, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    states, (ends, _) = plain(x64)
    for output, expected in ((mine.states(x), states), (mine.last(x), ends[-1])):
        assert output.grad_fn is not None
        # Rounding in float32 puts torch's own up to 1.3e-6 away from its float64 (64 inputs, 300 draws).
        torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=4e-6)
        slope = torch.randn_like(output)
        found = gradients(output, [x, *mine.parameters()], slope)
        wanted = gradients(expected, [x64, *plain.parameters()], slope.double())
        for a, b in zip(found, wanted):
            if a is None:  # of the half that feeds nothing
                assert b is None or b.abs().max() == 0
            else:
                assert apart(a, b) < 1e-4


@pytest.mark.parametrize("wide", [False, True])
def test_like_torch_with_registers_of_either_width(wide, monkeypatch):
    from llvmlite import binding
    from numba import njit

    from myograph._common import jit
    from myograph.models._cpu import lstm_kernel

    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {"avx512f": wide})
    # Without a cache, which holds the code for this processor's width.
    monkeypatch.setattr(jit, "njit", lambda cache=False, **options: njit(**options))
    spec = importlib.util.spec_from_file_location("lstm_kernel_of_another_width", lstm_kernel.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert (other.LANES == 16) == wide
    monkeypatch.setattr("myograph.models._cpu.lstm._kernel", lambda: other)
    for n_in, hidden, rows in ((1, 20, 9), (7, 5, 16), (66, 17, 3)):
        test_like_torch.hypothesis.inner_test(n_in, hidden, 2, True, rows, 7, seed=0)


def kernels_run(monkeypatch):
    from myograph.models._cpu import lstm_kernel as _lstm_kernel

    seen = []
    for name in ("forward", "backward"):
        real = getattr(_lstm_kernel, name)
        monkeypatch.setattr(_lstm_kernel, name, lambda *a, real=real, name=name: (seen.append(name), real(*a)))
    return seen


def test_large_inputs_saturate_as_torch_does():
    mine = LSTM(2, 5)
    with torch.no_grad():
        for p in mine.parameters():
            p.mul_(30)
    x = 100 * torch.randn(9, 12, 2)
    torch.testing.assert_close(mine.states(x), mine(x)[0], rtol=1e-4, atol=1e-4)


def test_threads_change_nothing_but_rounding(monkeypatch):
    monkeypatch.setattr("myograph.models._cpu.lstm.WORTH", 1)  # even so small a task
    seen = kernels_run(monkeypatch)
    net = LSTM(3, 20, 2, True)
    x = torch.randn(50, 11, 3)
    found = []
    before = torch.get_num_threads()
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            output = net.states(x)
            found.append([output, *gradients(output.square().sum(), list(net.parameters()), None)])
    finally:
        torch.set_num_threads(before)
    assert seen.count("forward") == 2 * (1 + 3)
    for a, b in zip(*found):
        assert apart(a, b) < 1e-5


def test_where_torch_itself_runs(monkeypatch):
    seen = kernels_run(monkeypatch)
    net, x = LSTM(3, 4), torch.randn(2, 5, 3)
    with torch.no_grad():
        quiet = net.states(x)
    copy.deepcopy(net).double().states(x.double()).sum().backward()
    # Torch cannot run its LSTM in bfloat16 on every processor, so a known answer stands in for it.
    answer = torch.full((1, 2, 4), 7.0)
    with monkeypatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(LSTM, "forward", lambda self, x: (x, (answer, answer)))
        assert torch.equal(net.last(x), answer[-1])
    assert not seen
    torch.testing.assert_close(quiet, net.states(x), rtol=1e-5, atol=1e-6)
    assert seen == ["forward"]


def test_the_environment_turns_compiled_layers_off(monkeypatch):
    x = torch.randn(2, 40, 3)
    assert compilable(x)
    monkeypatch.setenv("MYOGRAPH_COMPILED", "0")
    assert not compilable(x)
    seen = kernels_run(monkeypatch)
    LSTM(3, 4).states(x).sum().backward()
    assert not seen


def test_many_windows_without_gradients_run_through_the_kernel_in_parts(monkeypatch):
    monkeypatch.setattr("myograph.models._cpu.lstm.HELD", 300)
    seen = kernels_run(monkeypatch)
    net, x = LSTM(3, 4, 2, True), torch.randn(70, 11, 3)
    with torch.no_grad():
        quiet, last, expected = net.states(x), net.last(x), net(x)[0]
    assert seen == 2 * ["forward"] * 2 * 3  # 27 rows, 27 and 16, through two layers, twice
    torch.testing.assert_close(quiet, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(last, expected[:, 0, 4:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 2), (2, 0, 3)])
def test_inputs_that_do_not_fit_are_refused_and_not_read_past_their_end(shape):
    for ask in (LSTM(3, 4).states, LSTM(3, 4, bidirectional=True).last):
        with pytest.raises(RuntimeError, match=r"[Ee]xpected|must be equal"):
            ask(torch.randn(shape))


@pytest.mark.parametrize("name", ["fin_lstm", "muscle_cnn_lstm", "muscle_lstm"])
def test_networks_train_through_the_kernels(name, monkeypatch):
    seen = kernels_run(monkeypatch)
    net = MODELS.create(name, n_channels=2, n_classes=3, n_samples=40)
    net(torch.randn(3, 2, 40)).sum().backward()
    assert set(seen) == {"forward", "backward"}


def test_a_state_goes_to_torch_and_back():
    mine, plain = LSTM(2, 3, 2, True), nn.LSTM(2, 3, 2, batch_first=True, bidirectional=True)
    assert list(mine.state_dict()) == list(plain.state_dict())
    torch.manual_seed(1)
    first = LSTM(2, 3).state_dict()
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), nn.LSTM(2, 3).state_dict().values()))


def test_the_top_layer_runs_backwards_alone():
    net = LSTM(2, 6, 2, True)
    x = torch.randn(5, 7, 2)
    idle = gradients(net.last(x).sum(), list(net.parameters()), None)
    assert sum(g is None for g in idle) == 4
    with torch.no_grad():
        torch.testing.assert_close(net.last(x), net(x)[0][:, 0, 6:], rtol=1e-5, atol=1e-6)

"""The training loop's parts, against torch's own and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from myograph.errors import ConfigError
from myograph.evaluation.recipe import Recipe
from myograph.training.batches import GATHER_BYTES, Batches, Normalise
from myograph.training.estimator import NeuralClassifier
from myograph.training.loop import Trainer, balanced_order, batches_of, training_settings
from myograph.training.objectives import Objective
from myograph.training.plan import Plan, lr_factor, make_optimizer
from networks import Net, small, toy, toy_windows


def optimizer_lrs(scheduler_of, epochs, steps=1):
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    scheduler = scheduler_of(optimizer)
    out = []
    for _ in range(epochs * steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def test_schedules_agree_with_torch():
    from torch.optim import lr_scheduler as S

    n = 20
    cases = {
        "cosine": ({}, lambda o: S.CosineAnnealingLR(o, n)),
        "period": ({"period": 5}, lambda o: S.CosineAnnealingLR(o, 5)),
        "step": ({"every": 4, "factor": 0.5}, lambda o: S.StepLR(o, 4, 0.5)),
        "milestones": ({"milestones": (3, 9)}, lambda o: S.MultiStepLR(o, [3, 9], 0.1)),
    }
    for name, (options, scheduler) in cases.items():
        schedule = name if name in ("cosine", "step") else {"period": "cosine", "milestones": "step"}[name]
        plan = Plan(epochs=n, schedule=schedule, schedule_options=options)
        ours = [lr_factor(plan, e, e / n) for e in range(n)]
        assert ours == pytest.approx(optimizer_lrs(scheduler, n), abs=1e-6), name
    one = Plan(epochs=n, schedule="onecycle")
    ours = [lr_factor(one, 0, i / 1000) for i in range(1000)]
    assert max(ours) == pytest.approx(1.0)
    assert ours[0] == pytest.approx(0.04)
    assert np.argmax(ours) == 300
    warm = Plan(epochs=10, schedule="constant", schedule_options={"warmup": 2})
    assert lr_factor(warm, 1, 0.1) == pytest.approx(0.5, abs=1e-3)
    assert lr_factor(warm, 3, 0.3) == 1.0


def test_plateau_lowers_the_rate_only_when_nothing_improves():
    X, y, _ = toy()
    a = small(schedule="plateau", schedule_options={"wait": 1, "factor": 0.5}, epochs=12, lr=0.3, normalise="none").fit(
        X, y
    )
    rate, best = 0.3, np.inf
    for _, row in a.history_.iterrows():
        assert row["lr"] == pytest.approx(rate)
        if row["train_loss"] >= best:
            rate /= 2
        best = min(best, row["train_loss"])
    assert rate < 0.3


@pytest.mark.parametrize(("spare", "of_rest"), [(False, (0.1, 0.1, 0.2)), (True, (0.0, 0.0, 0.0))])
def test_which_parameters_decay(spare, of_rest):
    """As published everything decays; the option spares norms and biases, in layers with rates of their own too."""
    net = Net(4, 3, 24)
    layers = {"head": {"lr": 0.5, "weight_decay": 0.2}, "conv": 0.1}
    plan = Plan(weight_decay=0.1, layers=layers, spare_biases_and_norms=spare)
    names = {id(p): n for n, p in net.named_parameters()}
    groups = make_optimizer(net, plan).param_groups
    how = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    conv, norm, head = of_rest
    assert how == {
        "conv.weight": (pytest.approx(1e-4), 0.1),
        "conv.bias": (pytest.approx(1e-4), conv),
        "norm.weight": (1e-3, norm),
        "norm.bias": (1e-3, norm),
        "head.weight": (0.5, 0.2),
        "head.bias": (0.5, head),
    }


def test_a_step_without_gradient_shrinks_what_decays_and_nothing_else():
    """AdamW multiplies a parameter whose gradient is zero by 1 - lr * decay in each step."""
    for spare in (False, True):
        net = Net(4, 3, 24)
        nn.init.ones_(net.conv.bias)
        before = {k: v.clone() for k, v in net.named_parameters()}
        optimizer = make_optimizer(net, Plan(lr=0.5, weight_decay=0.2, spare_biases_and_norms=spare))
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        for k, p in net.named_parameters():
            kept = spare and k not in ("conv.weight", "head.weight")
            assert torch.allclose(p, before[k] if kept else 0.9 * before[k]), (spare, k)


def test_the_option_reaches_the_optimiser_and_changes_a_recipe_only_when_it_is_on():
    X, y, _ = toy()
    nets = [small(epochs=1, weight_decay=0.5, spare_biases_and_norms=s).fit(X, y).module_ for s in (False, True)]
    assert not torch.allclose(nets[0].norm.weight, nets[1].norm.weight)
    recipes = [
        Recipe("r", "simulated", method=NeuralClassifier("m5", **more))
        for more in ({}, {"spare_biases_and_norms": True})
    ]
    assert "spare_biases_and_norms" not in recipes[0].as_dict()["method"]
    assert recipes[0].identity({}) != recipes[1].identity({})
    with pytest.raises(ConfigError, match="True or False"):
        Plan(spare_biases_and_norms=1)


def test_frozen_layers_do_not_move_nor_do_their_statistics():
    X, y, _ = toy()
    start = small(epochs=1).fit(X, y)
    state = start.module_.state_dict()
    a = small(pretrained=state, layers={"conv": 0, "norm": 0}).fit(X[::-1].copy() * 3, y)
    after = a.module_.state_dict()
    for name in state:
        assert torch.equal(state[name], after[name]) == (not name.startswith("head")), name


def test_ema_is_the_average_it_says():
    X, _, _ = toy()
    net = Net(4, 3, 24)
    plan = Plan(epochs=3, batch_size=180, ema=0.5, schedule="constant")
    trainer = Trainer(net, plan, Objective(), torch.device("cpu"))
    batches = Batches(X, np.arange(len(X)), torch.randn(len(X), 3), Normalise("channel", 4), torch.device("cpu"))
    mean = net.head.weight.detach().clone()
    for row in trainer.run(batches):
        decay = min(0.5, (1 + row["epoch"]) / (10 + row["epoch"]))
        mean = decay * mean + (1 - decay) * net.head.weight.detach()
    assert torch.allclose(trainer.result().head.weight, mean, atol=1e-7)


def test_balanced_class_weights_are_scikit_learn_s():
    from sklearn.utils.class_weight import compute_class_weight

    codes = np.repeat([0, 1, 2], [50, 5, 20])
    a = small(class_weight="balanced")
    a.classes_ = np.array(["a", "b", "z"])
    weight = a._objective(torch.from_numpy(codes), torch.device("cpu")).weight
    assert weight.numpy() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=codes))
    a.set_params(class_weight={"b": 4.0})
    assert a._objective(torch.from_numpy(codes), torch.device("cpu")).weight.tolist() == [1, 4, 1]


def test_balanced_sampling_draws_every_class_and_row_equally():
    codes = torch.from_numpy(np.repeat([0, 1, 2], [500, 5, 200]))
    drawn = torch.cat([balanced_order(codes)(torch.Generator().manual_seed(s)) for s in range(40)])
    counts = torch.bincount(codes[drawn]).numpy()
    assert stats.chisquare(counts).pvalue > 0.001
    assert stats.chisquare(torch.bincount(drawn, minlength=705)[500:505].numpy()).pvalue > 0.001


def test_batch_norm_never_sees_a_batch_of_one():
    assert [len(p) for p in batches_of(torch.arange(65), 32)] == [32, 33]
    assert [len(p) for p in batches_of(torch.arange(64), 32)] == [32, 32]
    X, y, _ = toy()
    small(epochs=1).fit(X[27:92], y[27:92])


def test_mixup_and_copies_train():
    X, y, _ = toy()
    a = small(epochs=25, augment=["mixup"], label_smoothing=0.1).fit(X, y)
    b = small(epochs=12, augment=["noise"], augment_copies=1).fit(X, y)
    assert a.score(X, y) > 0.9
    assert b.score(X, y) > 0.9


def test_copies_double_the_epoch_and_leave_originals_alone(monkeypatch):
    X, y, _ = toy()
    seen = []
    monkeypatch.setattr(
        Net,
        "forward",
        lambda self, x: (
            (seen.append(x.clone()) if self.training else None) or self.head(self.conv(x[:, None]).mean(-1).flatten(1))
        ),
    )
    small(epochs=1, normalise="none", augment=[("noise", 0.0)], augment_copies=1).fit(X, y)
    x = torch.cat(seen)
    assert len(x) == 2 * len(X)
    originals = {row.numpy().tobytes() for row in x} & {row.tobytes() for row in X}
    assert len(originals) == len(X)


def test_lazy_batches_equal_gathered_ones():
    w = toy_windows()
    rows, cpu = np.arange(0, len(w), 3), torch.device("cpu")
    normalise = Normalise("channel", 4).learn(w, rows)
    targets = torch.arange(len(rows))
    parts = [torch.tensor([5, 2, 9]), torch.tensor([0, 1])]
    both = [Batches(w, rows, targets, normalise, cpu, gather_bytes=b) for b in (0, GATHER_BYTES)]
    assert both[0].data is None
    assert both[1].data is not None
    for (xa, ya), (xb, yb) in zip(both[0].take(parts), both[1].take(parts)):
        assert torch.equal(xa, xb)
        assert torch.equal(ya, yb)


def test_history_is_a_table_and_a_plot(tmp_path):
    X, y, groups = toy()
    a = small(epochs=3, validation=0.34).fit(X, y, groups=groups)
    columns = ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "lr", "seconds"]
    assert a.history_.columns.tolist() == columns
    page = a.plot_history(tmp_path / "h.html")
    assert page == (tmp_path / "h.html").read_text(encoding="utf8")
    assert page.count("<svg") == 2
    for value in a.history_[["train_loss", "valid_loss", "train_accuracy", "valid_accuracy"]].to_numpy().ravel():
        assert f": {value:.3g}" in page
    with pytest.raises(ConfigError, match="html"):
        a.plot_history(tmp_path / "h.pdf")


def test_progress_bar_shows_loss_and_accuracy(capsys):
    X, y, groups = toy()
    small(epochs=2, validation=0.34, verbose=1).fit(X, y, groups=groups)
    assert "valid loss" in capsys.readouterr().out


def test_denormals_are_flushed_only_while_training():
    X, y, _ = toy()
    tiny = torch.tensor([1e-30])
    seen = []

    class Watch(Net):
        def forward(self, x):
            seen.append((tiny * 1e-10).item())
            return super().forward(x)

    small(model=Watch, epochs=1).fit(X, y)
    assert set(seen[1:]) == {0.0}
    assert (tiny * 1e-10).item() > 0


def flushes() -> bool:
    return (torch.full((4,), 1e-30) * 1e-10)[0].item() == 0.0


def test_denormals_are_flushed_where_backward_runs_and_only_inside():
    seen = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            seen.append(flushes())
            return grad

    x = torch.ones(2, requires_grad=True)
    before = flushes()
    with training_settings():
        with training_settings():
            Look.apply(x).sum().backward()
        assert flushes()  # the inner end leaves the outer's settings
    assert seen == [True]
    assert flushes() == before

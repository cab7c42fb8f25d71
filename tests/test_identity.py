"""Two recipes have one identity only where they do the same: the user's own code counts, closures and all."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from myograph import WithinSubject
from myograph.evaluation.identity import Description, describe
from myograph.evaluation.recipe import Recipe


def identity(value):
    return Recipe("r", "own", WithinSubject(), FunctionTransformer(np.abs, kw_args={"v": value})).identity({})


def load(folder, text, name="users_module"):
    """A module of the user's, as it would be imported after an edit."""
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _forget_the_users_modules():
    yield
    for name in ("users_module", "users_helper"):
        sys.modules.pop(name, None)


BASE = """
    import numpy as np
    SCALE = 2.0

    def helper(x):
        return SCALE * x

    def closure(k):
        return lambda X: X[:, :k]

    class Base:
        def step(self, x):
            return x + 1

    class Step(Base):
        gain = 3

        def __init__(self, a=1):
            self.a = a

        @property
        def twice(self):
            return 2 * self.a

        @staticmethod
        def fixed(x):
            return [v for v in x if v > 0]

        def __call__(self, x):
            return self.step(helper(x))

    def outer(x, y=1, *, z=2):
        def inner(v):
            return v * 10
        return inner(helper(x)) + y + z

    def in_a_set(x):
        return x in {"a", "b", "c", "d", "e"}
"""
EDITS = {
    "a constant of a nested function": ("v * 10", "v * 11"),
    "a default": ("y=1", "y=2"),
    "a keyword default": ("z=2", "z=3"),
    "a global value that a helper uses": ("SCALE = 2.0", "SCALE = 2.5"),
    "a helper": ("SCALE * x", "SCALE - x"),
    "a method of the base class": ("return x + 1", "return x + 2"),
    "a class attribute": ("gain = 3", "gain = 4"),
    "a property": ("2 * self.a", "4 * self.a"),
    "a comprehension": ("if v > 0", "if v > 1"),
    "a member of a set": ('"e"}', '"f"}'),
}


def everything(module):
    return [module.outer, module.Step, module.Step(), module.closure(2), module.in_a_set]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_users_code_changes_the_identity(tmp_path, edit):
    before = identity(everything(load(tmp_path, BASE)))
    old, new = EDITS[edit]
    assert BASE.count(old) == 1
    assert identity(everything(load(tmp_path, BASE.replace(old, new)))) != before


def test_comments_and_moved_lines_make_no_difference(tmp_path):
    before = identity(everything(load(tmp_path, BASE)))
    edited = "# a comment\n\n" + textwrap.dedent(BASE).replace("return SCALE * x", "return SCALE * x  # scaled")
    assert identity(everything(load(tmp_path, edited))) == before


def test_a_closure_counts_with_what_it_holds(tmp_path):
    module = load(tmp_path, BASE)
    assert identity(module.closure(2)) == identity(module.closure(2))
    assert identity(module.closure(2)) != identity(module.closure(40))
    far = np.zeros(1000)
    other = far.copy()
    other[500] = 1
    assert identity(module.closure(far)) != identity(module.closure(other))


def test_code_in_another_module_of_the_users_counts(tmp_path):
    main = """
        import users_helper
        def f(x):
            return users_helper.g(x)
    """
    found = []
    for value in (1, 2):
        load(tmp_path, f"def g(x):\n    return x + {value}\n", "users_helper")
        found.append(identity(load(tmp_path, main).f))
    assert found[0] != found[1]


def test_decorated_cached_bound_and_partial_functions_count(tmp_path):
    text = """
        import functools
        @functools.lru_cache
        def cached(x): return x + 1
        def plain(x): return x + 1
        class Thing:
            def __init__(self, n): self.n = n
            def method(self, x): return x + self.n
    """
    one, two = (
        [m.cached, functools.partial(m.plain, 1), m.Thing(3).method]
        for m in (
            load(tmp_path, text),
            load(tmp_path, text.replace("x + 1", "x + 2").replace("x + self.n", "x - self.n")),
        )
    )
    assert all(identity(a) != identity(b) for a, b in zip(one, two))
    module = load(tmp_path, text)
    assert identity(module.Thing(3).method) != identity(module.Thing(4).method)


def test_functions_that_call_each_other_and_values_that_hold_themselves_have_an_identity(tmp_path):
    module = load(tmp_path, "def f(x): return g(x)\ndef g(x): return f(x) if x else 0\n")
    assert identity(module.f) == identity(module.f)
    circle = [1]
    circle.append(circle)
    assert identity(circle) == identity(circle)


def test_the_identity_is_the_same_in_every_process(tmp_path):
    (tmp_path / "users_module.py").write_text(textwrap.dedent(BASE))
    code = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(tmp_path)!r}]
        import numpy as np
        import users_module as m
        from myograph.evaluation.identity import describe
        values = [m.outer, m.Step, m.Step(), m.closure(2), m.in_a_set, {{"x", "y", "z"}}, np.random.default_rng(3)]
        print(describe(values))
    """)
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "12"
    ]
    assert found[0] == found[1]
    assert "0x" not in found[0]


def test_what_was_fitted_before_counts_with_what_it_learnt(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2))
    fitted = [LogisticRegression().fit(X, X[:, i] > 0) for i in (0, 1)]
    methods = [make_pipeline(FunctionTransformer(), FrozenEstimator(f)) for f in fitted]
    found = [Recipe("r", "own", WithinSubject(), m).identity({}) for m in methods]
    assert found[0] != found[1]
    torch.manual_seed(0)
    assert describe(torch.nn.Linear(2, 2)) != describe(torch.nn.Linear(2, 2))


def test_a_pretrained_file_counts_with_its_content(tmp_path):
    from myograph import NeuralClassifier

    weights = tmp_path / "net.safetensors"
    found = []
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        found.append(identity(NeuralClassifier(pretrained=str(weights))))
    assert found[0] != found[1]


def test_what_nothing_can_be_said_about_is_named():
    description = Description()
    description.of({"step": [1, (i for i in range(3))]}, "method")
    assert description.unknown == ["method.step.1 (generator)"]
    clean = Description()
    clean.of([np.random.default_rng(0), {1, 2}, np.arange(3), functools.partial(np.abs), object, torch.nn.ReLU()])
    assert clean.unknown == []


def test_installed_code_is_described_by_its_name():
    assert describe(np.median) == "numpy.median"
    assert describe(LogisticRegression) == "sklearn.linear_model._logistic.LogisticRegression"

"""Attempts to have one recipe's kept results taken for another's: values and code that differ in a way that is easily
overlooked have different identities, or the run does not resume and says why."""

from __future__ import annotations

import collections
import fractions
import functools
import importlib
import importlib.util
import operator
import pathlib
import sys
import textwrap
import types
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from myograph import WithinSubject
from myograph.evaluation import identity as spine
from myograph.evaluation.identity import Description, describe, is_fitted_name, is_own
from myograph.evaluation.recipe import Recipe


def identity(value):
    return Recipe("r", "own", WithinSubject(), FunctionTransformer(np.abs, kw_args={"v": value})).identity({})


LONG = np.arange(5000.0)
OTHER = np.where(np.arange(5000) == 2500, -1, LONG)  # differs where the text of an array shows "..."
X = [np.random.default_rng(i).normal(size=(40, 2)) for i in (0, 1)]


def fitted(estimator, i):
    return FrozenEstimator(estimator.fit(X[i], np.arange(40) % 2))


def with_attribute(k):
    def function(x):
        return function.k * x

    function.k = k
    return function


def scaled(k):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return k * function(x)

        return wrapper

    return decorate


def nested(k):
    def outer(x):
        return (lambda z: z * k)(x)

    return outer


def cell(k):
    held = [k]
    return lambda x: held[0] * x


class Slots:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return x[: self.k]


class Quiet:
    def __init__(self, k):
        self.k = k

    def __repr__(self):
        return "Quiet"


class Colour(Enum):
    RED = 1
    BLUE = 2


def local_class(k):
    class Local:
        def step(self, x):
            return x * k

    return Local


def torch_sequence(k):
    import torch

    class Scale(torch.nn.Module):
        def forward(self, x):
            return x * k

    return torch.nn.Sequential(torch.nn.ReLU(), Scale())


PAIRS = {
    "a nearest neighbour's training samples": lambda i: fitted(KNeighborsClassifier(1), i),
    "a support vector machine's": lambda i: fitted(SVC(), i),
    "a forest's trees": lambda i: fitted(RandomForestClassifier(2, random_state=0), i),
    "a large sparse matrix": lambda i: scipy.sparse.csr_matrix((LONG, OTHER)[i][None]),
    "a queue of arrays": lambda i: collections.deque([(LONG, OTHER)[i]]),
    "a namespace of arrays": lambda i: types.SimpleNamespace(a=(LONG, OTHER)[i]),
    "the default of a dictionary": lambda i: collections.defaultdict((lambda: 1, lambda: 2)[i]),
    "the names of columns": lambda i: pd.DataFrame(X[0], columns=(["a", "b"], ["b", "a"])[i]),
    "the index of a series": lambda i: pd.Series(LONG, index=np.arange(5000) + i),
    "a table's cells": lambda i: pd.DataFrame({"a": (LONG, OTHER)[i]}),
    "an array's mask": lambda i: np.ma.array(X[0], mask=X[i] > 0),
    "a masked array's values": lambda i: np.ma.array(X[i], mask=X[0] > 9),
    "an array's number type": lambda i: LONG.astype((np.float32, np.float64)[i]),
    "an array's shape": lambda i: LONG.reshape((50, 100) if i else (100, 50)),
    "long arrays in an array of objects": lambda i: np.array([(LONG, OTHER)[i], [1]], object),
    "a layer of one's own in an installed one": lambda i: torch_sequence(i),
    "an array of objects": lambda i: np.array([{"a": i}, None], object),
    "33 numbers": lambda i: np.arange(33) == 20 + i,
    "dates": lambda i: np.array(["2020-01-01", f"2020-01-0{i + 1}"], "datetime64[D]"),
    "vectorize": lambda i: np.vectorize((lambda x: x + 1, lambda x: x + 2)[i]),
    "an attribute of a function": with_attribute,
    "a keyword of partial": lambda i: functools.partial(lambda x, k: x, k=i),
    "the function of partial": lambda i: functools.partial((min, max)[i], 3),
    "a position of partial": lambda i: functools.partial(max, i),
    "a lambda in a list in a tuple": lambda i: [("a", [(lambda x: x, lambda x: -x)[i]])],
    "a lambda in a dictionary": lambda i: {"f": {"g": (lambda x: x, lambda x: -x)[i]}},
    "a method caller": lambda i: operator.methodcaller("sum", axis=i),
    "a decorator's argument": lambda i: scaled(i)(abs),
    "a decorated function": lambda i: scaled(1)((lambda x: x, lambda x: -x)[i]),
    "a cached closure": lambda i: functools.lru_cache(cell(i)),
    "a closure in a nested function": nested,
    "a list that a closure holds": cell,
    "an object with slots": Slots,
    "an object that shows nothing": Quiet,
    "a member of an enum": lambda i: (Colour.RED, Colour.BLUE)[i],
    "a class made by a function": local_class,
    "an object of a class made by a function": lambda i: local_class(i)(),
    "a bound method's object": lambda i: Slots(i).__call__,
    "a step of a pipeline": lambda i: make_pipeline(FunctionTransformer(cell(i)), SVC()),
    "bytes": lambda i: b"\0" * 5000 + bytes([i]),
    "a range": lambda i: range(i),
    "a slice": lambda i: slice(0, i),
    "a complex number": lambda i: complex(1, i),
    "a fraction": lambda i: fractions.Fraction(1, 2 + i),
    "a path": lambda i: pathlib.Path(f"a{i}"),
    "a number type": lambda i: (np.dtype("f4"), np.dtype("f8"))[i],
    "a set": lambda i: {"a", "b", f"c{i}"},
    "text that spells a number": lambda i: ("1", 1)[i],
    "truth that equals a number": lambda i: (True, 1)[i],
    "a tuple of one": lambda i: (None, (None,))[i],
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_two_values_that_do_different_things_have_two_identities(pair):
    make = PAIRS[pair]
    first, same, other = identity(make(0)), identity(make(0)), identity(make(1))
    assert first == same
    assert first != other
    assert not Recipe("r", "own", method=FunctionTransformer(kw_args={"v": make(0)})).unknown_parts()


def test_a_function_of_arrays_made_from_a_function_of_numbers_cannot_be_told_from_another():
    for value in (np.frompyfunc(lambda x: x + 1, 1, 1), {"log": np.frompyfunc(abs, 1, 1)}):
        description = Description()
        description.of(value, "v")
        assert [where.partition(" ")[2] for where in description.unknown] == ["(ufunc)"]
    known = Description()
    assert known.of(np.log) != known.of(np.exp)
    assert not known.unknown


MODULES = {
    "imported inside a function": {"main": "def f(x):\n import um_helper\n return um_helper.g(x)"},
    "one name imported inside": {"main": "def f(x):\n from um_helper import g as h, g\n return g(x)"},
    "imported inside a nested function": {"main": "def f(x):\n def g():\n  import um_helper\n  return um_helper.g(x)\n return g()"},
    "imported by what is imported inside": {"main": "def f(x):\n import um_a\n return um_a.g(x)", "a": "from um_helper import g"},
    "a module of a package": {"main": "import um_pkg.helper\ndef f(x):\n return um_pkg.helper.g(x)"},
    "a module of a package, imported inside": {"main": "def f(x):\n import um_pkg.helper\n return um_pkg.helper.g(x)"},
    "a module of a package, by its name": {"main": "def f(x):\n from um_pkg import helper\n return helper.g(x)"},
    "imported from a sibling inside": {"main": "from um_pkg import sibling\ndef f(x):\n return sibling.g(x)"},
    "imported from two levels above": {"main": "from um_pkg.sub import deep\ndef f(x):\n return deep.g(x)"},
    "taken by getattr": {"main": "import um_helper\ndef f(x):\n return getattr(um_helper, 'g')(x)"},
    "taken by getattr in a nested function": {"main": "import um_helper\ndef f(x):\n return (lambda: getattr(um_helper, 'g'))()(x)"},
    "a base class": {"main": "import um_helper\nclass C(um_helper.B): pass\nf = C()"},
    "functions in a list": {"main": "import um_helper\ndef f(x):\n return [h(x) for h in um_helper.LIST]"},
    "everything imported": {"main": "from um_helper import *\ndef f(x):\n return g(x)"},
    "under another name": {"main": "import um_helper as h\nk = h.g\ndef f(x):\n return (lambda: k(x))()"},
    "a default": {"main": "import um_helper\ndef f(x, k=um_helper.VALUE): return x * k"},
    "modules that know each other": {"main": "import um_a\ndef f(x): return um_a.g(x)",
                                     "a": "import um_helper, um_a\ndef g(x): return um_a.um_helper.um_a.um_helper.g(x)"},
    "a compiled program nearby": {"main": "def f(x):\n import um_binary, um_helper\n return um_helper.g(x)"},
}  # fmt: skip
HELPER = "VALUE = 7\ndef g(x): return x * 7\nclass B:\n def g(self, x): return x * 7\nLIST = [lambda x: x * 7]\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write the user's modules, forget what was imported of them, and import the main one."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(parts, helper):
        for name in [n for n in sys.modules if n.startswith("um_")]:
            del sys.modules[name]
        package = tmp_path / "um_pkg"
        (package / "sub").mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "sub" / "__init__.py").touch()
        (package / "sibling.py").write_text("def g(x):\n from .helper import g as h\n return h(x)\n")
        (package / "sub" / "deep.py").write_text("def g(x):\n from ..helper import g\n return g(x)\n")
        (tmp_path / "um_binary.py").write_bytes(b"\xff\xfe\0")
        for place in (tmp_path / "um_helper.py", package / "helper.py"):
            place.write_text(helper)
        for name, text in parts.items():
            (tmp_path / f"um_{name}.py").write_text(text + "\n")
        importlib.invalidate_caches()
        return importlib.import_module("um_main").f

    yield write
    for name in [n for n in sys.modules if n.startswith("um_")]:
        del sys.modules[name]


@pytest.mark.parametrize("way", MODULES)
def test_an_edit_of_another_module_of_the_users_changes_the_identity(modules, way):
    first = identity(modules(MODULES[way], HELPER))
    assert identity(modules(MODULES[way], HELPER)) == first
    assert identity(modules(MODULES[way], HELPER.replace("7", "8"))) != first


def test_a_module_that_is_not_there_or_is_installed_leaves_the_identity_alone(modules):
    text = "def f(x):\n import {}\n return x"
    found = {identity(modules({"main": text.format(name)}, HELPER)) for name in ("um_absent", "numpy.linalg")}
    assert len(found) == 2  # by the name alone
    assert spine._imported_inside(compile("import numpy.linalg, um_absent, json", "f", "exec"), "") == {}


def test_a_name_that_the_function_does_not_use_makes_no_difference(modules):
    main = "import um_helper\nUNUSED = 1\ndef f(x): return um_helper.VALUE * x"
    first = identity(modules({"main": main}, HELPER))
    assert identity(modules({"main": main.replace("UNUSED = 1", "UNUSED = 2")}, HELPER)) == first
    assert identity(modules({"main": main}, HELPER.replace("x * 7", "x * 8"))) == first
    assert identity(modules({"main": main}, HELPER.replace("VALUE = 7", "VALUE = 8"))) != first


def test_environment_variables_that_the_code_names_count(monkeypatch):
    import os

    monkeypatch.setenv("UM_ORDER", "2")
    monkeypatch.setenv("UM_OTHER", "2")
    ways = [lambda x: x[: int(os.environ["UM_ORDER"])], lambda x: x[: int(os.getenv("UM_ORDER", "9"))]]
    first = [identity(way) for way in ways]
    monkeypatch.setenv("UM_OTHER", "3")
    assert [identity(way) for way in ways] == first
    monkeypatch.setenv("UM_ORDER", "3")
    changed = [identity(way) for way in ways]
    monkeypatch.delenv("UM_ORDER")
    for i, way in enumerate(ways):
        assert len({first[i], changed[i], identity(way)}) == 3
    assert identity(lambda x: "UM_OTHER") == identity(lambda x: "UM_OTHER")


# What the description says, where it can be read off.


@dataclass(frozen=True)
class Settings:
    a: int = 1
    b: tuple = (1, 2)


class Estimator(BaseEstimator):
    def __init__(self, a=1):
        self.a = a


def test_plain_values_are_described_by_themselves():
    for value in (None, True, 3, 2.5, "text", [1, [2]], {"a": 1}):
        assert describe(value) == value
    assert describe((1, (2, 3))) == [1, [2, 3]]
    assert describe({1: "a"}) == {"1": "a"}
    assert describe({3, 1, 2}) == describe(frozenset({2, 3, 1})) == [1, 2, 3]
    assert describe(np.float64(2.5)) == 2.5
    assert describe(np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert describe(np.arange(32)) == list(range(32))
    assert describe(np.arange(33)).startswith("int64 (33,) ")
    assert describe(np.array(["a", "b"])) == ["a", "b"]
    assert describe(np.array([1j])).startswith("complex128 (1,) ")
    assert describe(pathlib.Path("a")) == "a"
    assert describe(Quiet) == f"{__name__}.Quiet {Description().code(Quiet)}"
    assert describe(np.mean) == "numpy.mean"
    assert describe(types) == "types"
    assert describe(operator.itemgetter) == "operator.itemgetter"


def test_an_own_subclass_of_text_is_its_text():
    class Name(str):
        __slots__ = ()

    class Number(int):
        def __str__(self):
            return "a number"

    assert (describe(Name("x")), describe(Number(3))) == ("x", "a number")


def test_settings_and_estimators_are_their_type_their_parameters_and_their_code():
    found = describe(Settings(b=(3,)))
    assert (found["type"], found["a"], found["b"]) == ("Settings", 1, [3])
    assert set(found) == {"type", "a", "b", "code"}
    found = describe(Estimator(a=5))
    assert set(found) == {"type", "a", "code"}
    assert describe(SVC(C=2.0))["C"] == 2.0
    assert "code" not in describe(SVC())
    assert "fitted" not in describe(SVC())
    estimator = Estimator(a=5)
    estimator.mean_, estimator._hidden = 3, 4
    assert describe(estimator)["fitted"] == {"mean_": 3, "_hidden": 4}
    assert describe(Settings)[: len(__name__)] == __name__


def test_a_value_inside_itself_is_said_to_be_a_part():
    circle: list = [1]
    circle.append(circle)
    assert describe(circle) == [1, "the list that this is part of"]
    twice = [1]
    assert describe([twice, twice]) == [[1], [1]]
    a = Estimator()
    a.a = {"inside": a}
    assert describe(a)["a"] == {"inside": "the Estimator that this is part of"}


def test_unknown_parts_are_named_by_their_place():
    description = Description()
    unknown = (i for i in range(3))
    assert description.of({"steps": [1, {"deep": unknown}]}, "method") == {"steps": [1, {"deep": "unknown generator"}]}
    description.of(unknown)
    assert description.unknown == ["method.steps.1.deep (generator)", "it (generator)"]
    assert Description().code(len) == "unknown builtin_function_or_method"


def test_it_is_known_whether_code_of_the_users_was_met():
    for value, own in (
        (np.abs, False),
        (SVC(), False),
        (Estimator(), True),
        ([SVC(), Estimator()], True),
        (Estimator, True),
    ):
        description = Description()
        assert not description.own
        description.of(value)
        assert description.own is own
        description.of(np.abs)
        assert description.own is own


def test_whose_code_it_is():
    assert is_own(Quiet)
    assert is_own(identity)
    assert is_own(local_class(1)().step)
    for thing in (np.mean, WithinSubject, SVC, textwrap.dedent, len, dict, collections.deque, 3):
        assert not is_own(thing), thing
    assert is_own(types.SimpleNamespace(__module__="__main__"))
    assert is_own(types.SimpleNamespace(__module__="made_by_exec"))
    assert not is_own(types.SimpleNamespace(__module__=None))


def test_installed_is_what_stands_in_a_folder_of_packages(tmp_path):
    ask = spine._is_own_module.__wrapped__
    assert ask("mine", str(tmp_path / "mine.py"))
    for folder in ("site-packages", "dist-packages"):
        assert not ask("theirs", str(tmp_path / folder / "theirs.py"))
    installed = pathlib.Path(spine.sysconfig.get_path("purelib"))
    assert not ask("theirs", str(installed / "theirs" / "__init__.py"))
    assert ask("mine", str(installed.parent / "mine.py"))
    assert not ask("json", str(tmp_path / "json.py"))
    assert not ask("myograph.anything", None)


@pytest.mark.parametrize(
    ("name", "expected"), [("a_", True), ("_a_", False), ("a", False), ("_a", False), ("__a__", False), ("", False)]
)
def test_names_of_fitted_attributes(name, expected):
    assert is_fitted_name(name) is expected


class Members:
    plain = [1, 2]  # noqa: RUF012
    annotated: int = 3

    @staticmethod
    def static(x):
        return x

    @classmethod
    def of_class(cls):
        return cls.plain

    @property
    def both(self):
        return 1

    @both.setter
    def both(self, value):
        self.value = value

    @functools.cached_property
    def kept(self):
        return 5


EDITS = {
    "plain": ("plain = [1, 2]", "plain = [1, 3]"), "annotated": ("int = 3", "int = 4"),
    "static": ("def static(x):\n        return x", "def static(x):\n        return -x"),
    "class method": ("return cls.plain", "return cls.annotated"), "getter": ("return 1", "return 2"),
    "setter": ("self.value = value", "self.other = value"), "cached": ("return 5", "return 6"),
    "kind": ("@classmethod", "@staticmethod"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_every_kind_of_member_counts(edit):
    text = textwrap.dedent(pathlib.Path(__file__).read_text().partition("class Members:")[2].partition("\nEDITS")[0])
    text = "import functools\nclass Members:" + textwrap.indent(text, "    ").rstrip()

    def made(source):
        space = {"__name__": "made_by_exec"}
        exec(source, space)
        return Description().code(space["Members"])

    old, new = EDITS[edit]
    assert text.count(old) == 1
    assert made(text) == made(text)
    assert made(text.replace(old, new)) != made(text)

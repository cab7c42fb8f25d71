"""Single rules of the description of values and code: what makes a difference to it, and what does not."""

from __future__ import annotations

import cmath
import importlib
import math
import sys
import types
from enum import Enum

import numpy as np
import pandas as pd
import pytest
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from myograph.evaluation import identity as spine
from myograph.evaluation.identity import Description, describe, is_own


class Bag:
    """An object with the given attributes, set in the given order."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Slots:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


class SlotsAndMore(Slots):
    """The attribute `k` is in a slot; any other is in a dictionary."""


def made(text: str, name: str = "thing", **names):
    """Return what a text of the user's code defines under a name, for given global names."""
    space = {"__name__": "made_by_exec", **names}
    exec(text, space)
    return space[name]


# 1. Values.


def test_a_nested_parameter_is_described_once_in_its_own_estimator():
    found = describe(OneVsRestClassifier(SVC(C=3.0)))
    assert set(found) == {"type", "estimator", "n_jobs", "verbose"}
    assert found["estimator"]["C"] == 3.0


def test_a_fitted_attribute_that_is_named_like_a_parameter_of_a_nested_estimator_counts():
    found = []
    for C in (1, 2):
        fitted = OneVsRestClassifier(SVC(C=3.0))
        fitted.classes_, fitted.estimator__C = [0, 1], C
        found.append(describe(fitted)["fitted"])
    assert found == [{"classes_": [0, 1], "estimator__C": 1}, {"classes_": [0, 1], "estimator__C": 2}]


def test_the_order_in_which_attributes_were_set_makes_no_difference_to_a_set():
    plain = {Bag(a=2, b=1), Bag(a=3, b=0)}
    other = {Bag(b=1, a=2), Bag(a=3, b=0)}
    assert describe(plain) == describe(other)
    assert describe(plain) != describe({Bag(a=2, b=0), Bag(a=3, b=1)})


def test_what_a_mask_hides_makes_no_difference():
    one, other, shown = (
        np.ma.array([1, hidden], mask=mask) for hidden, mask in ((7, [0, 1]), (9, [0, 1]), (7, [0, 0]))
    )
    assert describe(one) == describe(other)
    assert describe(one) != describe(shown)


def test_a_torch_module_holds_code_of_the_users_layers_alone():
    torch = pytest.importorskip("torch")

    class Double(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    assert "inside" not in describe(torch.nn.Sequential(torch.nn.ReLU()))
    assert describe(torch.nn.Sequential(torch.nn.ReLU(), Double()))["inside"] == [Description().code(Double)]
    alone = describe(Double())
    assert "inside" not in alone
    assert alone["code"] == Description().code(Double)


def test_the_value_and_the_methods_of_a_members_enum_count():
    def member(value, doubled="2 * self.value"):
        text = f"class Order(Enum):\n LOW = {value}\n def twice(self): return {doubled}\n"
        return describe(made(text + "thing = Order.LOW", Enum=Enum))

    assert member(1) == member(1)
    assert member(1) != member(2)
    assert member(1) != member(1, "3 * self.value")


def test_slots_count_in_an_object_that_has_other_attributes_too():
    assert describe(SlotsAndMore(1)) == describe(SlotsAndMore(1))
    assert describe(SlotsAndMore(1)) != describe(SlotsAndMore(2))
    one = SlotsAndMore(1)
    one.other = 5
    assert describe(one) != describe(SlotsAndMore(1))


def test_a_value_that_pickles_as_a_name_is_that_name_in_its_module():
    assert describe(pd.NA) == f"{type(pd.NA).__module__}.NA"
    assert describe(pd.NA) != describe(None)


# 2. Functions and classes.


def test_the_order_of_methods_and_of_a_functions_attributes_makes_no_difference():
    first, second = "def a(self): return 1", "def b(self): return 2"
    code = Description().code
    assert code(made(f"class thing:\n {first}\n {second}")) == code(made(f"class thing:\n {second}\n {first}"))
    functions = [lambda x: x, lambda x: x, lambda x: x]
    vars(functions[0]).update(a=1, b=2)
    vars(functions[1]).update(b=2, a=1)
    vars(functions[2]).update(a=2, b=1)
    found = [code(function) for function in functions]
    assert found[0] == found[1] != found[2]


def test_a_member_of_a_constant_tuple_and_its_type_count():
    functions = [lambda x: x in (1, 2), lambda x: x in (1, 2), lambda x: x in (1, 3), lambda x: x in (1, 2.0)]
    one, same, *others = (Description().code(function) for function in functions)
    assert one == same
    assert len({one, *others}) == 3


def test_a_slot_is_not_a_class_attribute_that_is_none():
    slot, attribute = made("class thing:\n __slots__ = ('k',)"), made("class thing:\n k = None")
    assert Description().code(slot) != Description().code(attribute)


def test_a_text_counts_as_an_environment_variable_only_in_code_that_reads_the_environment(monkeypatch):
    import os

    def says():
        return "UM_MODE"

    def reads():
        return os.environ["UM_MODE"]

    found = []
    for mode in "12":
        monkeypatch.setenv("UM_MODE", mode)
        found.append([describe(says), describe(reads)])
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def test_two_installed_modules_of_one_name_in_the_code_are_two():
    real, complex_ = (made("def thing(x): return m.sqrt(x)", m=module) for module in (math, cmath))
    assert Description().code(real) != Description().code(complex_)


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write the user's modules, and import the one whose name is um_main. The others are imported by it, if at all."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget():
        for name in [n for n in sys.modules if n.startswith("um_")]:
            del sys.modules[name]

    def write(**texts):
        forget()
        for name, text in texts.items():
            path = tmp_path / f"um_{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
        importlib.invalidate_caches()
        return importlib.import_module("um_main")

    yield write
    forget()


def test_each_of_two_functions_counts_with_the_names_that_it_uses_of_one_module(modules):
    def found(a, b):
        main = modules(
            both=f"A = {a}\nB = {b}",
            main="import um_both\ndef first(): return um_both.A\ndef second(): return um_both.B",
        )
        return describe([main.first, main.second])

    before = found(1, 1)
    assert found(1, 1) == before
    assert found(2, 1) != before
    assert found(1, 2) != before


def test_a_module_counts_after_another_that_was_imported_twice(modules):
    text = "def f():\n import um_a\n import um_a\n import um_z\n return um_z.K"
    first, second = (describe(modules(a="", z=f"K = {k}", main=text).f) for k in (1, 2))
    assert first != second


def test_a_relative_import_of_a_module_that_is_imported_inside_a_function_counts(modules):
    package = {"p____init__": "", "p__near": "from .helper import K", "main": "def f():\n import um_p.near\n"}
    first, second = (describe(modules(p__helper=f"K = {k}", **package).f) for k in (1, 2))
    assert first != second


def test_a_module_that_only_shares_its_name_with_one_that_is_imported_makes_no_difference(modules):
    text = "def f():\n from um_p import near\n from um_z import helper\n return near, helper"
    rest = {"p____init__": "", "p__near": "", "z": "helper = 1", "main": text}
    first, second = (describe(modules(p__helper=f"K = {k}", **rest).f) for k in (1, 2))
    assert first == second
    rest["main"] = text.replace("import near", "import near, helper")
    first, second = (describe(modules(p__helper=f"K = {k}", **rest).f) for k in (1, 2))
    assert first != second


# 3. Whose code it is.


def test_a_module_that_was_not_imported_belongs_to_whom_its_package_does():
    assert not is_own(types.SimpleNamespace(__module__="numpy.a_module_that_is_not_imported"))


def test_both_folders_of_installed_packages_count(tmp_path, monkeypatch):
    folders = {"purelib": str(tmp_path / "lib"), "platlib": str(tmp_path / "lib64")}
    monkeypatch.setattr(spine.sysconfig, "get_path", folders.get)
    ask = spine._is_own_module.__wrapped__
    for folder in folders.values():
        assert not ask("theirs", f"{folder}/theirs.py")
    assert ask("mine", str(tmp_path / "mine.py"))

"""What lasts longer than a fold, in single rules: attributes, generators, the times of files, and other processes."""

from __future__ import annotations

import contextvars
import os
import types

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer

from myograph.errors import LeakageError
from myograph.evaluation import apart
from myograph.evaluation.apart import each_apart, no_file_since, pickled, state_of


class Own(BaseEstimator):
    def __init__(self, inner=None):
        self.inner = inner


def test_an_attribute_that_is_named_like_a_parameter_of_a_nested_estimator_counts():
    one = Own(Own(3))
    before = state_of(one)
    one.inner__inner = 5
    assert state_of(one) != before


def test_the_order_in_which_attributes_were_set_is_no_change():
    one, other = Own(), Own()
    one.a, one.b = 1, 2
    other.b, other.a = 2, 1
    assert state_of(one) == state_of(other)
    other.a = 2
    assert state_of(one) != state_of(other)


def test_a_generator_of_random_numbers_in_place_of_nothing_is_a_change():
    held = {}
    draws = FunctionTransformer(lambda X: held["rng"].normal(size=X.shape))
    found = []
    for held["rng"] in (None, np.random.default_rng(0), np.random.RandomState(0), np.random.RandomState(1)):
        found.append(state_of(draws))
    assert len(set(found[:3])) == 3
    assert found[2] == found[3]


SHELF: contextvars.ContextVar = contextvars.ContextVar("SHELF")


class Shelves(Own):
    """What the code keeps in a context cannot be described, but the method can be pickled."""

    def fit(self, X, y=None):
        SHELF.set(X)
        return self


def number(estimator, n):
    return n


def test_a_method_that_can_be_sent_is_not_trusted_with_what_cannot_be_described(monkeypatch):
    monkeypatch.setattr(apart, "alone", lambda method, *arguments: type(method))
    assert dict(each_apart(number, Shelves(), [(5,), (6,)], jobs=1)) == {0: bytes, 1: bytes}
    assert dict(each_apart(number, Own(), [(5,), (6,)], jobs=1)) == {0: 5, 1: 6}


def test_the_work_of_another_process_is_done_with_the_method_that_it_was_sent():
    assert apart._work(pickled([3, 4]), sum, (10,)) == 17
    assert apart._load(pickled([3, 4])) is None
    with pytest.raises(Exception, match="load key"):
        apart._load(b"nothing that was pickled")


def test_the_clock_of_files_is_later_than_any_file_that_exists(tmp_path):
    for i in range(8):
        place = tmp_path / str(i)
        place.write_text("x")
        then = place.stat().st_mtime_ns
        now = apart._file_clock()
        place.write_text("y")
        assert then < now <= place.stat().st_mtime_ns


def test_the_clock_of_files_waits_for_the_next_step_of_a_coarse_clock(monkeypatch):
    times = iter([7000, 7000, 7000, 7004])
    coarse = types.SimpleNamespace(fstat=lambda number: types.SimpleNamespace(st_mtime_ns=next(times)))
    monkeypatch.setattr(apart, "os", coarse)
    assert apart._file_clock() == 7004


@pytest.mark.parametrize(
    ("written", "refused"), [(999, False), (1000, True), (1001, True), (1999, True), (2000, False), (2001, False)]
)
def test_the_span_of_refused_files_holds_its_begin_but_not_its_end(tmp_path, monkeypatch, written, refused):
    second = 10**9
    monkeypatch.setattr(apart, "_file_clock", lambda: 2000 * second)
    place = tmp_path / "model"
    place.write_text("x")  # a file of a single byte counts
    os.utime(place, ns=(written * second, written * second))
    with no_file_since(1000 * second):
        if refused:
            with pytest.raises(LeakageError, match="was written after this run began"):
                place.read_text()
        else:
            assert place.read_text() == "x"
    assert place.read_text() == "x"  # outside, any file


def test_the_first_fold_of_a_process_is_watched_too(tmp_path):
    apart._watch.cache_clear()
    begun = apart._file_clock()
    (tmp_path / "model").write_text("weights")
    with no_file_since(begun), pytest.raises(LeakageError):
        (tmp_path / "model").read_text()

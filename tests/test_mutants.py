"""The tool that changes the spine: which changes it makes, which it leaves out, and how it samples them."""

from __future__ import annotations

import ast

import pytest

import mutants
from mutants import mutants_of, sample_of

SOURCE = '''"""Text of 1 module."""

from __future__ import annotations

import numpy as np


def f(a: int | None = 2, *, side: str = "left") -> int | None:
    """Not 3 + 4."""
    if a is None or not a > 1:
        raise ValueError(f"{a + 1} is wrong")
    for i in range(a):
        if 0 <= i < a:
            continue
        a += i
    np.maximum(a, -1)
    return np.searchsorted([a], a, side="left")


class C:
    def __repr__(self):
        return "1" + "2"
'''


def test_every_kind_of_change_once():
    found = [str(m).partition(": ")[2] for m in mutants_of(SOURCE)]
    assert found == [
        "2 -> 3",
        "\"left\" -> 'right'",
        "a is None or not a > 1 -> ((a is None) and (not a > 1))",
        "a is None -> (a is not None)",
        "not a > 1 -> (a > 1)",
        "a > 1 -> (a >= 1)",
        "1 -> 2",
        'raise ValueError(f"{a + 1} is wrong") -> pass',
        "0 <= i < a -> (0 < i and i < a)",
        "0 <= i < a -> (0 <= i and i <= a)",
        "0 -> 1",
        "continue -> break",
        "a += i -> a -= i",
        "np.maximum(a, -1) -> pass",
        "np.maximum(a, -1) -> np.minimum(a, -1)",
        "-1 -> (1)",
        "1 -> 2",
        'return np.searchsorted([a], a, side="left") -> return None',
        "\"left\" -> 'right'",
    ]


def test_each_change_is_a_program():
    for mutant in mutants_of(SOURCE):
        changed = mutant.apply(SOURCE)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))
        assert mutant.line in mutant.statement or mutant.statement.start <= mutant.line


def test_places_are_counted_in_characters():
    (mutant,) = [m for m in mutants_of('x = "µV, µm" + str(7)\n') if m.old == "7"]
    assert mutant.apply('x = "µV, µm" + str(7)\n') == 'x = "µV, µm" + str(8)\n'


@pytest.mark.parametrize("n", [5, 19, 1000])
def test_samples_are_seeded_and_in_proportion(n):
    found = {"a": mutants_of(SOURCE), "b": mutants_of(SOURCE * 3)}
    chosen = sample_of(found, n, seed=1)
    assert chosen == sample_of(found, n, seed=1)
    assert abs(sum(map(len, chosen.values())) - min(n, 4 * 19)) <= 1
    assert n == 1000 or len(chosen["b"]) >= 2 * len(chosen["a"])


def test_every_file_of_tests_is_there():
    for module, files in mutants.TESTS.items():
        assert (mutants.ROOT / "src" / "myograph" / module).with_suffix(".py").is_file()
        assert all((mutants.ROOT / "tests" / f"test_{name}.py").is_file() for name in files)


def test_a_change_that_a_test_notices_is_killed_and_another_survives():
    assert mutants.in_child(lambda: 0, 60)[0] == "passed"
    assert mutants.in_child(lambda: 1, 60)[0] == "failed"

    def fails():
        raise ValueError

    assert mutants.in_child(fails, 60)[0] == "failed"
    assert mutants.in_child(lambda: [None for _ in iter(int, 1)] and 0, 0.3)[0] == "too long"

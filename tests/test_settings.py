from __future__ import annotations

import contextlib

import pytest

from myograph import LeakyShuffledWindows, LeaveOneSubjectOut, Windowing, WithinSubject
from myograph.errors import ConfigError, ProtocolError, UnknownNameError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.settings import change, constructors, parse
from myograph.preprocessing.filters import BandPass, Envelope, Rectify

BASE = Recipe(name="base", dataset="simulated")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("2,5,7", (2, 5, 7)),
        ("MAV,WL", ("MAV", "WL")),
        ("(2, 5)", (2, 5)),
        ("true", True),
        ("None", None),
        ("'3'", "3"),
        ("E1 rest", "E1 rest"),
        ("WithinSubject(test_repetitions=(1, 2))", WithinSubject((1, 2))),
        ("[BandPass(20, 90)]", (BandPass(20, 90),)),
    ],
)
def test_values_are_read_as_one_would(text, value):
    assert parse(text) == value


def test_settings_reach_every_part_of_a_recipe():
    changed = change(
        BASE,
        [
            "seed=4",
            "windowing.length_ms=150",
            "protocol.test_repetitions=2,5,7",
            "method.features=MAV,WL",
            "dataset.exercises=1,2",
            "filters=BandPass(20, 90)",
            "subjects=1,2",
        ],
    )
    assert changed.seed == 4
    assert changed.windowing == Windowing(150, 50)
    assert changed.protocol == WithinSubject((2, 5, 7))
    assert dict(changed.method_options) == {"features": ("MAV", "WL")}
    assert dict(changed.dataset_options) == {"exercises": (1, 2)}
    assert changed.filters == (BandPass(20, 90),)
    assert changed.subjects == ("1", "2")
    assert BASE.seed == 0


def test_one_repetition_is_still_a_tuple():
    assert change(BASE, ["protocol.test_repetitions=3"]).protocol == WithinSubject((3,))


def test_a_protocol_by_name():
    assert change(BASE, ["protocol=LeaveOneSubjectOut"]).protocol == LeaveOneSubjectOut()
    changed = change(BASE, ["protocol=LeaveOneSubjectOut", "protocol.calibration=0.2"])
    assert changed.protocol == LeaveOneSubjectOut(0.2)


def test_a_leaky_protocol_keeps_the_one_it_replaces_as_its_honest_counterpart():
    changed = change(BASE, ["protocol=LeakyShuffledWindows", "protocol.seed=3"])
    assert changed.protocol == LeakyShuffledWindows(seed=3, honest=BASE.protocol)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("sead=3", UnknownNameError, "Did you mean 'seed'"),
        ("windowing.lenght_ms=3", UnknownNameError, "Did you mean 'length_ms'"),
        ("protocol=LeaveOneSubjectIn", UnknownNameError, "Did you mean 'LeaveOneSubjectOut'"),
        ("protocol=WithinSubject(test_repetition=(1,))", UnknownNameError, "Did you mean 'test_repetitions'"),
        ("protocol.test_repetitions=()", ProtocolError, "at least one to test"),
        ("seed", ConfigError, "a setting must be key=value"),
        ("seed=many", ConfigError, "seed must be a number"),
        ("seed.x=1", ConfigError, "has no settings"),
        ("rest=perhaps", ConfigError, "'drop', 'keep' or 'balance'"),
    ],
)
def test_settings_that_do_not_fit_are_told(setting, error, message):
    with pytest.raises(error, match=message):
        change(BASE, [setting])


def test_nothing_else_is_evaluated():
    assert parse("__import__('os').getcwd()") == "__import__('os').getcwd()"
    with pytest.raises(UnknownNameError, match="no protocol, windowing or filter named 'open'"):
        parse("open('/etc/passwd')")
    for text in ("().__class__.__mro__", "[x for x in 'ab']", "lambda: 1", "1 if True else 2", "WithinSubject.folds"):
        assert parse(text) == text


@pytest.mark.parametrize("text", ["(" * 100_000, "[" * 5_000 + "]" * 5_000, "-" * 100_000 + "1", "\0", "f(" * 200])
def test_no_text_makes_a_setting_fail_in_another_way(text):
    with contextlib.suppress(ConfigError, UnknownNameError):
        parse(text)


def test_pieces_of_text_that_look_like_code_stay_text_or_are_named():
    with pytest.raises(UnknownNameError, match="named 'eval'"):
        parse("WithinSubject(eval('1'))")
    with pytest.raises(ConfigError, match="its fields are"):
        parse("WithinSubject(1, 2, 3)")
    with pytest.raises(ProtocolError, match="at least one to test"):
        parse("WithinSubject(test_repetitions=())")


def test_a_setting_constructs_protocols_windowings_and_filters_and_nothing_else():
    known = constructors()
    assert {"WithinSubject", "SessionStream", "Windowing", "EachChannel", "Bursts", "BandPass"} <= set(known)
    assert not {"Recording", "Layout", "Fold", "Protocol"} & set(known)


def test_filters_are_filters():
    assert change(BASE, ["filters=Rectify"]).filters == (Rectify(),)
    assert change(BASE, ["filters=Rectify,Envelope(5)"]).filters == (Rectify(), Envelope(5))
    assert change(change(BASE, ["filters=Rectify"]), ["filters=None"]).filters == ()
    with pytest.raises(UnknownNameError, match="no protocol, windowing or filter named 'low_pass'"):
        change(BASE, ['filters=["low_pass"]'])
    with pytest.raises(ConfigError, match=r"filters such as BandPass\(20, 450\), got 50"):
        change(BASE, ["filters=50"])

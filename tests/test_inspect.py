"""`myograph inspect`: descriptions proposed from files whose content is known, then read back through them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from myograph.cli.app import main
from myograph.datasets._formats.description import parsed
from myograph.datasets._guess.columns import rate_of
from myograph.datasets._guess.notes import Notes
from myograph.datasets._guess.paths import guess_pattern
from myograph.datasets.folder import Folder
from myograph.datasets.guess import Guess, guess
from myograph.errors import ConfigError, DataError

N = 400
X = np.random.default_rng(0).normal(size=(N, 3)).round(4)
LABEL = np.repeat([0, 1, 0, 2], N // 4)


def table(head: str, sep: str = ",", decimal: str = ".", above: str = "", rate_hz: float = 1000.0) -> str:
    """Time, three channels and a label, as text."""
    rows = [[f"{i / rate_hz:.4f}", *(f"{v:.4f}" for v in X[i]), str(LABEL[i])] for i in range(N)]
    text = "\n".join(sep.join(c.replace(".", decimal) for c in row) for row in rows)
    return f"{above}{head.replace(',', sep)}\n{text}\n"


def write(folder: Path, files: dict[str, Any]) -> Guess:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return guess(folder)


def both(text: Any) -> dict[str, Any]:
    return {"anna.csv": text, "ben.csv": text}


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data/emg"] = X
        file["data/emg"].attrs["sampling rate"] = 1000
        file["data/label"] = LABEL


CSV = {"rate_hz": 1000, "channels": ("e1", "e2", "e3"), "label": "gesture", "rest": "0", "unit": "adc"}
TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (both(table("time,e1,e2,e3,gesture")), {**CSV, "files": "{subject}.csv"}),
    "semicolons and commas": (
        both(table("time,e1,e2,e3,gesture", ";", ",")),
        {**CSV, "delimiter": ";", "decimal": ","},
    ),
    "lines above": (
        both(table("time,e1,e2,e3,gesture", above="Recorded with Foo\nDate: 2020, at noon\n\n")),
        {**CSV, "skip_rows": 3},
    ),
    "milliseconds": (
        both(table("t [ms],e1,e2,e3,gesture", rate_hz=0.2)),
        {**CSV, "rate_hz": 200},
    ),
    "unit in the names, UTF-16": (
        both(table("Zeit (s),e1 [mV],e2 [mV],e3 [mV],class").encode("utf-16")),
        {
            "rate_hz": 1000,
            "unit": "mV",
            "time": "Zeit (s)",
            "label": "class",
            "channels": ("e1 [mV]", "e2 [mV]", "e3 [mV]"),
        },
    ),
    "units in a second line": (
        both(table("time,e1,e2,e3,gesture\ns,V,V,V,-")),
        {"rate_hz": 1000, "skip_rows": 2, "header": False, "time": 1, "label": 5, "channels": None},
    ),
    "no names, rate in a comment": (
        {"s1.csv": "# fs = 500 Hz\n" + "\n".join(",".join(map(str, row)) for row in X)},
        {"rate_hz": 500, "header": False, "label": False, "channels": None},
    ),
    "numpy, channels first": (
        {"subject1.npz": lambda p: np.savez(p, emg=X.T, label=LABEL, fs=2000)},
        {"rate_hz": 2000, "signal": "emg", "label": "label", "orientation": "channel, time"},
    ),
    "a struct of MATLAB": (
        {"S1.mat": lambda p: savemat(p, {"rec": {"emg": X, "restimulus": LABEL[:, None], "fs": 2000.0}})},
        {"rate_hz": 2000, "signal": "rec/emg", "label": "rec/restimulus", "rest": "0"},
    ),
    "HDF5": ({"p1.h5": hdf5}, {"rate_hz": 1000, "signal": "data/emg", "label": "data/label"}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_described_and_reads_back(kind: str, tmp_path: Path) -> None:
    files, expected = TABLES[kind]
    found = write(tmp_path, files)
    description = parsed(found.toml, found.path)
    assert {k: getattr(description, k) for k in expected} == expected
    found.write()
    recording = next(Folder(path=str(tmp_path)).read(tmp_path))
    assert recording.rate_hz == expected["rate_hz"]
    factor = 1000 if expected.get("unit") == "mV" else 1
    np.testing.assert_allclose(recording.signal, X.T * factor, rtol=1e-5)
    if expected.get("label", True) is not False:
        names = [recording.label_names[v] for v in recording.label[:: N // 4]]
        assert names == ["rest", "1", "rest", "2"]


@pytest.mark.parametrize(
    ("paths", "inside", "expected"),
    [
        ("s1/S1_E1_A1 s2/S2_E1_A1", True, "s{subject}/S{subject}_E1_A1"),
        ("S01_fist_r1 S01_thumb_up_r2 S02_fist_r1", False, "S{subject}_{label}_r{repetition}"),
        ("anna/day1/fist_1 anna/day2/open_2 ben/day1/fist_2", False, "{subject}/day{session}/{label}_{repetition}"),
        (
            "sub1/day1/D1M1T1 sub1/day2/D2M3T4 sub2/day1/D1M2T2",
            False,
            "sub{subject}/day{session}/D{session}M{label}T{repetition}",
        ),
        ("u1_train u1_test u2_train u2_test", True, "u{subject}_{session}"),
        ("sub-01/ses-2/emg/x sub-02/ses-1/emg/x", True, "sub-{subject}/ses-{session}/emg/x"),
        ("fist_1 fist_2 open_1", False, "{label}_{repetition}"),
        ("1_2_3 1_3_1 2_2_1", False, "{subject}_{label}_{repetition}"),
        ("anna ben", True, "{subject}"),
    ],
)
def test_paths_give_facts(paths: str, inside: bool, expected: str) -> None:
    assert guess_pattern(paths.split(), inside, set(), Notes()) == expected


def test_what_is_uncertain_is_asked(tmp_path: Path) -> None:
    found = write(tmp_path, {"a/g_1_3.csv": table("e0,e1,e2,e3,x"), "a/g_2_3.csv": table("e0,e1,e2,e3,x")})
    asked = " ".join(found.unsure)
    for question in ("which unit is it?", "is taken for the time", "is taken for the label"):
        assert question in asked
    assert all(f"# - {q}" in found.toml for q in found.unsure)
    # Values in the range of mV lead to a question, not to a unit.
    assert 'unit = "adc"' in found.toml
    assert "would fit uV or mV" in asked


def test_a_rate_that_nothing_states_is_asked_for(tmp_path: Path) -> None:
    found = write(tmp_path, {"s1.csv": "emg1,emg2\n" + "1.5,2.5\n3.5,1.5\n" * 50})
    assert "# rate_hz = …" in found.toml
    assert any("add rate_hz" in q for q in found.unsure)
    found.write()
    with pytest.raises(ConfigError, match="rate_hz"):
        list(Folder(path=str(tmp_path)).read(tmp_path))


def test_files_of_other_shapes_are_left_out_or_named(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        {
            "rec/s1.csv": table("time,e1,e2,e3,gesture"),
            "rec/s2.csv": table("time,e1,e2,e3,gesture").replace("e2", "f2"),
            "readme.txt": "read me",
            "overview.csv": "a,b\n1,2\n",
        },
    )
    description = parsed(found.toml, found.path)
    assert description.files == "rec/s{subject}.csv"
    assert description.ignore == ("overview.csv",)
    assert any("does not fit the description" in q and "s2.csv" in q for q in found.unsure)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"hello\n", b"one two\nthree four five\nsix\n"])
def test_files_that_hold_no_table_give_a_named_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv|holds no supported files"):
        guess(tmp_path)


def test_rates_out_of_times() -> None:
    packets = np.repeat(np.arange(0, 10, 0.027), 30)  # 30 samples share a stamp
    assert rate_of(packets[: len(packets) // 2], "time") == (1111.111, "s", True)
    late = np.arange(1000) / 500
    late[400:] += 60
    assert rate_of(late, "time") == (500.0, "s", True)
    assert rate_of(np.arange(1000) * 1e6 / 2048 + 1.7e15, "timestamp") == (2048.0, "µs", True)
    assert rate_of(np.arange(1000.0)[::-1], "time") is None
    assert rate_of(np.arange(1000) / 777, "time") == (777.0, "s", False)


def test_the_command_writes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "[bold]s1.csv").write_text(table("time,e1,e2,e3,gesture"))

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["myograph", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    assert run("inspect", str(tmp_path), "--json") == 0
    assert '"written": false' in capsys.readouterr().out
    assert not (tmp_path / "dataset.toml").exists()
    assert run("inspect", str(tmp_path / "[bold]s1.csv"), "--write") == 0
    text = (tmp_path / "dataset.toml").read_text()
    assert 'files = "[bold]s1.csv"' in text
    (tmp_path / "dataset.toml").write_text("mine")
    assert run("inspect", str(tmp_path), "--write") == 1
    assert (tmp_path / "dataset.toml").read_text() == "mine"
    assert run("inspect", str(tmp_path / "nowhere")) == 1

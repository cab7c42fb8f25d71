"""A user's own folder: every format read to known numbers, and every mistake met with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from myograph import datasets
from myograph.datasets.folder import Folder
from myograph.errors import ConfigError, DataError, MissingExtraError, MyographError

DOC = Path(__file__).parents[1] / "docs" / "your-own-data.md"


def describe(folder: Path, text: str) -> Folder:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(text)
    return Folder(path=str(folder))


def example(name: str) -> str:
    """The TOML of an example in the documentation."""
    return re.search(rf"<!-- example: {name} -->\n```toml\n(.*?)```", DOC.read_text(), re.DOTALL)[1]


def write_csv(path: Path, columns: dict[str, list], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in zip(*columns.values()))]
    path.write_text("\n".join(rows) + "\n")


def read(folder: Path, text: str, subjects: list[str] | None = None) -> list:
    return list(describe(folder, text).read(folder, subjects))


def test_trials_of_the_documentation(tmp_path: Path) -> None:
    for subject in ("anna", "ben"):
        for session in ("day1", "day10", "day2"):
            for number, label in enumerate(("fist", "relax")):
                for repetition in (1, 2):
                    x = [0.1 * number + 0.01 * repetition] * 3
                    columns = {"time": [0, 1, 2], "emg1": x, "emg2": [0.5, 0.6, 0.7]}
                    write_csv(tmp_path / subject / session / f"{label}_{repetition}.csv", columns)
    dataset = describe(tmp_path, example("trials"))
    assert dataset.subjects(tmp_path) == ["anna", "ben"]
    recordings = list(dataset.read(tmp_path, ["ben"]))
    assert [(r.subject, r.session) for r in recordings] == [("ben", "day1"), ("ben", "day2"), ("ben", "day10")]
    first = recordings[0]
    assert first.unit == "uV"
    assert first.rate_hz == 1000
    assert first.label_names == ("fist", "rest")
    assert first.label.tolist() == [0] * 6 + [1] * 6
    assert first.repetition.tolist() == [1] * 3 + [2] * 3 + [1] * 3 + [2] * 3
    # 0.11 mV = 110 µV in the first repetition of "relax", the second label.
    np.testing.assert_allclose(first.signal[0], np.repeat([10, 20, 110, 120], 3), rtol=1e-6)
    np.testing.assert_allclose(first.signal[1], np.tile([500, 600, 700], 4), rtol=1e-6)


def test_column_of_labels_of_the_documentation_counts_runs(tmp_path: Path) -> None:
    gesture = [0, 0, 1, 1, 0, 2, 2, 1]
    for subject in (1, 2, 10):
        write_csv(tmp_path / f"p{subject}.csv", {"emg1": range(8), "emg2": range(8, 16), "gesture": gesture})
    dataset = describe(tmp_path, example("column"))
    assert dataset.subjects(tmp_path) == ["1", "2", "10"]
    (recording,) = dataset.read(tmp_path, ["10"])
    assert recording.label_names == ("rest", "fist", "point")
    assert recording.label.tolist() == gesture
    assert recording.repetition.tolist() == [1, 1, 1, 1, 2, 1, 1, 2]
    np.testing.assert_array_equal(recording.signal, np.arange(16).reshape(2, 8))


def test_matlab_variables_of_the_documentation(tmp_path: Path) -> None:
    emg = np.arange(12.0).reshape(4, 3) * 1e-6
    stimulus, repetition = np.array([[0], [0], [5], [5]]), np.array([[1], [1], [2], [2]])
    savemat(tmp_path / "subject1.mat", {"emg": emg, "stimulus": stimulus, "repetition": repetition})
    # Version 7.3 is HDF5 with the axes reversed, after 512 bytes of MATLAB's own.
    with h5py.File(tmp_path / "subject2.mat", "w", userblock_size=512) as file:
        file["emg"], file["stimulus"], file["repetition"] = emg.T, stimulus.T, repetition.T
    with open(tmp_path / "subject2.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    for recording in read(tmp_path, example("variables")):
        np.testing.assert_allclose(recording.signal, [[0, 3, 6, 9], [1, 4, 7, 10]], rtol=1e-6)
        assert [recording.label_names[i] for i in recording.label] == ["0", "0", "5", "5"]
        assert recording.repetition.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_variables_with_text_labels_and_channels_first(tmp_path: Path, ending: str) -> None:
    emg, pose = np.arange(10).reshape(2, 5), np.array([b"a", b"a", b"b", b"b", b""])
    if ending == ".npz":
        np.savez(tmp_path / "s1.npz", emg=emg, pose=pose.astype(str), day=np.array(["tue"]))
    else:
        with h5py.File(tmp_path / "s1.h5", "w") as file:
            file["emg"], file["pose"], file["day"] = emg, pose, np.array([b"tue"])
    text = f"""
files = "s{{subject}}{ending}"
rate_hz = 100
unit = "adc"
signal = "emg"
orientation = "channel, time"
label = "pose"
session = "day"
"""
    (recording,) = read(tmp_path, text)
    np.testing.assert_array_equal(recording.signal, emg)
    assert recording.label.tolist() == [0, 0, 1, 1, -1]
    assert recording.label_names == ("a", "b")
    assert (recording.session, recording.unit) == ("tue", "adc")


def test_npy_text_and_tsv(tmp_path: Path) -> None:
    samples = np.c_[np.arange(6) * 0.5, np.arange(6) + 10, [1, 1, 1, 2, 2, 2]]
    np.save(tmp_path / "a.npy", samples)
    np.savetxt(tmp_path / "a.txt", samples, fmt="%8.3f")
    np.savetxt(tmp_path / "a.tsv", samples, fmt="%g", delimiter="\t")
    (tmp_path / "a.csv").write_text(
        "made by a logger\n" + "".join("{:g};{:g};{:g}\n".format(*r) for r in samples).replace(".", ",")
    )
    common = '\nrate_hz = 100\nunit = "normalised"\nlabel = 3\nscale = 2\n'
    for ending, extra in (
        (".npy", ""),
        (".txt", ""),
        (".tsv", ""),
        (".csv", 'delimiter = ";"\ndecimal = ","\nskip_rows = 1'),
    ):
        (recording,) = read(tmp_path, f'files = "*{ending}"' + common + extra)
        np.testing.assert_allclose(recording.signal, 2 * samples[:, :2].T, rtol=1e-6)
        assert recording.label_names == ("1", "2")
        assert recording.label.tolist() == [0, 0, 0, 1, 1, 1]


def test_subject_and_session_out_of_columns(tmp_path: Path) -> None:
    who, when = ["x", "x", "x", "y", "y", "x"], [1, 1, 2, 1, 1, 1]
    write_csv(tmp_path / "all.csv", {"e": range(6), "who": who, "when": when, "g": [1, 1, 1, 1, 2, 1]})
    dataset = describe(
        tmp_path,
        'files = "all.csv"\nrate_hz = 10\nunit = "uV"\nchannels = ["e"]\nsubject = "who"\nsession = "when"\nlabel = "g"',
    )
    assert dataset.subjects(tmp_path) == ["x", "y"]
    found = [(r.session, r.signal[0].tolist(), r.repetition.tolist()) for r in dataset.read(tmp_path, ["x"])]
    assert found == [("1", [0, 1], [1, 1]), ("1", [5], [2]), ("2", [2], [1])]


def test_a_file_ends_a_run_and_no_window_can_span_two_files(tmp_path: Path) -> None:
    for part, values in (("a", [1, 2]), ("b", [3, 4]), ("c", [5, 6])):
        write_csv(tmp_path / f"fist-{part}.csv", {"e": values})
    (recording,) = read(tmp_path, 'files = "{label}-*.csv"\nrate_hz = 10\nunit = "uV"\nchannels = ["e"]')
    assert recording.repetition.tolist() == [1, 1, 2, 2, 3, 3]
    assert recording.breaks == (2, 4)
    # Two parts of one repetition have a break between them.
    (tmp_path / "x").mkdir()
    for part in ("a", "b"):
        write_csv(tmp_path / "x" / f"fist-1-{part}.csv", {"e": [1, 2]})
    (recording,) = read(
        tmp_path / "x", 'files = "{label}-{repetition}-*.csv"\nrate_hz = 10\nunit = "uV"\nchannels = ["e"]'
    )
    assert recording.repetition.tolist() == [1, 1, 1, 1]
    assert recording.breaks == (2,)


def test_edf_gives_rate_unit_and_annotations(tmp_path: Path) -> None:
    import pyedflib

    t = np.arange(400) / 100
    wave = 0.2 * np.sin(2 * np.pi * 5 * t)
    heads = pyedflib.highlevel.make_signal_headers(
        ["EMG 1", "Temp"], dimension="mV", sample_frequency=100, physical_min=-1, physical_max=1
    )
    heads[1]["dimension"] = "degC"
    header = pyedflib.highlevel.make_header()
    header["annotations"] = [[1.0, 1.0, "fist"], [3.0, -1, "point"]]
    assert pyedflib.highlevel.write_edf(str(tmp_path / "ann.edf"), np.stack([wave, wave]), heads, header)
    (recording,) = read(tmp_path, example("edf"))
    assert (recording.subject, recording.rate_hz, recording.unit) == ("ann", 100.0, "uV")
    assert recording.n_channels == 1
    np.testing.assert_allclose(recording.signal[0], 1000 * wave, atol=0.05)  # 16 bits over 2 mV are 0.03 µV
    names = np.array([*recording.label_names, ""])[recording.label]
    assert names.tolist() == [""] * 100 + ["fist"] * 100 + [""] * 100 + ["point"] * 100


def test_wfdb_gives_rate_unit_and_annotations(tmp_path: Path) -> None:
    import wfdb

    signal = np.linspace(-0.5, 0.5, 200)[:, None]
    wfdb.wrsamp("r1", fs=50, units=["mV"], sig_name=["emg"], p_signal=signal, fmt=["16"], write_dir=str(tmp_path))
    notes = {"sample": np.array([50, 100]), "symbol": ["N", "N"], "aux_note": ["fist", "point"]}
    wfdb.wrann("r1", "atr", **notes, fs=50, write_dir=str(tmp_path))
    dataset = describe(tmp_path, 'files = "r{subject}.hea"\nlabel = "annotations"')
    (recording,) = dataset.read(tmp_path)
    assert (recording.rate_hz, recording.unit, recording.label_names) == (50.0, "uV", ("fist", "point"))
    np.testing.assert_allclose(recording.signal[0], 1000 * signal[:, 0], atol=0.05)
    assert recording.label.tolist() == [-1] * 50 + [0] * 50 + [1] * 100
    assert {p.name for p in dataset.sources(tmp_path, "1")} == {"dataset.toml", "r1.hea", "r1.dat", "r1.atr"}


def write_bdf(path: Path) -> None:
    """Two signals of one name, 3 s at 100 Hz, in µV and mV, with -1000 to 1000 over all 24 bits."""
    import pyedflib

    writer = pyedflib.EdfWriter(str(path), 2, file_type=pyedflib.FILETYPE_BDF)
    common = {"label": "EMG", "sample_frequency": 100, "transducer": "", "prefilter": ""}
    limits = {"physical_min": -1000.0, "physical_max": 1000.0, "digital_min": -(2**23), "digital_max": 2**23 - 1}
    for i, unit in enumerate(("uV", "mV")):
        writer.setSignalHeader(i, {**common, **limits, "dimension": unit})
    writer.writeSamples([500 * np.sin(np.arange(300) / 7), 3 * np.cos(np.arange(300) / 5)])
    writer.close()


def test_bdf_by_hand_with_two_signals_of_one_name(tmp_path: Path) -> None:
    write_bdf(tmp_path / "s1.bdf")
    (recording,) = read(tmp_path, 'files = "s{subject}.bdf"\nlabel = false')
    # 256 bytes of header and 256 a signal; records of 1 s, signal after signal, 24-bit little-endian.
    raw = (tmp_path / "s1.bdf").read_bytes()
    n_records, n_signals = int(raw[236:244]), int(raw[252:256])
    assert (n_records, n_signals) == (3, 2)
    data = np.frombuffer(raw[256 * (1 + n_signals) :], np.uint8).reshape(n_records, n_signals, 100, 3).astype(np.int64)
    counts = data[..., 0] + (data[..., 1] << 8) + (data[..., 2] << 16)
    counts -= (counts >= 2**23) * 2**24
    values = (counts.transpose(1, 0, 2).reshape(2, 300) + 2**23) * 2000 / (2**24 - 1) - 1000
    np.testing.assert_allclose(recording.signal, values * [[1], [1000]], rtol=1e-6, atol=1e-3)
    second = read(tmp_path, 'files = "s{subject}.bdf"\nlabel = false\nchannels = ["EMG.1"]')[0]
    np.testing.assert_array_equal(second.signal[0], recording.signal[1])


def test_wfdb_by_hand_with_two_signals_of_one_name(tmp_path: Path) -> None:
    import wfdb

    signal = np.random.default_rng(3).normal(size=(200, 2))
    wfdb.wrsamp("r1", 50, ["mV", "uV"], ["emg", "emg2"], signal, fmt=["16", "16"], write_dir=str(tmp_path))
    header = (tmp_path / "r1.hea").read_text()
    (tmp_path / "r1.hea").write_text(header.replace("emg2", "emg"))
    (recording,) = read(tmp_path, 'files = "r{subject}.hea"\nlabel = false')
    counts = np.fromfile(tmp_path / "r1.dat", "<i2").reshape(-1, 2).astype(float)
    scales = re.findall(r"16 ([\d.]+)\((-?\d+)\)/", header)  # gain in counts a unit, and the count of zero
    for row, (gain, zero), to_uv in zip((0, 1), scales, (1000, 1)):
        expected = (counts[:, row] - int(zero)) / float(gain) * to_uv
        np.testing.assert_allclose(recording.signal[row], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0, 100, 700, 2000])
def test_a_truncated_bdf_is_named(tmp_path: Path, size: int) -> None:
    write_bdf(tmp_path / "s1.bdf")
    raw = (tmp_path / "s1.bdf").read_bytes()
    assert size < len(raw)
    (tmp_path / "s1.bdf").write_bytes(raw[:size])
    with pytest.raises(DataError, match=r"s1\.bdf is cut short or damaged.*; copy the file again"):
        read(tmp_path, 'files = "s{subject}.bdf"\nlabel = false')


@pytest.mark.parametrize("damage", ["samples", "half a sample", "no samples", "header", "signals"])
def test_a_truncated_wfdb_record_is_named(tmp_path: Path, damage: str) -> None:
    import wfdb

    wfdb.wrsamp("r1", 50, ["mV"], ["emg"], np.ones((200, 1)), fmt=["16"], write_dir=str(tmp_path))
    header, samples = tmp_path / "r1.hea", tmp_path / "r1.dat"
    lines, whole = header.read_text().splitlines(), samples.read_bytes()
    if damage == "no samples":
        samples.unlink()
    elif damage == "header":
        header.write_text("r1\n")
    elif damage == "signals":
        header.write_text(lines[0] + "\n")
    else:
        samples.write_bytes(whole[: 101 if damage == "half a sample" else 100])
    with pytest.raises(DataError, match=r"r1\.hea is cut short or damaged.*; copy the file again"):
        read(tmp_path, 'files = "r{subject}.hea"\nlabel = false')


def test_formats_without_their_library_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyedflib", None)
    (tmp_path / "a.edf").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"myograph\[formats\]"):
        read(tmp_path, 'files = "{subject}.edf"\nlabel = false')


def test_load_by_path_keeps_a_copy_until_the_description_changes(tmp_path: Path) -> None:
    write_csv(tmp_path / "fist1.csv", {"e": [1, 2, 3]})
    text = 'files = "{label}{repetition}.csv"\nrate_hz = 10\nunit = "%s"\nchannels = ["e"]'
    describe(tmp_path, text % "uV")
    (recording,) = datasets.load(str(tmp_path / "dataset.toml"))
    assert recording.signal[0].tolist() == [1, 2, 3]
    describe(tmp_path, text % "mV")
    (recording,) = datasets.load("folder", path=str(tmp_path))
    assert recording.signal[0].tolist() == [1000, 2000, 3000]


GOOD = 'files = "{label}_{repetition}.csv"\nrate_hz = 10\nunit = "uV"\nchannels = ["e"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "rate = 5", "unknown key 'rate'.*Did you mean 'rate_hz'"),
        (GOOD.replace('"uV"', '"uv"'), "unit must be one of uV, mV, V, adc, normalised, got 'uv'"),
        (GOOD.replace("10", '"10"'), "rate_hz must be a number of samples per second, got '10'"),
        (GOOD.replace("10", "-1"), "rate_hz must be a number .* got -1"),
        (GOOD.replace("10", "true"), "rate_hz .* got True"),
        (GOOD.replace('["e"]', '["e", "e"]'), "channels must be column names.*each once"),
        (GOOD.replace('["e"]', "[0]"), "numbers from 1"),
        ("rate_hz = 10", "lacks 'files'"),
        ('files = "{subject}.csv"', "does not say where labels are: put {label} into files"),
        (GOOD + 'label = "g"', "label is given twice"),
        (GOOD.replace("{label}", "{labe|}{label}"), r"files has {labe\|}, but file names can only give"),
        (GOOD + 'orientation = "rows"', "orientation must be one of 'time, channel', 'channel, time'"),
        (GOOD.replace("{label}", "{gesture}"), "files has {gesture}.*use \\*"),
        (GOOD + 'rest = "r"\n[labels]\nfist = "Fist"', "rest is 'r', which is not one of"),
        (GOOD + '[labels]\na = "x"\nb = "x"', "one name to two labels"),
        (GOOD + "scale = ", "is not TOML"),
        (GOOD.replace(".csv", ".xlsx"), "files must end in one of .*convert"),
        (
            'files = "{label}_{repetition}.csv"\nunit = "uV"\nchannels = ["e"]',
            "does not state its rate_hz; add rate_hz = ",
        ),
        ('files = "{label}_{repetition}.csv"\nrate_hz = 1\nchannels = ["e"]', "does not state its unit; add unit = "),
        (GOOD.replace('channels = ["e"]', ""), "has columns e, f; say which are channels"),
    ],
)
def test_descriptions_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    write_csv(tmp_path / "fist_1.csv", {"e": [1, 2], "f": [3, 4]})
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "text", "message"),
    [
        ("e\n1\noops\n", GOOD, "'oops' in sample 2 of column 'e' is not a number; correct the cell"),
        (
            "e,f\n1,2\n,3\n",
            GOOD,
            "1 cells are blank, NaN or infinite, the first in sample 2 of column 'e'; fill or cut",
        ),
        ("x,y\n1,2\n", GOOD, "has no column 'e', it has 2: x, y; correct the description or the file"),
        ("", GOOD, "holds no rows; copy the file again"),
        ("e\n", GOOD, "holds no samples"),
        ("e\n1\n", GOOD + '[labels]\nfits = "Fist"', "no label named 'fist'. Did you mean 'fits'"),
        ("e\n1,2,3\n4\n1,2,3,4\n", GOOD, "line 2: 3 cells, but the other rows have 1"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, content: str, text: str, message: str) -> None:
    (tmp_path / "fist_1.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_files_that_match_nothing_are_not_passed_over(tmp_path: Path) -> None:
    write_csv(tmp_path / "fist_1.csv", {"e": [1]})
    write_csv(tmp_path / "notes.csv", {"e": [1]})
    with pytest.raises(DataError, match=r"1 .csv files do not match .*'notes.csv'; rename.*ignore = \['notes.csv'\]"):
        read(tmp_path, GOOD)
    assert len(read(tmp_path, GOOD + 'ignore = ["notes.csv"]')) == 1
    with pytest.raises(DataError, match="holds no file that matches"):
        read(tmp_path / "empty", GOOD)
    with pytest.raises(DataError, match=r"there is no .*dataset.toml; write one"):
        list(Folder().read(tmp_path / "none"))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".mat", ".h5"])
def test_truncated_files_are_named(tmp_path: Path, ending: str) -> None:
    path, emg = tmp_path / f"s1{ending}", np.random.default_rng(0).normal(size=(500, 2))
    if ending == ".npy":
        np.save(path, emg)
    elif ending == ".npz":
        np.savez(path, emg=emg)
    elif ending == ".mat":
        savemat(path, {"emg": emg})
    else:
        with h5py.File(path, "w") as file:
            file["emg"] = emg
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = f'files = "s{{subject}}{ending}"\nrate_hz = 100\nunit = "uV"\nlabel = false\nsignal = "emg"'
    with pytest.raises(DataError, match=rf"s1{ending}.* cut short or damaged"):
        read(tmp_path, text)


def test_variables_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "s1.npz", emg=np.zeros((50, 2)), g=np.zeros(49))
    common = 'files = "s{subject}.npz"\nrate_hz = 100\nunit = "uV"\n'
    for text, error, message in (
        ('signal = "emg"\nlabel = "g"', DataError, "'g' has 49 values and 'emg' 50 samples"),
        ('signal = "egm"\nlabel = "g"', DataError, "lacks 'egm', it has emg, g"),
        ('label = "g"', ConfigError, "say which variable holds the samples: .* it has emg, g"),
        (
            'signal = "emg"\nlabel = false\norientation = "channel, time"',
            DataError,
            "50 channels of 2 samples .* orientation",
        ),
    ):
        with pytest.raises(error, match=message):
            read(tmp_path, common + text)


def test_check_goes_on_after_a_damaged_file(tmp_path: Path) -> None:
    for repetition in (1, 2, 3):
        write_csv(tmp_path / f"fist_{repetition}.csv", {"e": [1, "x" if repetition < 3 else 2]})
    dataset = describe(tmp_path, GOOD)
    found = list(dataset.examine(tmp_path, "1"))
    assert [Path(f.where).name for f in found[:2]] == ["fist_1.csv", "fist_2.csv"]
    assert found[2].repetition.tolist() == [3, 3]


def test_a_wrong_path_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        datasets.load("folder", path=str(tmp_path / "nowhere"))
    with pytest.raises(MyographError, match="Did you mean 'path'"):
        datasets.load("folder", pth=str(tmp_path))


def test_the_baseline_takes_a_description_for_a_data_set(tmp_path: Path) -> None:
    from myograph.evaluation.recipe import baseline

    recipe = baseline(str(tmp_path / "dataset.toml"))
    assert (recipe.name, recipe.dataset, recipe.dataset_options) == (
        "folder-smoothed",
        "folder",
        {"path": str(tmp_path / "dataset.toml")},
    )

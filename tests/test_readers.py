"""Readers of single data sets: samples, labels and repetitions recomputed from the files by a second route."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from myograph import Recording
from myograph.datasets.base import DATASETS
from myograph.datasets.longterm_myo import POSITIONS
from myograph.errors import ConfigError, DataError, UnknownNameError

NAMES = (
    "capgmyo",
    "csl_hdemg",
    "delsys_csv",
    "electrode_shift",
    "flexemg",
    "ice_lab",
    "longterm_myo",
    "plux_biceps",
    "trigno_maize",
    "unibo_inail",
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a data set's miniature, written when first asked for. Not to be changed."""
    home = tmp_path_factory.mktemp("shelf")

    def folder(name: str) -> Path:
        place = home / name
        if not place.exists():
            place.mkdir()
            DATASETS.create(name).write_miniature(place, np.random.default_rng(7))
        return place

    return folder


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    """A miniature that the test may damage."""

    def folder(name: str) -> Path:
        DATASETS.create(name).write_miniature(tmp_path, np.random.default_rng(7))
        return tmp_path

    return folder


def read(name: str, folder: Path, subject: str, **options: object) -> list[Recording]:
    return list(DATASETS.create(name, **options).read(folder, [subject]))


def one(recording: Recording, label: str, repetition: int) -> np.ndarray:
    """(channel, time) samples of one label and repetition."""
    code = recording.label_names.index(label)
    return recording.signal[:, (recording.label == code) & (recording.repetition == repetition)]


def by_csv_module(path: Path) -> np.ndarray:
    with open(path, newline="") as file:
        return np.array([[float(c) for c in row] for row in csv.reader(file)])


def test_longterm_myo(shelf: Callable[[str], Path]) -> None:
    first, second = read("longterm_myo", shelf("longterm_myo"), "2")
    assert (first.session, second.session, first.unit, first.rate_hz) == ("day01", "day02", "normalised", 200.0)
    assert "neutral" in first.name
    assert "inner" in second.name
    days = {where: {d for d, p in enumerate(POSITIONS, 1) if p == where} for where in ("neutral", "inner", "outer")}
    assert days == {
        "neutral": {1, 4, 9, 10, 12, 13, 19, 26, 27, 29},
        "inner": {2, 5, 6, 16, 17, 18, 22, 24, 25, 28},
        "outer": {3, 7, 8, 11, 14, 15, 20, 21, 23, 30},
    }
    path = next(shelf("longterm_myo").rglob("sub2/day2/D2M17T3.csv"))
    np.testing.assert_allclose(one(second, "wrist flexion, hand closed", 3), by_csv_module(path).T, rtol=1e-6)
    assert Counter(second.repetition.tolist()) == dict.fromkeys((1, 2, 3, 4), 22 * 100)
    assert len(second.label_names) == 22


def test_electrode_shift_takes_classes_from_the_json_alone(own: Callable[[str], Path]) -> None:
    folder = own("electrode_shift")
    place = next(folder.rglob("subject1/trial_2"))
    facts = json.loads((place / "metadata.json").read_text())
    for key, entry in facts.items():
        if key.endswith("R_1_C_3.csv"):
            entry["class_name"] = "Wrist_Flexion"
        elif key.endswith("R_1_C_4.csv"):
            entry["class_name"] = "Wrist_Extension"
    (place / "metadata.json").write_text(json.dumps(facts))
    recordings = read("electrode_shift", folder, "1")
    assert [r.session for r in recordings] == ["training", "trial_1", "trial_2", "trial_3", "trial_4"]
    assert [len(np.unique(r.repetition)) for r in recordings] == [5, 2, 2, 2, 2]
    np.testing.assert_array_equal(one(recordings[2], "wrist flexion", 2), by_csv_module(place / "R_1_C_3.csv").T)
    np.testing.assert_array_equal(one(recordings[2], "wrist extension", 1), by_csv_module(place / "R_0_C_3.csv").T)
    (place / "metadata.json").unlink()
    with pytest.raises(DataError, match="only this file states the classes of the recordings; copy"):
        read("electrode_shift", folder, "1")
    assert [f.level for f in DATASETS.create("electrode_shift").check(folder)] == ["error"]


def test_unibo_inail(shelf: Callable[[str], Path]) -> None:
    folder = shelf("unibo_inail")
    raw = loadmat(next(folder.rglob("user_2_day_1_posture_1.mat")))
    first, second = read("unibo_inail", folder, "2")
    assert (first.session, second.session) == ("day1 posture1", "day2 posture1")
    np.testing.assert_array_equal(first.signal, raw["emg"].T)
    np.testing.assert_array_equal(first.label, raw["relabel"][:, 0] - 1)
    np.testing.assert_array_equal(
        read("unibo_inail", folder, "2", label_track="label")[0].label, raw["label"][:, 0] - 1
    )
    counter = raw["gestureCounter"][:, 0]
    np.testing.assert_array_equal(first.repetition[counter > 0], counter[counter > 0])
    assert set(first.repetition[counter == 0]) == {1}
    # Trimmed by 50 samples on each side: 300 cued, 200 left, 6 times over.
    assert Counter(first.label.tolist())[1] == 6 * 200
    with pytest.raises(DataError, match="no files of postures 3"):
        DATASETS.create("unibo_inail", postures=3).subjects(folder)
    with pytest.raises(ConfigError, match="label_track must be 'relabel' or 'label'"):
        DATASETS.create("unibo_inail", label_track="stimulus")


def test_flexemg(shelf: Callable[[str], Path]) -> None:
    folder = shelf("flexemg")
    recordings = read("flexemg", folder, "1")
    assert list(dict.fromkeys(r.session for r in recordings)) == ["Session1Train", "Session1Test"]
    file = loadmat(next(folder.rglob("001-Session1Train/001-003.mat")), squeeze_me=True)
    recording = recordings[2]
    assert set(recording.repetition) == {3}
    raw = file["raw"][:, :64].astype(float)
    expected = (raw - raw.mean(axis=0)) * float(file["p"]["lsbmV"]) * 1000
    np.testing.assert_allclose(recording.signal, expected.T, rtol=1e-4, atol=1e-3)
    # 450 samples each of rest and four gestures, 90 of them (20 %) unlabelled on either side; then a tail.
    order = ["Rest", *(file["p"]["labelnames"].item()[i - 1] for i in file["p"]["sequence"].item())]
    for i, name in enumerate(order):
        part = recording.label[i * 450 : (i + 1) * 450]
        assert (part[:90] == -1).all()
        assert {recording.label_names[c] for c in part[90:360]} == {name}
        assert (part[360:] == -1).all()
    assert (recording.label[5 * 450 :] == -1).all()
    assert (read("flexemg", folder, "1", trim=0.0)[2].label[: 5 * 450] >= 0).all()
    grid = loadmat(next(folder.rglob("arraymap.mat")))["arraymap"]
    np.testing.assert_array_equal(recording.layout.index(), grid.astype(int) - 1)


def test_plux_biceps(shelf: Callable[[str], Path]) -> None:
    folder = shelf("plux_biceps")
    (recording,) = read("plux_biceps", folder, "emg_fatigue")
    with h5py.File(next(folder.rglob("emg_fatigue.h5"))) as file:
        counts = file["00:07:80:4C:01:B1/raw/channel_2"][:, 0].astype(float)
    # 12 bits over 3 V at a gain of 1000: half of the counts is no voltage, one count 3 mV / 4096 = 0.7324 µV.
    np.testing.assert_allclose(recording.signal[0], (counts - 2048) * 0.732421875, rtol=1e-5, atol=1e-4)
    assert set(recording.label) == {-1}
    assert recording.rate_hz == 1000


def test_delsys_csv(own: Callable[[str], Path]) -> None:
    folder = own("delsys_csv")
    path = folder / "recording 1.csv"
    lines = path.read_text().splitlines()
    assert lines[0].startswith("Label: Mini sensor 1: EMG 1 Sampling frequency: 1.259259e+03 Number of points:")
    rows = list(csv.reader(lines[lines.index("") + 2 :]))
    (recording,) = read("delsys_csv", folder, "recording 1")
    assert recording.rate_hz == 1259.259
    np.testing.assert_allclose(recording.signal, np.array([[r[1], r[5]] for r in rows], float).T * 1e6, rtol=1e-6)
    # The second sensor stops 10 samples earlier: both are cut there.
    header = len(lines) - len(rows)
    cut = [",".join([*r[:4], "", "", *r[6:]]) for r in rows[-10:]]
    path.write_text("\n".join([*lines[:-10], *cut]) + "\n")
    assert read("delsys_csv", folder, "recording 1")[0].n_samples == len(rows) - 10
    path.write_text("\n".join([*lines[:header], *cut[:1], *lines[header:]]) + "\n")
    with pytest.raises(DataError, match="has a blank cell in row 1 and numbers after it; export it"):
        read("delsys_csv", folder, "recording 1")
    path.write_text("\n".join([lines[0], *lines[1:header], lines[header].replace(",", ",x", 1)]) + "\n")
    with pytest.raises(DataError, match="cut short or damaged"):
        read("delsys_csv", folder, "recording 1")
    path.write_text("\n".join([lines[0], "no header", *lines[header:]]) + "\n")
    with pytest.raises(DataError, match="is not an EMGworks export"):
        read("delsys_csv", folder, "recording 1")
    path.write_text("\n".join([lines[0].replace("EMG", "ECG"), *lines[header - 1 :]]) + "\n")
    with pytest.raises(DataError, match="names no EMG signal"):
        read("delsys_csv", folder, "recording 1")
    path.write_text("\n".join([lines[0].replace("1.259259e+03", "1,26e3"), *lines[1:]]) + "\n")
    with pytest.raises(
        DataError, match=r"line 1: 'Label: .*1,26e3.*' is not a header line; export it from EMGworks again"
    ):
        read("delsys_csv", folder, "recording 1")
    path.write_text("\n".join([lines[0].replace("1.259259e+03", "2e3"), *lines[1:]]) + "\n")
    with pytest.raises(DataError, match=r"EMG at \[1259.259, 2000.0\] Hz; export sensors of one rate together"):
        read("delsys_csv", folder, "recording 1")


def test_trigno_maize_reads_both_formats_alike(own: Callable[[str], Path]) -> None:
    folder = own("trigno_maize")
    recordings = read("trigno_maize", folder, "1")
    assert [r.label_names[r.label[0]] for r in recordings] == [
        "left_biceps",
        "right_biceps",
        "left_tibialis",
        "right_tibialis",
    ]
    assert all(r.signal.shape[0] == 16 and r.rate_hz == 1000 and len(set(r.label)) == 1 for r in recordings)
    raw = loadmat(folder / "subject2" / "left_tibialis.mat")["emg"]
    np.testing.assert_allclose(read("trigno_maize", folder, "2")[2].signal, raw.T * 1e6, rtol=1e-6)
    # The same samples as a CSV and as a .mat file give the same recording.
    volts = recordings[0].signal.T / 1e6
    (folder / "subject1" / "left_biceps.csv").unlink()
    savemat(folder / "subject1" / "left_biceps.mat", {"emg": volts})
    np.testing.assert_allclose(read("trigno_maize", folder, "1")[0].signal, recordings[0].signal, rtol=1e-6)
    savemat(folder / "subject1" / "left_biceps.mat", {"emg": volts[:, :15]})
    with pytest.raises(DataError, match=r"expected \(time, 16\)"):
        read("trigno_maize", folder, "1")
    savemat(folder / "subject1" / "right_biceps.mat", {"emg": volts})
    with pytest.raises(DataError, match="are the same recording; keep one"):
        read("trigno_maize", folder, "1")


def test_csl_hdemg_leaves_out_every_eighth_row(shelf: Callable[[str], Path]) -> None:
    folder = shelf("csl_hdemg")
    recordings = read("csl_hdemg", folder, "2")
    assert [(r.session, r.label_names[r.label[0]]) for r in recordings] == [
        (s, g) for s in ("1", "2") for g in ("idle", "gesture 1", "gesture 2")
    ]
    assert [int(r.repetition.max()) for r in recordings] == [30, 10, 10, 30, 10, 10]
    cells = loadmat(folder / "subject2" / "session1" / "gest1.mat")["gestures"]
    assert cells.shape == (10, 1)  # the archive's own example reads gestures[i, 0]
    kept = np.delete(cells[3, 0], np.s_[7:192:8], axis=0).astype(np.float32)
    recording = recordings[1]
    np.testing.assert_array_equal(one(recording, "gesture 1", 4), kept)
    assert recording.n_channels == 168
    assert recording.rate_hz == 2048
    # Rows of the file run down a column of eight electrodes: row 9 (from 0) is the second of the second column.
    assert recording.layout.index()[1, 1] == 8
    np.testing.assert_array_equal(one(recording, "gesture 1", 4)[8], cells[3, 0][9].astype(np.float32))


def test_csl_hdemg_saved_again_as_version_7_3_reads_the_same(own: Callable[[str], Path]) -> None:
    folder = own("csl_hdemg")
    before = read("csl_hdemg", folder, "2")
    path = folder / "subject2" / "session1" / "gest1.mat"
    cells = loadmat(path)["gestures"]
    path.unlink()
    with h5py.File(path, "w", userblock_size=512) as file:  # HDF5 with the axes reversed, after MATLAB's own 512 bytes
        trials = [file.create_dataset(f"#refs#/{i}", data=cells[i, 0].T) for i in range(len(cells))]
        file.create_dataset("gestures", data=np.array([[t.ref for t in trials]], dtype=h5py.ref_dtype))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM")
    after = read("csl_hdemg", folder, "2")
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a.signal, b.signal)
        np.testing.assert_array_equal(a.repetition, b.repetition)


def test_ice_lab_drops_column_193(shelf: Callable[[str], Path]) -> None:
    folder = shelf("ice_lab")
    (recording,) = read("ice_lab", folder, "2")
    five = loadmat(folder / "002-003-005.mat")["Data"]
    assert five.shape[1] == 193
    np.testing.assert_array_equal(one(recording, "gesture 3", 5), five[:, :192].T)
    np.testing.assert_array_equal(one(recording, "gesture 8", 2), loadmat(folder / "002-008-002.mat")["data"].T)
    assert recording.layout.shape == (8, 24)
    assert recording.rate_hz == 2560


def test_capgmyo_databases(shelf: Callable[[str], Path]) -> None:
    folder = shelf("capgmyo")
    (recording,) = read("capgmyo", folder, "2")
    np.testing.assert_array_equal(
        one(recording, "pointing index", 3),
        loadmat(folder / "dba-preprocessed-002" / "002-007-003.mat")["data"].T.astype(np.float32),
    )
    assert (len(recording.label_names), recording.unit) == (8, "normalised")
    days = read("capgmyo", folder, "2", database="b")
    assert [r.session for r in days] == ["1", "2"]
    for number, day in zip((3, 4), days):
        expected = loadmat(folder / f"dbb-preprocessed-{number:03d}" / f"{number:03d}-001-002.mat")["data"].T.astype(
            np.float32
        )
        np.testing.assert_array_equal(one(day, "thumb up", 2), expected)
    assert len(read("capgmyo", folder, "1", database="c")[0].label_names) == 12
    with pytest.raises(ConfigError, match="database must be 'a', 'b' or 'c', got 'd'"):
        DATASETS.create("capgmyo", database="d")


@pytest.mark.parametrize(
    ("name", "file", "variables", "message"),
    [
        ("unibo_inail", "user_1_day_1_posture_1.mat", {"emg": np.zeros((9, 4))}, "lacks 'relabel', 'gestureCounter'"),
        (
            "unibo_inail",
            "user_1_day_1_posture_1.mat",
            {"emg": np.zeros((9, 4)), "relabel": np.ones((8, 1)), "gestureCounter": np.ones((9, 1))},
            "one label and counter per sample",
        ),
        (
            "unibo_inail",
            "user_1_day_1_posture_1.mat",
            {"emg": np.zeros((9, 4)), "relabel": np.full((9, 1), 7), "gestureCounter": np.ones((9, 1))},
            "holds labels .* expected 1 to 6",
        ),
        ("csl_hdemg", "subject1/session1/gest1.mat", {"gestures": np.zeros((192, 50))}, "a cell array of trials"),
        ("ice_lab", "001-001-001.mat", {"Data": np.zeros((50, 64))}, "64 channels .* 192 channels"),
        ("ice_lab", "001-001-001.mat", {"x": np.zeros((50, 192))}, "lacks 'Data', it has x"),
        (
            "capgmyo",
            "dba-preprocessed-001/001-001-001.mat",
            {"data": np.full((50, 128), np.nan)},
            "samples that are NaN",
        ),
        ("flexemg", "001-Session1Train/001-001.mat", {"raw": np.zeros((50, 96)), "p": 1}, "does not state order"),
        ("flexemg", "001-Session1Train/001-001.mat", {"raw": np.zeros((50, 60)), "p": 1}, "64 or more"),
    ],
)
def test_malformed_matlab_files(
    own: Callable[[str], Path], name: str, file: str, variables: dict, message: str
) -> None:
    folder = own(name)
    savemat(next(folder.rglob(file)), variables)
    with pytest.raises(DataError, match=message) as caught:
        read(name, folder, "1")
    assert "again" in str(caught.value)


SIGNALS = {
    "capgmyo": ("dba-*/001-001-001.mat", "data"),
    "csl_hdemg": ("subject1/session1/gest0.mat", "gestures"),
    "flexemg": ("001-Session1Train/001-001.mat", "raw"),
    "ice_lab": ("001-001-001.mat", "Data"),
    "ninapro_db5": ("S1_E1_A1.mat", "emg"),
    "trigno_maize": ("subject2/left_biceps.mat", "emg"),
    "unibo_inail": ("user_1_day_1_posture_1.mat", "emg"),
}
TRACKS = {"ninapro_db5": ("restimulus", "rerepetition"), "unibo_inail": ("relabel", "gestureCounter")}


@pytest.mark.parametrize("name", SIGNALS)
def test_variables_that_are_no_signal_are_a_named_error(own: Callable[[str], Path], name: str) -> None:
    folder = own(name)
    pattern, key = SIGNALS[name]
    path = next(folder.rglob(pattern))
    good = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    subject = "2" if name == "trigno_maize" else "1"
    odd: dict[str, object] = dict.fromkeys(("text", *TRACKS.get(name, ())), "abc")
    odd |= {"struct": {"a": 1}, "empty": np.zeros((0, 0)), "cube": np.zeros((4, 5, 6))}
    odd |= {"complex": np.ones(np.shape(good[key])) * 1j}
    for what, value in odd.items():
        changed = what if what in TRACKS.get(name, ()) else key
        savemat(path, {**good, changed: value})
        with pytest.raises(DataError, match=path.name.replace(".", r"\.")) as caught:
            next(iter(DATASETS.create(name).read(folder, [subject])))
        assert "; " in str(caught.value), f"no advice where {changed} is {what}"


def test_labels_that_are_no_whole_numbers(own: Callable[[str], Path]) -> None:
    folder = own("unibo_inail")
    path = next(folder.rglob("user_1_day_1_posture_1.mat"))
    good = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    for value in (1.5, np.nan, 1e12):
        bad = good["gestureCounter"].copy()
        bad[3] = value
        savemat(path, {**good, "gestureCounter": bad})
        with pytest.raises(DataError, match="'gestureCounter' should hold one whole number per sample, got"):
            read("unibo_inail", folder, "1")


@pytest.mark.parametrize("name", [*NAMES, "3dc", "myoarmband", "ninapro_db1"])
def test_a_subject_that_is_not_there_is_named(shelf: Callable[[str], Path], name: str) -> None:
    dataset = DATASETS.create(name)
    for ask in (dataset.read, dataset.examine):
        with pytest.raises(UnknownNameError, match=f"no subject of {name} named 'nobody'"):
            list(ask(shelf(name), ["nobody"] if ask == dataset.read else "nobody"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("capgmyo", "dba-*/001-002-003.mat"),
        ("delsys_csv", "recording 1.csv"),
        ("flexemg", "001-Session1Train/001-001.mat"),
        ("ice_lab", "001-002-003.mat"),
        ("plux_biceps", "emg_bursts.h5"),
        ("unibo_inail", "user_1_day_1_posture_1.mat"),
    ],
)
def test_one_recording_in_two_places_is_not_read_twice(own: Callable[[str], Path], name: str, file: str) -> None:
    folder = own(name)
    path = next(folder.rglob(file))
    expected = len(list(DATASETS.create(name).read(folder)))
    for hidden in ("__MACOSX", ".unpacking-1"):  # what another process unpacks is no copy
        again = folder / hidden / path.relative_to(folder)
        again.parent.mkdir(parents=True)
        shutil.copy(path, again)
    assert len(list(DATASETS.create(name).read(folder))) == expected
    second = folder / "copies" / path.relative_to(folder)
    second.parent.mkdir(parents=True)
    shutil.copy(path, second)
    with pytest.raises(DataError, match="keep one") as caught:
        list(DATASETS.create(name).read(folder))
    assert str(path) in str(caught.value)
    assert str(second) in str(caught.value)


def test_folders_of_one_name(own: Callable[[str], Path]) -> None:
    folder = own("3dc")
    (folder / "__MACOSX" / "Participant1").mkdir(parents=True)
    assert DATASETS.create("3dc").subjects(folder) == ["1", "2"]
    shutil.copytree(next(folder.rglob("3DCDataset-main/Participant2")), folder / "old" / "Participant2")
    with pytest.raises(DataError, match="Participant2 have the same name; keep one"):
        DATASETS.create("3dc").subjects(folder)


@pytest.mark.parametrize(
    ("unit", "encoding", "to_uv"),
    [("V", "utf-8", 1e6), ("mV", "utf-8", 1e3), ("uV", "utf-8", 1), ("\u00b5V", "utf-8", 1), ("\u00b5V", "cp1252", 1)],
)
def test_emgworks_units(tmp_path: Path, unit: str, encoding: str, to_uv: float) -> None:
    head = f"Label: a: EMG 1 Sampling frequency: 2.0e+003 Number of points: 2 start: 0.0 Unit: {unit} Domain Unit: s"
    (tmp_path / "a.csv").write_text(f'{head}\n\nX[s],"a: EMG 1"\n0,0.25\n0.0005,-3\n', encoding=encoding)
    (recording,) = read("delsys_csv", tmp_path, "a")
    assert recording.signal.tolist() == [[0.25 * to_uv, -3 * to_uv]]
    assert (recording.unit, recording.rate_hz) == ("uV", 2000.0)


def test_check_notes_what_an_export_announces_and_lacks(own: Callable[[str], Path]) -> None:
    folder = own("delsys_csv")
    path = folder / "recording 1.csv"
    lines = path.read_text().splitlines()
    announced = {
        int(line.split("Number of points: ")[1].split()[0]) for line in lines if ": EMG " in line and "Number" in line
    }
    path.write_text("\n".join(lines[:-7]) + "\n")
    found, recording = DATASETS.create("delsys_csv").examine(folder, "recording 1")
    n = recording.n_samples
    assert (found.level, found.where) == ("note", str(path))
    assert found.what == f"the header counts {max(announced)} samples of EMG, but there are {n}"
    header = "\n".join(lines).replace(f"Number of points: {max(announced)} ", f"Number of points: {n} ")
    path.write_text("\n".join(header.splitlines()[:-7]) + "\n")
    assert [type(f) for f in DATASETS.create("delsys_csv").examine(folder, "recording 1")] == [Recording]


@pytest.mark.parametrize(
    ("fact", "value"), [("sequence", np.array([[0, 1, 2, 3]])), ("timegest", -450), ("timerest", 0)]
)
def test_flexemg_whose_order_or_durations_cannot_be(
    own: Callable[[str], Path], fact: str, value: np.ndarray | int
) -> None:
    folder = own("flexemg")
    path = next(folder.rglob("001-Session1Train/001-001.mat"))
    file = loadmat(path)
    p = {k: file["p"][k][0, 0] for k in file["p"].dtype.names}
    savemat(path, {"raw": file["raw"], "p": p | {fact: value}})
    with pytest.raises(DataError, match=r"does not state order and durations .*sequence \[.*again"):
        read("flexemg", folder, "1")


def test_electrode_shift_whose_json_names_no_file(own: Callable[[str], Path]) -> None:
    folder = own("electrode_shift")
    (next(folder.rglob("subject1/training")) / "metadata.json").write_text("{}")
    with pytest.raises(
        DataError, match="names no files, and only this file states the classes of the recordings; copy"
    ):
        read("electrode_shift", folder, "1")


def test_flexemg_without_the_map_of_its_array(own: Callable[[str], Path]) -> None:
    folder = own("flexemg")
    next(folder.rglob("arraymap.mat")).unlink()
    with pytest.raises(DataError, match=r"no arraymap\.mat, which states the place of each channel; copy it there"):
        read("flexemg", folder, "1")


def test_check_goes_on_after_nan(own: Callable[[str], Path]) -> None:
    folder = own("unibo_inail")
    path = next(folder.rglob("user_1_day_1_posture_1.mat"))
    file = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    file["emg"][7, 2] = np.nan
    savemat(path, file)
    bad, good = DATASETS.create("unibo_inail").examine(folder, "1")
    assert bad.where == str(path)
    assert "channel 2 at sample 7" in bad.what
    assert good.session == "day2 posture1"

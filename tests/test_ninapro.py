"""The NinaPro reader: numbering of movements, tracks, rest, file names, units, and files that are not whole."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from myograph import Recording, Windowing, Windows
from myograph.datasets._formats.matlab import read_matlab
from myograph.datasets.base import DATASETS
from myograph.datasets.load import load, locate
from myograph.datasets.ninapro import FACTS, spread_to_rest
from myograph.errors import ConfigError, DataError


def write(path: Path, labels: list[int], channels: int = 10, rate: int = 10, **changes: np.ndarray) -> Path:
    """A file with rest, movement, rest, …, each of `rate` samples; repetition 1, 2, … of each label."""
    stimulus, repetition, count = [0] * rate, [0] * rate, {}
    for label in labels:
        count[label] = count.get(label, 0) + 1
        stimulus += [label] * rate + [0] * rate
        repetition += [count[label]] * rate + [0] * rate
    n = len(stimulus)
    track = lambda values: np.array(values, np.uint8)[:, None]  # noqa: E731
    variables = {
        "emg": np.arange(n * channels, dtype=np.float64).reshape(n, channels),
        "stimulus": track(stimulus),
        "restimulus": np.roll(track(stimulus), 2, axis=0),
        "repetition": track(repetition),
        "rerepetition": np.roll(track(repetition), 2, axis=0),
        "exercise": np.array([[3]], np.uint8),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {k: v for k, v in (variables | changes).items() if v is not None})
    return path


def names_read(name: str, folder: Path, **options: object) -> list[list[str]]:
    """For each recording: the label names that occur, in order."""
    return [
        [r.label_names[i] for i in np.unique(r.label) if i >= 0] for r in DATASETS.create(name, **options).read(folder)
    ]


def test_movement_counts_are_those_of_the_papers() -> None:
    counts = {name: [len(e.names) for e in facts.exercises.values()] for name, facts in FACTS.items()}
    assert counts == {
        "ninapro_db1": [12, 17, 23],  # 52 movements
        "ninapro_db2": [17, 23, 9],  # 49
        "ninapro_db3": [17, 23, 9],
        "ninapro_db4": [12, 17, 23],
        "ninapro_db5": [12, 17, 23],
        "ninapro_db6": [7],
        "ninapro_db7": [17, 23],  # 40
        "ninapro_db8": [9],
        "ninapro_db10": [10],
    }
    for facts in FACTS.values():
        names = [n for e in facts.exercises.values() for n in e.names]
        assert len(set(names)) == len(names)


def test_restarting_labels_of_several_exercises_do_not_collide(tmp_path: Path) -> None:
    for exercise in (1, 2, 3):
        write(tmp_path / "s1" / f"S1_A1_E{exercise}.mat", [1, 2, 12])
    assert names_read("ninapro_db1", tmp_path) == [
        ["rest", "A1 index flexion", "A2 index extension", "A12 thumb extension"],
        ["rest", "B1 thumb up", "B2 index and middle extension, others flexed", "B12 wrist pronation, axis little finger"],
        ["rest", "C1 large diameter grasp", "C2 small diameter grasp", "C12 precision sphere grasp"],
    ]  # fmt: skip
    windows = Windows.cut(list(DATASETS.create("ninapro_db1").read(tmp_path)), Windowing(length_ms=50, step_ms=50))
    assert windows.table["label"].nunique() == 10


def test_labels_that_count_on_are_the_same_movements(tmp_path: Path) -> None:
    write(tmp_path / "on" / "S1_E2_A1.mat", [18, 19, 40], channels=12)
    write(tmp_path / "again" / "S1_E2_A1.mat", [1, 2, 23], channels=12)
    expected = [["rest", "C1 large diameter grasp", "C2 small diameter grasp", "C23 cut something"]]
    assert names_read("ninapro_db2", tmp_path / "on") == expected
    assert names_read("ninapro_db2", tmp_path / "again") == expected
    assert names_read("ninapro_db7", tmp_path / "on") == expected


def test_the_same_movement_has_one_name_in_every_database(tmp_path: Path) -> None:
    write(tmp_path / "db1" / "S1_A1_E2.mat", [13])
    write(tmp_path / "db2" / "S1_E1_A1.mat", [13], channels=12)
    write(tmp_path / "db5" / "S1_E2_A1.mat", [13], channels=16)
    for db in (1, 2, 5):
        assert names_read(f"ninapro_db{db}", tmp_path / f"db{db}") == [["rest", "B13 wrist flexion"]]


def test_a_label_of_no_exercise_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "S1_A1_E1.mat", [1, 55])
    with pytest.raises(DataError, match=r"S1_A1_E1\.mat has labels 1, 55 where exercise 1 .* has 1 to 12"):
        names_read("ninapro_db1", tmp_path)


def test_tracks_come_in_pairs_unless_told(tmp_path: Path) -> None:
    write(tmp_path / "S1_A1_E1.mat", [1, 1])
    starts = {}
    for label_track, repetition_track in (
        ("restimulus", None),
        ("stimulus", None),
        ("restimulus", "repetition"),
    ):
        dataset = DATASETS.create("ninapro_db1", label_track=label_track, repetition_track=repetition_track)
        (r,) = dataset.read(tmp_path)
        starts[label_track, repetition_track] = np.flatnonzero(np.diff(r.label)).tolist()
    # Ten samples each of rest, movement, rest, movement, rest; the relabelled tracks are two samples later.
    assert starts["restimulus", None] == [11, 21, 31, 41]
    assert starts["stimulus", None] == [9, 19, 29, 39]
    # Movement samples whose cue has ended have no repetition: they are unlabelled.
    assert starts["restimulus", "repetition"] == [11, 19, 21, 31, 39, 41]


def test_rest_by_hand() -> None:
    label = np.array([0, 0, 3, 3, 0, 0, 3, 0, 5, 0, 0])
    given_ = np.array([0, 0, 1, 1, 0, 9, 2, 0, 1, 4, 0])
    assert spread_to_rest(label == 0, label > 0, given_).tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1]


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 6)), min_size=1, max_size=60))
def test_rest_takes_the_repetition_of_the_movement_before(pairs: list[tuple[int, int]]) -> None:
    label, repetition = (np.array(column) for column in zip(*pairs))
    expected, last = [], next((r for move, r in pairs if move > 0), None)
    for move, r in pairs:
        if move > 0:
            last = r
        expected.append(last if move == 0 and last is not None else r)
    assert spread_to_rest(label == 0, label > 0, repetition).tolist() == expected


def test_both_orders_of_the_name_and_upper_and_lower_case(tmp_path: Path) -> None:
    write(tmp_path / "a" / "S1_E1_A1.mat", [1], channels=12)
    write(tmp_path / "b" / "s2_A1_E1.MAT".replace(".MAT", ".mat"), [1], channels=12)
    write(tmp_path / "c" / "S10_E1_A1.mat", [1], channels=12)
    (tmp_path / "c" / "notes.mat").write_bytes(b"not a recording")
    assert DATASETS.create("ninapro_db3").subjects(tmp_path) == ["1", "2", "10"]


def test_the_same_file_twice_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a" / "S1_E1_A1.mat", [1], channels=12)
    write(tmp_path / "b" / "S1_A1_E1.mat", [1], channels=12)
    with pytest.raises(DataError, match=r"S1_E1_A1\.mat and .*S1_A1_E1\.mat are the same recording; keep one"):
        DATASETS.create("ninapro_db2").subjects(tmp_path)


def test_exercises_are_chosen_by_number(tmp_path: Path) -> None:
    for exercise in (1, 3):
        write(tmp_path / f"S1_A1_E{exercise}.mat", [1])
    assert len(names_read("ninapro_db1", tmp_path)) == 2
    assert names_read("ninapro_db1", tmp_path, exercises=(3,)) == [["rest", "C1 large diameter grasp"]]
    assert names_read("ninapro_db1", tmp_path, exercises=[1]) == [["rest", "A1 index flexion"]]
    with pytest.raises(DataError, match=r"holds no files such as S1_A1_E1\.mat for exercises 2"):
        names_read("ninapro_db1", tmp_path, exercises=(2,))
    with pytest.raises(ConfigError, match="has exercises 1, 2, 3, got"):
        DATASETS.create("ninapro_db1", exercises=(4,))
    with pytest.raises(ConfigError, match="'restimulus' or 'stimulus'"):
        DATASETS.create("ninapro_db1", label_track="relabelled")


def test_units_axes_and_empty_columns(tmp_path: Path) -> None:
    emg = np.zeros((30, 16))
    emg[:, [0, 7, 10, 15]] = np.array([1, 2, 3, 4]) * 1e-6
    write(tmp_path / "db6" / "S1_D1_T1.mat", [3], emg=emg)
    write(tmp_path / "db6" / "S1_D1_T2.mat", [11], emg=emg)
    first, second = DATASETS.create("ninapro_db6").read(tmp_path / "db6")
    assert (first.session, second.session) == ("D1_T1", "D1_T2")
    assert first.unit == "uV"
    np.testing.assert_allclose(first.signal[:, 0], [1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4], rtol=1e-6)
    assert first.label_names == ("rest", "grasp 1", "grasp 3", "grasp 4", "grasp 6", "grasp 9", "grasp 10", "grasp 11")
    assert first.label_names[first.label[15]] == "grasp 3"
    emg[5, 8] = 1
    write(tmp_path / "db6" / "S1_D1_T1.mat", [3], emg=emg)
    with pytest.raises(DataError, match="has signal in the columns 8, 9"):
        list(DATASETS.create("ninapro_db6").read(tmp_path / "db6"))
    write(tmp_path / "db1" / "S1_A1_E1.mat", [1])
    (envelope,) = DATASETS.create("ninapro_db1").read(tmp_path / "db1")
    assert envelope.unit == "adc"
    assert envelope.signal[:, 1].tolist() == list(range(10, 20))


def test_unreliable_samples_of_db10_are_unlabelled(tmp_path: Path) -> None:
    grasp = np.array([0] * 10 + [2] * 10 + [0] * 10, np.int8)[:, None]
    repetition = np.array([0] * 10 + [1] * 5 + [-2] * 5 + [0] * 10, np.int8)[:, None]
    variables = {"emg": np.ones((30, 12)), "regrasp": grasp, "reobjectrepetition": repetition}
    savemat(tmp_path / "S010_ex1.mat", variables)
    (r,) = DATASETS.create("ninapro_db10").read(tmp_path)
    assert r.subject == "10"
    assert r.label[10:20].tolist() == [2] * 5 + [-1] * 5
    assert set(r.repetition[r.label >= 0].tolist()) == {1}


def test_pauses_of_db10_part_recordings(tmp_path: Path) -> None:
    n = 40
    grasp = np.array([0] * 10 + [2] * 30, np.int8)[:, None]
    repetition = np.array([0] * 10 + [1] * 15 + [2] * 15, np.int8)[:, None]
    times = np.arange(n)[:, None] / 1926 + np.repeat([0, 3.5, 170], [20, 15, 5])[:, None]
    emg = np.arange(n * 11.0).reshape(n, 11)  # one electrode fewer, as three people have
    variables = {"emg": emg, "regrasp": grasp, "reobjectrepetition": repetition}
    savemat(tmp_path / "S024_ex1.mat", {**variables, "ts": times})
    dataset = DATASETS.create("ninapro_db10")
    parts = list(dataset.read(tmp_path))
    assert [r.n_samples for r in parts] == [20, 15, 5]
    assert [r.name[-11:] for r in parts] == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]
    assert {(r.subject, r.session, r.n_channels, r.layout) for r in parts} == {("24", "1", 11, None)}
    np.testing.assert_array_equal(np.concatenate([r.signal for r in parts], axis=1), emg.T)
    assert np.concatenate([r.repetition for r in parts]).tolist() == [1] * 25 + [2] * 15
    savemat(tmp_path / "S024_ex1.mat", variables)
    (whole,) = dataset.read(tmp_path)
    assert whole.n_samples == n


@pytest.mark.parametrize("short", ["restimulus", "rerepetition", "both"])
def test_label_tracks_a_little_shorter_than_the_samples(tmp_path: Path, short: str) -> None:
    path = write(tmp_path / "S1_E1_A1.mat", [1, 2, 3, 4], channels=12, rate=100)
    variables = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    for key in ("restimulus", "rerepetition"):
        if short in (key, "both"):
            variables[key] = variables[key][:-9]
    savemat(path, variables)
    finding, recording = (
        item
        for item in DATASETS.create("ninapro_db2").examine(tmp_path, "1")
        if isinstance(item, Recording) or "no label" in item.what
    )
    assert (finding.level, finding.what) == ("note", "the last 9 samples have no label")
    assert recording.n_samples == 900
    assert recording.label[-10:].tolist() == [0] + [-1] * 9
    np.testing.assert_array_equal(recording.label[:-9], np.roll(np.repeat([0, 1, 0, 2, 0, 3, 0, 4, 0], 100), 2)[:-9])
    variables[key] = variables[key][:-11]
    savemat(path, variables)
    with pytest.raises(DataError, match=r"holds emg \(900, 12\).*expected emg .* tracks of the same length"):
        list(DATASETS.create("ninapro_db2").read(tmp_path))


def test_a_label_track_that_is_longer_is_cut(tmp_path: Path) -> None:
    write(tmp_path / "S1_E1_A1.mat", [1], channels=12, rate=100, emg=np.ones((298, 12)))
    (recording,) = DATASETS.create("ninapro_db2").read(tmp_path)
    assert recording.label.tolist() == [0] * 102 + [1] * 100 + [0] * 96


def test_the_third_session_of_db8_has_two_repetitions(tmp_path: Path) -> None:
    dataset = DATASETS.create("ninapro_db8")
    dataset.write_miniature(tmp_path, np.random.default_rng(0))
    recordings = list(dataset.read(tmp_path, ["2"]))
    assert [(r.session, r.rate_hz, r.repetition.max()) for r in recordings] == [
        ("1", 2000.0, 10),
        ("2", 2000.0, 10),
        ("3", 2000.0, 2),
    ]


def test_an_exercise_that_the_database_lacks_is_said(tmp_path: Path) -> None:
    write(tmp_path / "S1_E7_A1.mat", [1], channels=12)
    with pytest.raises(DataError, match="is named as exercise 7, but ninapro_db2 has 1, 2, 3; is it a file of another"):
        list(DATASETS.create("ninapro_db2").read(tmp_path))


def test_version_7_3_files_are_read(tmp_path: Path) -> None:
    plain = loadmat(write(tmp_path / "v5" / "S1_A1_E1.mat", [1, 2]))
    (tmp_path / "v73").mkdir()
    path = tmp_path / "v73" / "S1_A1_E1.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in plain.items():
            if not key.startswith("__"):
                file[key] = value.T  # MATLAB stores columns first
    header = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0") + path.read_bytes()[512:])
    (v5,), (v73,) = (list(DATASETS.create("ninapro_db1").read(tmp_path / v)) for v in ("v5", "v73"))
    assert v5.content_hash == v73.content_hash


def test_a_mat_file_cut_anywhere_is_a_named_error(tmp_path: Path) -> None:
    DATASETS.create("ninapro_db5").write_miniature(tmp_path, np.random.default_rng(0))
    path = tmp_path / "s1" / "S1_E1_A1.mat"
    keys = ("emg", "restimulus", "rerepetition")
    whole, arrays = path.read_bytes(), read_matlab(path, keys)
    kept = 0
    for n in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:n])
        try:
            found = read_matlab(path, keys)
        except DataError:
            with pytest.raises(DataError, match=r"S1_E1_A1\.mat .*download it again"):
                read_matlab(path, keys)
        else:  # what is cut off is no variable that was asked for
            kept += 1
            for one, other in zip(found, arrays):
                np.testing.assert_array_equal(one, other)
    assert kept < 5


def test_check_names_the_broken_file_and_reads_the_others(tmp_path: Path) -> None:
    dataset = DATASETS.create("ninapro_db5")
    dataset.write_miniature(tmp_path, np.random.default_rng(0))
    broken, lost = tmp_path / "s1" / "S1_E2_A1.mat", tmp_path / "s2" / "S2_E3_A1.mat"
    broken.write_bytes(broken.read_bytes()[:5000])
    lost.unlink()
    findings = dataset.check(tmp_path)
    assert [f.where for f in findings if f.level == "error"] == [str(broken)]
    assert any("no file of exercise 3 of session 1" in f.what and "subject 2" in f.where for f in findings)
    assert any("13 of 17 movements never occur" in f.what for f in findings)
    with pytest.raises(DataError, match=r"S1_E2_A1\.mat \(5000 bytes\) is cut short or damaged"):
        list(dataset.read(tmp_path, ["1"]))
    assert len(list(dataset.read(tmp_path, ["2"]))) == 2


def test_files_of_another_kind_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    dataset = DATASETS.create("ninapro_db1")
    write(tmp_path / "S1_A1_E1.mat", [1], rerepetition=None)
    with pytest.raises(DataError, match="lacks 'rerepetition', it has emg, stimulus, restimulus, repetition, exercise"):
        list(dataset.read(tmp_path))
    write(tmp_path / "S1_A1_E1.mat", [1], channels=16)
    with pytest.raises(DataError, match=r"holds emg \(30, 16\).*\(time, 10\).*is it a file of ninapro_db1"):
        list(dataset.read(tmp_path))
    write(tmp_path / "S1_A1_E1.mat", [1], emg=np.ones((29, 10)))
    with pytest.raises(DataError, match=r"emg \(29, 10\), restimulus \(30,\)"):
        list(dataset.read(tmp_path))
    bad = np.ones((30, 10))
    bad[7, 3], bad[9, 0] = np.nan, np.inf
    write(tmp_path / "S1_A1_E1.mat", [1], emg=bad)
    with pytest.raises(DataError, match="NaN or infinite values in 2 samples, the first at 7"):
        list(dataset.read(tmp_path))
    assert any("NaN" in f.what for f in dataset.check(tmp_path))


def test_downloads_are_listed_for_every_subject() -> None:
    db6, db8 = DATASETS["ninapro_db6"].files, DATASETS["ninapro_db8"].files
    assert len(DATASETS["ninapro_db2"].files) == 40
    assert (db6[1].name, len(db6)) == ("DB6_s1_b.zip", 20)
    assert db8[2].urls == ("https://ninapro.hevs.ch/files/DB8/S1_E1_A3.mat",)
    for name in FACTS:
        files = [f.name for f in DATASETS[name].files]
        assert len(set(files)) == len(files)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "subjects", "channels", "rate", "repetitions", "low", "high"),
    [
        ("ninapro_db1", ["1", "2", "3", "4", "7", "8", "9", "10"], 10, 100.0, 10, 0.0, 4.67),
        ("ninapro_db5", ["1", "3", "4", "5"], 16, 200.0, 6, -128.0, 127.0),
    ],
)
def test_real_files_hold_what_was_published(name, subjects, channels, rate, repetitions, low, high) -> None:
    recordings = load(name)
    assert [r.subject for r in recordings] == subjects
    for r in recordings:
        assert (r.n_channels, r.rate_hz, r.unit) == (channels, rate, "adc")
        assert 99_000 < r.n_samples < 153_000
        assert low <= r.signal.min()
        assert r.signal.max() <= high
        assert (r.label >= 0).all()
        moving = {(g, k) for g, k in set(zip(r.label.tolist(), r.repetition.tolist())) if g > 0}
        assert moving == {(g, k) for g in range(1, 13) for k in range(1, repetitions + 1)}
        assert set(r.repetition[r.label == 0].tolist()) == set(range(1, repetitions + 1))


@pytest.mark.real_data
def test_real_samples_are_the_files_own() -> None:
    path = next(locate("ninapro_db5").rglob("S4_E1_A1.mat"))
    raw = loadmat(path)
    (r,) = load("ninapro_db5", subjects=4)
    np.testing.assert_array_equal(r.signal.T, raw["emg"])
    np.testing.assert_array_equal(r.label, raw["restimulus"].ravel())
    moving = r.label > 0
    np.testing.assert_array_equal(r.repetition[moving], raw["rerepetition"].ravel()[moving])
    (cue,) = load("ninapro_db5", subjects=4, label_track="stimulus")
    np.testing.assert_array_equal(cue.label, raw["stimulus"].ravel())
    assert (cue.label != r.label).mean() > 0.2

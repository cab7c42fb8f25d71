"""Every data set through its own reader on a miniature in its own format; the decoded copy; `check`; bad files."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from myograph import Windows
from myograph.audit import audit
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, Dataset
from myograph.datasets.checks import repeated, repetitions
from myograph.datasets.load import choose_subjects, is_here, load, locate
from myograph.datasets.myoarmband import MyoArmband
from myograph.datasets.three_dc import ThreeDC
from myograph.errors import ConfigError, DataError, UnknownNameError
from myograph.recording import Recording

MINIATURES = [
    name
    for name in DATASETS
    if DATASETS[name].needs_files
    and all(f.default is not dataclasses.MISSING for f in dataclasses.fields(DATASETS[name]))
    and DATASETS[name].own_folder is Dataset.own_folder
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that fills with miniatures as they are asked for."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def home(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MYOGRAPH_DATA", str(shelf))
    return shelf


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a cache for one test alone."""
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def miniature(name: str, data: Path) -> Path:
    folder = data / name
    if not folder.is_dir():
        DATASETS.create(name).write_miniature(folder, np.random.default_rng(1))
    return folder


def same(one: list[Recording], other: list[Recording]) -> bool:
    plain = [f.name for f in dataclasses.fields(Recording) if f.name not in ("signal", "label", "repetition")]
    return len(one) == len(other) and all(
        a.content_hash == b.content_hash and all(getattr(a, n) == getattr(b, n) for n in plain)
        for a, b in zip(one, other)
    )


@pytest.mark.parametrize("name", MINIATURES)
def test_a_data_set_keeps_its_contract(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniature(name, home)
    dataset = DATASETS.create(name)
    for fact in ("title", "licence", "citation", "homepage"):
        assert getattr(dataset, fact), f"{name} has no {fact}"
    assert is_here(name)
    assert locate(name) == folder
    subjects = dataset.subjects(folder)
    assert len(subjects) >= 2
    assert subjects == sorted(subjects, key=natural)

    fresh = list(dataset.read(folder))
    assert list(dict.fromkeys(r.subject for r in fresh)) == subjects
    assert {r.subject for r in dataset.read(folder, subjects[1:2])} == {subjects[1]}
    if dataset.rest is not None:
        assert any(dataset.rest in r.label_names for r in fresh)
    assert all((r.repetition[r.label >= 0] > 0).all() for r in fresh)

    cold = load(name)
    assert same(cold, fresh)

    def never(*args: object) -> Iterator[Recording]:
        raise AssertionError("a warm start parses nothing")

    monkeypatch.setattr(type(dataset), "read", never)
    warm = load(name)
    assert same(warm, cold)
    assert all(isinstance(r.signal.base, np.memmap) or isinstance(r.signal.base.base, np.memmap) for r in warm)
    assert not any(r.signal.flags.writeable for r in warm)

    if not any((r.label >= 0).any() for r in warm):
        return  # nothing to tell apart until the user labels it
    windows = Windows.cut(warm, dataset.windowing)
    folds = list(dataset.protocol.folds(windows))
    assert folds
    for fold in folds:
        assert audit(windows, fold.train, fold.test, dataset.protocol.disjoint).passed


@pytest.mark.parametrize("name", MINIATURES)
def test_an_empty_folder_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no"):
        DATASETS.create(name).subjects(tmp_path)
    (finding,) = DATASETS.create(name).check(tmp_path)
    assert finding.level == "error"


@pytest.fixture
def files_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` without the look at the samples, which has tests of its own and takes longer than all the rest."""
    monkeypatch.setattr("myograph.datasets.checks.inspect", lambda recording: [])


@pytest.mark.parametrize("name", MINIATURES)
def test_check_finds_nothing_broken_in_a_miniature(name: str, home: Path, files_only: None) -> None:
    findings = DATASETS.create(name).check(miniature(name, home))
    assert [f for f in findings if f.level == "error"] == []


LOOKS_WHOLE_WHEN_CUT = {
    "delsys_csv": "an EMGworks export announces more points than it holds and leaves cells of slow signals blank",
    "trigno_maize": "as delsys_csv",
}


@pytest.mark.parametrize("name", [n for n in MINIATURES if n not in LOOKS_WHOLE_WHEN_CUT])
def test_a_truncated_file_is_named_by_read_and_check(name: str, home: Path, tmp_path: Path, files_only: None) -> None:
    folder = tmp_path / name
    shutil.copytree(miniature(name, home), folder)
    dataset = DATASETS.create(name)
    subject = dataset.subjects(folder)[0]
    victim = max((p for p in dataset.sources(folder, subject)), key=lambda p: p.stat().st_size)
    whole = victim.read_bytes()
    half = len(whole) // 2 - 1
    # Half a text file is still a text file: what can be told is a row cut in two.
    victim.write_bytes(whole[: whole.index(b",", half) + 1] if victim.suffix in (".csv", ".txt") else whole[:half])
    with pytest.raises(DataError, match=victim.name):
        list(dataset.read(folder, [subject]))
    assert any(f.level == "error" and victim.name in f"{f.where} {f.what}" for f in dataset.check(folder))


def test_nothing_there_says_where_it_looked_and_what_to_do(own: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("3dc")
    for part in (str(own / "3dc"), "3dc.zip", "myograph datasets fetch 3dc", "MYOGRAPH_DATA"):
        assert part in str(caught.value)
    assert not is_here("3dc")


def test_misspelt_names_get_the_nearest(own: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ninapro_db"):
        load("ninapro_bd5")
    with pytest.raises(UnknownNameError, match=r"option of data set 'myoarmband'.*Did you mean 'part'"):
        load("myoarmband", prat="all")
    with pytest.raises(ConfigError, match="'evaluation', 'pretraining' or 'all', got 'everyone'"):
        load("myoarmband", part="everyone")
    miniature("myoarmband", own)
    with pytest.raises(UnknownNameError, match=r"subject of myoarmband named 'Femal0'.*Did you mean 'Female0'"):
        load("myoarmband", subjects=["Femal0"])


def test_subjects_by_name_number_and_range() -> None:
    known = [str(i) for i in range(1, 12)]
    assert choose_subjects(known, None) == known
    assert choose_subjects(known, "9-11,2") == ["9", "10", "11", "2"]
    assert choose_subjects(known, [3, "1", 3]) == ["3", "1"]
    assert choose_subjects(["a-1", "b,c"], "b,c") == ["b,c"]
    with pytest.raises(UnknownNameError, match="no subject named '12'"):
        choose_subjects(known, "10-12")
    with pytest.raises(ConfigError, match="no subject was chosen"):
        choose_subjects(known, [])


def test_archives_beside_or_in_the_folder_are_unpacked_into_the_cache(own: Path, tmp_path: Path) -> None:
    loose = miniature("3dc", tmp_path / "elsewhere")
    direct = list(ThreeDC().read(loose))
    own.mkdir()
    packed = Path(shutil.make_archive(str(own / "3dc"), "zip", loose))
    assert same(load("3dc"), direct)
    assert [p.name for p in own.iterdir()] == ["3dc.zip"]
    (own / "3dc").mkdir()
    packed.rename(own / "3dc" / "downloaded.zip")
    assert is_here("3dc")
    assert same(load("3dc"), direct)
    assert locate("3dc").is_relative_to(tmp_path / "cache")


def test_an_archive_cut_short_is_an_error_with_advice(own: Path) -> None:
    own.mkdir()
    with zipfile.ZipFile(own / "3dc.zip", "w") as packed:
        packed.writestr("Participant1/train/EMG/3dc_EMG_gesture_0_0.txt", "1,2\n" * 5000)
    raw = (own / "3dc.zip").read_bytes()
    (own / "3dc.zip").write_bytes(raw[:-30])
    with pytest.raises(DataError, match=r"3dc\.zip .*cut short or damaged.*copy or download it again"):
        load("3dc")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Subjects that were parsed, in order."""
    parsed: list[str] = []
    read = ThreeDC.read

    def spy(self: ThreeDC, folder: Path, subjects: list[str]) -> Iterator[Recording]:
        parsed.extend(subjects)
        return read(self, folder, subjects)

    monkeypatch.setattr(ThreeDC, "read", spy)
    return parsed


def copies(cache: Path) -> list[Path]:
    return sorted(p.parent for p in cache.rglob("index.json"))


def test_only_subjects_that_are_new_or_changed_are_parsed(own: Path, tmp_path: Path, reads, monkeypatch) -> None:
    folder = miniature("3dc", own)
    load("3dc", subjects=["1"])
    load("3dc")
    assert reads == ["1", "2"]
    file = next(folder.rglob("Participant2/test/EMG/3dc_EMG_gesture_0_0.txt"))
    file.write_text(file.read_text() + "1,2,3,4,5,6,7,8,9,10\n")
    after = load("3dc")
    assert reads == ["1", "2", "2"]
    assert after[3].signal[:, 400].tolist() == list(range(1, 11))
    monkeypatch.setattr(ThreeDC, "version", ThreeDC.version + 1)
    load("3dc", subjects=1)
    assert reads == ["1", "2", "2", "1"]
    assert len(copies(tmp_path / "cache")) == 2, "copies of what the files were before are removed"


def test_options_have_copies_of_their_own(own: Path) -> None:
    miniature("myoarmband", own)
    assert {r.subject for r in load("myoarmband")} == {"Female0", "Male0"}
    assert {r.subject for r in load(MyoArmband(), part="pretraining")} == {"pretraining Female0"}
    assert len({r.subject for r in load("myoarmband", part="all")}) == 3


def test_an_option_that_changes_a_subject_changes_what_is_kept(own: Path) -> None:
    folder = miniature("ninapro_db5", own)
    for track in ("restimulus", "stimulus", "restimulus"):
        direct = list(DATASETS.create("ninapro_db5", label_track=track).read(folder, ["1"]))
        assert same(load("ninapro_db5", subjects=1, label_track=track), direct)


def test_each_file_lands_at_its_gesture_and_repetition(own: Path) -> None:
    raw = np.fromfile(next(miniature("myoarmband", own).rglob("EvaluationDataset/Male0/Test1/classe_16.dat")), "<i2")
    r = next(r for r in load("myoarmband") if (r.subject, r.session) == ("Male0", "Test1"))
    here = (r.label == 2) & (r.repetition == 3)  # 16 = 2 * 7 + 2
    np.testing.assert_array_equal(r.signal[:, here].T.ravel(), raw)
    assert r.label_names[2] == "wrist flexion"
    text = next(miniature("3dc", own).rglob("Participant2/train/EMG/3dc_EMG_gesture_1_10.txt")).read_text()
    r = next(r for r in load("3dc") if (r.subject, r.session) == ("2", "train"))
    here = (r.label == 10) & (r.repetition == 2)  # the second of 0, 1, 2, 3
    np.testing.assert_array_equal(r.signal[:, here].T, [[int(v) for v in row.split(",")] for row in text.split()])
    assert r.label_names[10] == "pinch grip"


def test_progress_is_told(own: Path) -> None:
    miniature("3dc", own)
    said: list[tuple[str, int, int]] = []
    load("3dc", progress=lambda *args: said.append(args))
    assert [(done, total) for _, done, total in said] == [(0, 2), (1, 2), (2, 2)]


def cut_signal(copy: Path) -> None:
    file = copy / "0.signal.npy"
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(copy: Path) -> None:
    raw = bytearray((copy / "1.signal.npy").read_bytes())
    raw[-1000] ^= 1
    (copy / "1.signal.npy").write_bytes(raw)


def lose_labels(copy: Path) -> None:
    (copy / "0.tracks.npy").unlink()


def cut_index(copy: Path) -> None:
    (copy / "index.json").write_text((copy / "index.json").read_text()[:-20])


def empty_index(copy: Path) -> None:
    (copy / "index.json").write_text("[]")


def edit_index(**changes):
    """What is well formed still, and would be believed without a checksum."""

    def edit(copy: Path) -> None:
        index = json.loads((copy / "index.json").read_text())
        rows = [{**row, **changes} for row in index["recordings"]]
        (copy / "index.json").write_text(json.dumps({**index, "recordings": rows}))

    return edit


EDITS = [{"colour": "red"}, {"subject": "2"}, {"session": "9"}, {"unit": "normalised"}, {"reach_samples": 3}]


@pytest.mark.parametrize(
    "damage", [cut_signal, flip_a_bit, lose_labels, cut_index, empty_index, *(edit_index(**edit) for edit in EDITS)]
)
def test_a_damaged_copy_is_found_said_and_made_anew(damage, own: Path, tmp_path: Path, reads: list[str]) -> None:
    miniature("3dc", own)
    hashes = [r.content_hash for r in load("3dc")]
    damage(copies(tmp_path / "cache")[0])
    with pytest.warns(RuntimeWarning, match="is damaged.*decoded again"):
        again = load("3dc")
    assert [r.content_hash for r in again] == hashes
    assert len(reads) == 3
    load("3dc")
    assert len(reads) == 3


def test_a_cache_that_cannot_be_written_is_said(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniature("3dc", own)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="set MYOGRAPH_CACHE to a writable folder"):
        load("3dc")


def test_a_full_disk_leaves_no_half_copy(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniature("3dc", own)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(DataError, match=r"No space left.*free some space"):
            load("3dc")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert len(load("3dc")) == 4


def _hashes(data: str, cache: str, gate: multiprocessing.Barrier, out: multiprocessing.Queue) -> None:  # type: ignore[valid-type]
    os.environ |= {"MYOGRAPH_DATA": data, "MYOGRAPH_CACHE": cache}
    gate.wait()
    out.put([r.content_hash for r in load("3dc")])


def test_two_processes_may_load_at_once(own: Path, tmp_path: Path) -> None:
    expected = [r.content_hash for r in ThreeDC().read(miniature("3dc", own))]
    own.mkdir(exist_ok=True)
    shutil.make_archive(str(tmp_path / "packed"), "zip", own / "3dc")
    shutil.rmtree(own / "3dc")
    shutil.move(tmp_path / "packed.zip", own / "3dc.zip")
    # Not forked: libraries that earlier tests have started threads in would hang in the child.
    context = multiprocessing.get_context("spawn")
    gate, out = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_hashes, args=(str(own), str(tmp_path / "cache"), gate, out)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [out.get() for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join()
    left = [p for p in (tmp_path / "cache").rglob(".*") if p.name.startswith((".writing", ".unpacking"))]
    assert left == []


def test_check_reports_each_bad_file_and_goes_on(own: Path) -> None:
    folder = miniature("3dc", own)
    home = folder / "3DCDataset-main" / "Participant1" / "train" / "EMG"
    (home / "3dc_EMG_gesture_0_3.txt").unlink()
    (home / "3dc_EMG_gesture_1_4.txt").write_text("1,2,3,4,5,6,7,8,9,10\n1,2,three,4,5,6,7,8,9,10\n")
    (home / "3dc_EMG_gesture_2_5.txt").write_text("1,2,3,4,5,6,7,8,9,10\n1,2,3,4\n")
    (home / "3dc_EMG_gesture_3_6.txt").write_text("1,2,3\n" * 400)
    (home / "3dc_EMG_gesture_0_7.txt").write_text("1,2,3,4,5,6,7,8,9,10\n" * 50)
    (home / "3dc_EMG_gesture_1_8.txt").write_text("")
    findings = [f for f in ThreeDC().check(folder) if "gesture_" in f.where]
    told = {f.where[-7:-4]: f for f in findings}
    assert {k: f.level for k, f in told.items()} == {
        "0_3": "error", "1_4": "error", "2_5": "error", "3_6": "error", "0_7": "warning", "1_8": "error",
    }  # fmt: skip
    assert "missing" in told["0_3"].what
    assert "three" in told["1_4"].what
    assert "NaN" in told["2_5"].what
    assert "3 channels" in told["3_6"].what
    assert "50 samples" in told["0_7"].what
    assert all(f.advice for f in findings)
    with pytest.raises(DataError, match=r"gesture_0_3\.txt: this file is missing; copy or download it again"):
        load("3dc")
    assert len(load("3dc", subjects=["2"])) == 2


def test_check_looks_at_the_samples_too(own: Path) -> None:
    folder = miniature("3dc", own)
    for file in folder.rglob("Participant2/test/EMG/*.txt"):
        rows = np.loadtxt(file, delimiter=",", dtype=int)
        rows[:, 3] = 7
        np.savetxt(file, rows, fmt="%d", delimiter=",")
    dead = [f for f in ThreeDC().check(folder) if "channel 3" in f.where]
    assert dead
    assert all("subject 2, session test" in f.where for f in dead)


def test_check_reports_missing_repetitions(own: Path) -> None:
    folder = miniature("myoarmband", own)
    next(folder.rglob("EvaluationDataset/Male0/Test0/classe_9.dat")).unlink()
    findings = MyoArmband().check(folder)
    lacking = [f for f in findings if "has no repetition" in f.what]
    assert [(f.where, f.what.split(",")[0]) for f in lacking] == [
        ("myoarmband, subject Male0, session Test0", "'wrist flexion' has no repetition 2")
    ]


def test_check_names_missing_sessions(own: Path, files_only: None) -> None:
    folder = miniature("electrode_shift", own)
    shutil.rmtree(next(folder.rglob("subject1/trial_3")))
    findings = [f for f in DATASETS.create("electrode_shift").check(folder) if "session" in f.what]
    assert [(f.level, f.where, f.what) for f in findings] == [
        ("warning", "electrode_shift, subject 1", "no recording of session trial_3")
    ]
    dataset = DATASETS.create("unibo_inail", postures=(1, 2))
    told = [f.what for f in dataset.check(miniature("unibo_inail", own)) if "session" in f.what]
    missing = [f"day{d} posture{p}" for d in range(1, 9) for p in (1, 2) if not (d < 3 and p == 1)]
    assert told == [f"no recording of session {', '.join(missing)}"]  # of both people: one finding with two places


def test_a_repetition_that_few_labels_have_is_one_note_about_them() -> None:
    label, repetition = np.repeat([0, 1, 2, 0], 10), np.repeat([1, 1, 1, 2], 10)
    recording = Recording(np.zeros((1, 40)), 100.0, label, "1", repetition, label_names=("a", "b", "c"))
    (found,) = repetitions(repeated(recording), "here")
    assert (found.level, found.where, found.what) == ("note", "here", "only 'a' of 3 labels has a repetition 2")


def test_repetitions_are_compared_over_all_recordings_of_a_session(own: Path, files_only: None) -> None:
    """CSL-HDEMG has a recording a gesture: none alone lacks anything."""
    folder = miniature("csl_hdemg", own)
    path = next(folder.rglob("subject2/session1/gest2.mat"))
    savemat(path, {"gestures": loadmat(path)["gestures"][:8]})
    findings = [f for f in DATASETS.create("csl_hdemg").check(folder) if "repetition" in f.what]
    rare = "only 'idle' of 3 labels has a repetition 11, 12, 13,"
    places = [f"csl_hdemg, subject {s}, session {k}" for s in (1, 2) for k in (1, 2)]
    assert [f.where for f in findings if f.what.startswith(rare)] == [f"4 places: {'; '.join(places)}"]
    (other,) = (f for f in findings if not f.what.startswith(rare))
    assert (other.level, other.where) == ("warning", "csl_hdemg, subject 2, session 1")
    assert other.what == "'gesture 2' has no repetition 9, 10, other labels have"


@pytest.mark.real_data
def test_3dc_as_published() -> None:
    recordings = load("3dc", subjects="1-6")
    assert [(r.subject, r.session) for r in recordings] == [(str(p), s) for p in range(1, 7) for s in ("train", "test")]
    for r in recordings:
        assert (r.n_channels, r.rate_hz, r.unit, len(r.label_names)) == (10, 1000.0, "adc", 11)
        pairs = set(zip(r.label.tolist(), r.repetition.tolist()))
        assert pairs == {(g, k) for g in range(11) for k in range(1, 5)}
    folder = locate("3dc")
    file = next(folder.rglob("Participant3/test/EMG/3dc_EMG_gesture_2_7.txt"))
    rows = [[int(v) for v in line.split(",")] for line in file.read_text().split()]
    r = recordings[5]
    where = np.flatnonzero((r.label == 7) & (r.repetition == 3))
    np.testing.assert_array_equal(r.signal[:, where].T, rows)
    assert r.label_names[7] == "power grip"


@pytest.mark.real_data
def test_myoarmband_as_published() -> None:
    recordings = load("myoarmband")
    assert len({r.subject for r in recordings}) == 8
    assert list(dict.fromkeys(r.session for r in recordings)) == ["training0", "Test0", "Test1"]
    for r in recordings:
        assert (r.n_channels, r.rate_hz, r.unit) == (8, 200.0, "adc")
        assert r.signal.min() >= -128
        assert r.signal.max() <= 127
        assert set(zip(r.label.tolist(), r.repetition.tolist())) == {(g, k) for g in range(7) for k in range(1, 5)}
    assert len({r.subject for r in load("myoarmband", part="pretraining")}) == 14
    raw = np.fromfile(next(locate("myoarmband").rglob("EvaluationDataset/Male3/Test1/classe_16.dat")), "<i2")
    r = next(r for r in recordings if (r.subject, r.session) == ("Male3", "Test1"))
    where = (r.label == 16 % 7) & (r.repetition == 3)
    np.testing.assert_array_equal(r.signal[:, where].T.ravel(), raw)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ninapro_db1"])
def test_the_real_archives_have_no_errors(name: str) -> None:
    findings = DATASETS.create(name).check(locate(name))
    assert [f for f in findings if f.level == "error"] == []

"""BIDS-EMG folders: a miniature against what was written, and the official examples where they are at hand."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from myograph.datasets.bids import Bids
from myograph.errors import DataError
from myograph.recording import Layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Bids().write_miniature(tmp_path, np.random.default_rng(0))
    return tmp_path


def test_events_are_labels_and_repetitions(folder: Path) -> None:
    dataset = Bids(path=str(folder))
    assert dataset.subjects(folder) == ["01", "02"]
    (recording,) = dataset.read(folder, ["02"])
    assert (recording.rate_hz, recording.unit, recording.session) == (200.0, "uV", "1")
    assert recording.label_names == ("fist", "point", "rest")
    names = [recording.label_names[i] for i in recording.label[100::200]]
    assert names == ["rest", "fist", "rest", "point"] * 3
    assert recording.repetition[100::200].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    expected = np.random.default_rng(0).normal(size=(4, 2400))  # of the first person, whose fist lies in channels 1, 2
    (first,) = dataset.read(folder, ["01"])
    fist = first.label == 0
    np.testing.assert_allclose(first.signal[0, fist], 1000 * 0.055 * expected[0, fist], atol=0.062)  # 16 bits over 4 mV


def test_side_files_may_stand_above_and_other_channels_are_left_out(folder: Path) -> None:
    for side in ("channels.tsv", "events.tsv"):
        (folder / f"sub-01/emg/sub-01_task-grasp_{side}").rename(folder / f"task-grasp_{side}")
        (folder / f"sub-02/emg/sub-02_task-grasp_{side}").unlink()
    text = (folder / "task-grasp_channels.tsv").read_text().replace("EMG2\tEMG", "EMG2\tACCEL")
    (folder / "task-grasp_channels.tsv").write_text(text)
    recordings = list(Bids(path=str(folder)).read(folder))
    assert [r.n_channels for r in recordings] == [3, 3]
    assert len(set(recordings[1].label.tolist())) == 3
    assert list(Bids(path=str(folder), task="grasp").subjects(folder)) == ["01", "02"]


def test_what_is_wrong_is_said(folder: Path) -> None:
    events = folder / "sub-01/emg/sub-01_task-grasp_events.tsv"
    whole = events.read_text()
    events.write_text(whole.replace("1\t1\tfist\t1", "1\t1\tfist"))
    with pytest.raises(DataError, match="line 3: another number of cells"):
        list(Bids().read(folder))
    events.write_text(whole.replace("1\t1\tfist", "soon\t1\tfist"))
    with pytest.raises(DataError, match=r"events\.tsv: 'soon' in column onset is not a number"):
        list(Bids().read(folder))
    events.unlink()
    assert (next(Bids().read(folder, ["01"])).label == -1).all()
    with pytest.raises(DataError, match="holds no files such as sub-01"):
        list(Bids(task="walk").read(folder))


def test_electrodes_on_a_grid_give_the_layout(folder: Path) -> None:
    table = folder / "sub-01/emg/sub-01_electrodes.tsv"
    table.write_text("name\tx\ty\tcoordinate_system\nA\t0\t0\tg\nB\t8\t0\tg\nC\t8\t16\tg\nD\t0\t8\tg\n")
    (folder / "space-g_coordsystem.json").write_text('{"EMGCoordinateSystem": "Other", "EMGCoordinateUnits": "mm"}')
    rows = "".join(f"EMG{i}\tEMG\tmV\t{e}\n" for i, e in zip(range(1, 5), "CABD"))
    (folder / "sub-01/emg/sub-01_task-grasp_channels.tsv").write_text("name\ttype\tunits\tsignal_electrode\n" + rows)
    recording = next(Bids().read(folder, ["01"]))
    assert recording.layout == Layout((2, 0, 0, 1), (1, 0, 1, 0), spacing_mm=8.0)
    assert next(Bids().read(folder, ["02"])).layout is None
    table.write_text(table.read_text().replace("C\t8\t16", "C\t8\t19"))  # not evenly spaced
    assert next(Bids().read(folder, ["01"])).layout is None
    table.write_text(table.read_text().replace("C\t8\t19", "C\t8\tfar"))
    with pytest.raises(DataError, match=r"electrodes\.tsv: 'far' in column y is not a number"):
        next(Bids().read(folder, ["01"]))


@pytest.mark.real_data
def test_official_examples(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(os.environ["MYOGRAPH_DATA"]) / "bids_emg_examples.zip") as packed:
        packed.extractall(tmp_path)
    for name, n in (("TwoWristbands", 32), ("CustomBipolar", 1), ("TwoHDsEMG", None)):
        root = tmp_path / f"emg_{name}"
        (recording,) = Bids(path=str(root)).read(root)
        assert recording.subject == "01"
        listed = [r for r in next(root.rglob("*channels.tsv")).read_text().splitlines() if "\tEMG\t" in r]
        assert recording.n_channels == len(listed)
        assert n in (None, recording.n_channels)
        # Positions as the text files have them, counted by hand.
        electrodes, systems = Bids().electrodes(next(root.rglob("*_emg.edf")))
        if name == "TwoHDsEMG":
            assert recording.layout is None  # two grids are not one pattern
            assert len(electrodes) == 130  # two grids of 64 and two references
            assert (electrodes[4].position, electrodes[4].space, electrodes[4].group) == (
                (0.0, 32.0, 0.0),
                "grid1",
                "Grid1",
            )
            assert set(systems) == {"forearm", "grid1", "grid2"}
            assert (systems["grid2"].parent, systems["grid2"].anchor) == ("forearm", "E65")
            assert (systems["grid2"].units, systems["grid2"].anchor_position) == ("mm", (10.0, 0.0, 80.0))
            assert systems["forearm"].units == "percent"
        elif name == "TwoWristbands":
            assert electrodes[1].position == (5.0, 30.0, 10.0)
            assert set(systems) == {"rightForearm", "leftForearm"}
        else:
            assert (electrodes, systems) == ([], {})
        assert recording.label_names == ()

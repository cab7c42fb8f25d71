"""BIDS export: read back by our reader, by mne-bids and pyedflib, and judged by the BIDS validator."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyedflib
import pytest

from myograph import Recording
from myograph.cli.app import main
from myograph.datasets import export_bids
from myograph.datasets._formats.edf_writer import record_of, write_edf
from myograph.datasets.base import DATASETS, Dataset
from myograph.datasets.bids import Bids
from myograph.errors import ConfigError
from myograph.recording import Layout

LAYOUTS = (
    Layout.grid(2, 3, spacing_mm=8.5),
    Layout((0, 0, -1, 1, 1, -1), (0, 1, -1, 0, 1, -1), spacing_mm=10.0),  # two channels off the pattern
    Layout.ring(6),
    None,
)


@dataclasses.dataclass(frozen=True)
class Made(Dataset):
    """Recordings with everything that must survive: breaks, unlabelled parts, repetition 0, odd lengths and rates."""

    name = "made"
    title = "Made for this test"
    licence = "CC0"
    citation = "Nobody, 2026"
    homepage = "https://example.org/made"
    needs_files = False

    def subjects(self, folder: Path) -> list[str]:
        return ["1", "anna-b"]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        kinds = (("train", 1000.0, "uV", 5003), ("test 1", 1259.259, "uV", 4999), ("test 1", 200.0, "normalised", 801))
        for subject in self.subjects(folder) if subjects is None else subjects:
            rng = np.random.default_rng(len(subject))
            for i, (session, rate_hz, unit, n) in enumerate((*kinds, ("adc", 2048.0, "adc", 4096))):
                label = np.repeat([-1, 0, 1, 0, 2], -(-n // 5))[:n]
                repetition = np.repeat([0, 0, 1, 0, 2], -(-n // 5))[:n]
                x = rng.normal(size=(6, n)) * {"uV": 300.0, "normalised": 0.2, "adc": 900.0}[unit]
                yield Recording(
                    np.rint(x) if unit == "adc" else x,
                    rate_hz,
                    label,
                    subject=subject,
                    repetition=repetition,
                    session=session,
                    unit=unit,  # type: ignore[arg-type]
                    label_names=("rest", "fist", "2 fingers"),
                    layout=LAYOUTS[i],
                    breaks=(7, n // 2) if i % 2 else (),
                )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    place = tmp_path_factory.mktemp("bids")
    return {bits: export_bids(Made(), place / str(bits), bits=bits) for bits in (16, 24)}


def words(recording: Recording) -> list[str]:
    return [(*recording.label_names, "")[i] for i in recording.label]


@pytest.mark.parametrize("bits", [16, 24])
def test_an_export_reads_back(bits: int, exported: dict[int, Path]) -> None:
    back = list(Bids(path=str(exported[bits])).read(exported[bits]))
    originals = list(Made().read(Path()))
    assert [r.subject for r in back] == ["1"] * 4 + ["annab"] * 4
    assert [r.session for r in back[:4]] == ["train", "test1", "test1", "adc"]  # in their own order
    for a, b in zip(originals, back, strict=True):
        assert (b.rate_hz, b.unit, b.breaks, b.layout) == (a.rate_hz, a.unit, a.breaks, a.layout)
        assert words(b) == words(a)
        np.testing.assert_array_equal(b.repetition, a.repetition)
        step = 2 * np.abs(a.signal).max(axis=1, keepdims=True) / 2**bits
        if a.unit == "adc":
            np.testing.assert_array_equal(b.signal, a.signal)
        else:
            # Half a step, the header's rounding of the range, and float32.
            assert (np.abs(b.signal - a.signal) <= 0.52 * step + 2e-7 * np.abs(a.signal)).all()


@pytest.mark.parametrize("bits", [16, 24])
def test_the_official_validator_finds_no_error(bits: int, exported: dict[int, Path]) -> None:
    pytest.importorskip("bids_validator_deno", reason="bids-validator-deno is not installed")
    program = shutil.which("bids-validator-deno", path=sysconfig.get_path("scripts"))
    if program is None:
        pytest.skip("the program bids-validator-deno is not beside this Python")
    done = subprocess.run([program, "--json", str(exported[bits])], capture_output=True, text=True, check=False)
    if not done.stdout.strip().startswith("{"):
        pytest.skip(f"bids-validator-deno does not run here: {done.stderr[-200:]}")
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []
    # What is recommended and not known is the only thing it remarks on.
    remarks = {i["code"] for i in issues}
    recommended = {"TOO_FEW_AUTHORS", "NO_AUTHORS", "JSON_KEY_RECOMMENDED", "SIDECAR_KEY_RECOMMENDED"}
    # Two runs of one session have different electrodes here, which is rare.
    assert remarks <= recommended | {"EXCESSIVE_ELECTRODE_SPECIFICITY"}
    # It does find errors where there are some.
    broken = exported[bits].with_name(f"broken-{bits}")
    shutil.copytree(exported[bits], broken)
    for table in broken.rglob("*_channels.tsv"):
        table.write_text(table.read_text().replace("units", "unit"))
    done = subprocess.run([program, "--json", str(broken)], capture_output=True, text=True, check=False)
    assert any(i["severity"] == "error" for i in json.loads(done.stdout)["issues"]["issues"])


def test_mne_bids_reads_it(exported: dict[int, Path]) -> None:
    mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")
    place = mne_bids.BIDSPath(
        subject="1", session="train", task="made", datatype="emg", suffix="emg", root=exported[24], extension=".bdf"
    )
    raw = mne_bids.read_raw_bids(place, verbose="ERROR")
    original = next(Made().read(Path()))
    assert raw.info["sfreq"] == original.rate_hz
    assert raw.get_channel_types() == ["emg"] * 6
    np.testing.assert_allclose(raw.get_data() * 1e6, original.signal, atol=3e-4)
    marks = [(a["onset"], a["duration"], a["description"]) for a in raw.annotations]
    assert marks[0] == pytest.approx((1.001, 1.001, "rest"), abs=1e-6)
    assert [m[2] for m in marks] == ["rest", "fist", "rest", "2 fingers"]


def test_pyedflib_reads_rates_lengths_and_whole_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for bits, ending in ((16, "edf"), (24, "bdf")):
        whole = rng.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), size=(2, 5003))
        assert write_edf(tmp_path / f"a.{ending}", whole, 500.0, ["a", "b"], "adc", bits) == 1
        with pyedflib.EdfReader(str(tmp_path / f"a.{ending}")) as file:
            assert file.getNSamples().tolist() == [5004, 5004]  # a prime number of samples, and more than 10 s
            assert file.getSampleFrequency(0) == pytest.approx(500.0, rel=1e-12)
            np.testing.assert_array_equal(file.readSignal(1, digital=True)[:5003], whole[1])
    assert record_of(3400, 34 / 0.027)[1] == "2.7"


def test_what_a_writer_appended_is_cut_off(exported: dict[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "bids"
    shutil.copytree(exported[16], folder)
    path = folder / "sub-1/ses-train/emg/sub-1_ses-train_task-made_emg.edf"
    (original,) = (r for r in Bids().read(folder, ["1"]) if r.session == "train")
    padded = np.c_[original.signal, np.zeros((6, 997), np.float32)]
    write_edf(path, padded, 1000.0, [f"EMG{i}" for i in range(1, 7)], "uV", 16)
    assert next(Bids().read(folder, ["1"])).n_samples == 5003
    padded[0, -1] = 1.0  # samples, not padding
    write_edf(path, padded, 1000.0, [f"EMG{i}" for i in range(1, 7)], "uV", 16)
    assert next(Bids().read(folder, ["1"])).n_samples == 6000


def test_unknown_units_and_other_rates_in_side_files(exported: dict[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "bids"
    shutil.copytree(exported[16], folder)
    stem = folder / "sub-1/ses-train/emg/sub-1_ses-train_task-made"
    path = Path(f"{stem}_emg.edf")
    path.write_bytes(path.read_bytes().replace(b"uV      ", b"        "))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("myograph.datasets.checks.inspect", lambda recording: [])
        table = Path(f"{stem}_channels.tsv")
        before = next(Bids().read(exported[16], ["1"]))
        assert np.allclose(next(Bids().read(folder, ["1"])).signal, before.signal)  # channels.tsv says uV
        table.write_text(table.read_text().replace("\tuV", "\tmV"))
        assert np.allclose(next(Bids().read(folder, ["1"])).signal, 1000 * before.signal)
        table.write_text(table.read_text().replace("\tmV", "\tn/a"))
        with pytest.raises(ConfigError, match="the unit of 'EMG1' is ''"):
            next(Bids().read(folder, ["1"]))
        rows = [f"EMG{i}\tEMG\tuV\t{'bad' if i == 2 else 'good'}\tlead off\t900" for i in range(1, 7)]
        head = "name\ttype\tunits\tstatus\tstatus_description\tsampling_frequency"
        table.write_text("\n".join([head, *rows]) + "\n")
        found = " ".join(map(str, Bids().check(folder)))
    assert "channels marked as bad: EMG2 (lead off)" in found
    assert "state 900 Hz, but the signals have 1000 Hz" in found


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="already exists"):
        export_bids(Made(), tmp_path)
    with pytest.raises(ConfigError, match="bits must be 16"):
        export_bids(Made(), tmp_path / "a", bits=32)
    with pytest.raises(ConfigError, match="letters and digits"):
        export_bids(Made(), tmp_path / "a", task="two words")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    DATASETS.create("folder").write_miniature(tmp_path / "data", np.random.default_rng(0))
    toml, out = str(tmp_path / "data" / "dataset.toml"), tmp_path / "[bids]"
    monkeypatch.setattr(sys, "argv", ["myograph", "bids", "export", toml, str(out), "--subjects", "anna", "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert "sub-anna/ses-day1/emg/sub-anna_ses-day1_task-folder_emg.bdf" in files
    assert Bids(path=str(out)).subjects(out) == ["anna"]

"""Damaged files of every reader: cut, flipped, swapped, emptied, renamed and exchanged, drawn by a seed.

Each gives a MyographError or a reading of valid recordings; another library's exception fails the test, and a hang is
ended by the test timeout. What was read is not compared with the original: a flipped bit in a sample is a sample.
"""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyedflib
import pytest
import wfdb
from scipy.io import savemat

from myograph.datasets._formats.edf_writer import write_edf
from myograph.datasets._formats.presets import PRESETS
from myograph.datasets._formats.tables import _READERS
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, Dataset
from myograph.datasets.bids import Bids
from myograph.datasets.folder import Folder
from myograph.errors import MyographError
from myograph.recording import Recording
from test_datasets import MINIATURES
from test_otb import four, plus
from test_presets import openbci as openbci_log
from test_presets import opensignals, trigno
from test_xdf import write as write_xdf

X = np.random.default_rng(0).normal(size=(300, 3)).round(4)
LABEL = np.repeat([0, 1, 2], 100)
TEXT = "time,a,b,c,g\n" + "".join(f"{i / 100},{','.join(map(str, x))},{g}\n" for i, (x, g) in enumerate(zip(X, LABEL)))


def hdf5(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512 if path.suffix == ".mat" else 0) as file:
        file.create_dataset("emg", data=X.T if path.suffix == ".mat" else X, compression="gzip", fletcher32=True)
        file["lab"] = LABEL[None] if path.suffix == ".mat" else LABEL
    if path.suffix == ".mat":
        with open(path, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def edf(path: Path) -> None:
    write_edf(path, X.T * 100, 100.0, ["a", "b", "c"], "uV", 16 if path.suffix == ".edf" else 24)


def edf_with_annotations(path: Path) -> None:
    with pyedflib.EdfWriter(str(path), 1) as file:
        file.setSignalHeaders([{"label": "a", "dimension": "mV", "sample_frequency": 100, "physical_min": -5, "physical_max": 5, "digital_min": -32768, "digital_max": 32767}])  # fmt: skip
        file.writeSamples([np.ascontiguousarray(X[:, 0])])
        file.writeAnnotation(1.0, 1.0, "fist")


def record(path: Path) -> None:
    wfdb.wrsamp(path.stem, 100, ["mV"] * 3, ["a", "b", "c"], X, fmt=["16"] * 3, write_dir=str(path.parent))
    wfdb.wrann(path.stem, "atr", np.array([10, 100]), ["+", "+"], aux_note=["fist", "rest"], write_dir=str(path.parent))


COUNTS = np.round(X[:, np.arange(8) % 3] * 30).astype(int)
MYO = "emg1,emg2,emg3,emg4,emg5,emg6,emg7,emg8,label\n" + "".join(
    f"{','.join(map(str, x))},{g}\n" for x, g in zip(COUNTS, LABEL)
)
VARIABLES = 'rate_hz = 100\nunit = "mV"\nsignal = "emg"\nlabel = "lab"\n'
COLUMNS = 'rate_hz = 100\nunit = "mV"\nchannels = ["a", "b", "c"]\nlabel = "g"\n'
NOTED = 'label = "annotations"\n'
FORMATS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "csv": (".csv", COLUMNS, lambda p: p.write_text(TEXT)),
    "csv, UTF-16": (".csv", COLUMNS, lambda p: p.write_text(TEXT, encoding="utf-16")),
    "tsv": (".tsv", COLUMNS, lambda p: p.write_text(TEXT.replace(",", "\t"))),
    "txt": (".txt", COLUMNS, lambda p: p.write_text(TEXT.replace(",", "  "))),
    "npy": (".npy", 'rate_hz = 100\nunit = "mV"\nlabel = false\n', lambda p: np.save(p, X)),
    "npz": (".npz", VARIABLES, lambda p: np.savez_compressed(p, emg=X, lab=LABEL)),
    "mat": (".mat", VARIABLES, lambda p: savemat(p, {"emg": X, "lab": LABEL[:, None]})),
    "mat, compressed": (".mat", VARIABLES, lambda p: savemat(p, {"emg": X, "lab": LABEL}, do_compression=True)),
    "mat, 7.3": (".mat", VARIABLES, hdf5),
    "h5": (".h5", VARIABLES, hdf5),
    "edf": (".edf", NOTED, edf_with_annotations),
    "bdf": (".bdf", "label = false\n", edf),
    "wfdb": (".hea", NOTED, record),
    "xdf": (".xdf", NOTED, lambda p: write_xdf(p)),
    "otb+": (".otb+", NOTED, lambda p: plus(p)),
    "otb4": (".otb4", "label = false\n", lambda p: four(p)),
    "trigno_discover": (".csv", 'preset = "trigno_discover"\n' + NOTED, lambda p: p.write_text(trigno(n=120))),
    "opensignals": (".txt", 'preset = "opensignals"\nlabel = "O1"\n', lambda p: p.write_text(opensignals()[0])),
    "openbci": (".txt", 'preset = "openbci"\nlabel = false\n', lambda p: p.write_text(openbci_log()[0])),
    "myo": (".csv", 'preset = "myo"\nlabel = "label"\n', lambda p: p.write_text(MYO)),
}


SAME_FORMAT = {".hdf5": ".h5"}  # a second ending of a format that has a miniature


def test_every_ending_and_preset_of_users_files_is_damaged() -> None:
    covered = {ending for ending, _, _ in FORMATS.values()}
    missing = [ending for ending in _READERS if SAME_FORMAT.get(ending, ending) not in covered]
    assert not missing, f"add a miniature to FORMATS for {', '.join(missing)}"
    assert set(PRESETS) <= set(FORMATS), f"add a miniature to FORMATS for {set(PRESETS) - set(FORMATS)}"
    assert all(_READERS[ending] is _READERS[other] for ending, other in SAME_FORMAT.items())


def miniature(name: str, folder: Path) -> Dataset:
    """A small data set of one format, or of one registered reader."""
    if name in FORMATS:
        ending, description, write = FORMATS[name]
        folder.mkdir()
        for subject in ("a", "b"):
            write(folder / f"{subject}{ending}")
        (folder / "dataset.toml").write_text(f'files = "{{subject}}{ending}"\n{description}')
        return Folder(path=str(folder))
    dataset = DATASETS.create(name)
    dataset.write_miniature(folder, np.random.default_rng(0))
    return dataset


@dataclass(frozen=True)
class Damage:
    """What is done to one file, or to two."""

    what: str
    path: Path
    other: Path | None = None
    content: bytes = b""

    def applied(self) -> None:
        if self.what.startswith("renamed"):
            self.path.rename(self.other)  # type: ignore[arg-type]
        elif self.what == "exchanged":
            mine, other = self.path.read_bytes(), self.other.read_bytes()  # type: ignore[union-attr]
            self.path.write_bytes(other)
            self.other.write_bytes(mine)  # type: ignore[union-attr]
        elif self.what == "removed":
            self.path.unlink()
        else:
            self.path.write_bytes(self.content)


def damages(files: list[Path], rng: np.random.Generator) -> Iterator[Damage]:
    """Without end: one damage after another, of each kind in turn."""
    ways = ("cut", "cut in the header", "flipped", "flipped in the header", "swapped", "zeroed", "emptied", "exchanged", "doubled", "renamed", "renamed to another ending", "removed")  # fmt: skip
    for way in itertools.cycle(ways):
        path = files[int(rng.integers(len(files)))]
        raw = path.read_bytes()
        n = len(raw)
        if n < 40:
            continue
        at = int(rng.integers(min(n, 400) if "header" in way else n))
        bit = bytes([raw[at] ^ (1 << int(rng.integers(8)))])
        size = int(rng.integers(4, max(5, n // 8)))
        first, second = sorted(rng.integers(0, n - size, 2).tolist())
        content = {
            "cut": raw[:at],
            "cut in the header": raw[:at],
            "flipped": raw[:at] + bit + raw[at + 1 :],
            "flipped in the header": raw[:at] + bit + raw[at + 1 :],
            "swapped": raw[:first] + raw[second : second + size] + raw[first + size : second] + raw[first : first + size] + raw[second + size :],
            "zeroed": raw[:first] + bytes(size) + raw[first + size :],
            "doubled": raw + raw[at:],
        }.get(way, b"")  # fmt: skip
        other = files[int(rng.integers(len(files)))]
        if way == "renamed":
            other = path.with_name(f"{path.stem}x{path.suffix}")
        elif way == "renamed to another ending":
            endings = sorted({p.suffix for p in files} | {".csv", ".mat", ".edf", ".npy"})
            other = path.with_suffix(endings[int(rng.integers(len(endings)))])
        if other != path or way in ("removed", *({} if content else ("emptied",))) or content:
            yield Damage(way, path, other if other != path else None, content)


def survives(dataset: Dataset, folder: Path) -> str:
    """Read everything, and return the result in one word. Anything but a MyographError passes through."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for subject in dataset.subjects(folder):
                for recording in dataset.read(folder, [subject]):
                    assert isinstance(recording, Recording)
                    assert np.isfinite(recording.signal).all()
                    assert recording.n_samples == len(recording.label)
    except MyographError:
        return "refused"
    return "read"


def run(name: str, tmp_path: Path, n: int, seed: int) -> dict[str, int]:
    folder = tmp_path / "data"
    dataset = miniature(name, folder)
    assert survives(dataset, folder) == "read"
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    outcomes = {"refused": 0, "read": 0}
    for damage in itertools.islice(damages(files, np.random.default_rng(seed)), n):
        kept = [(p, p.read_bytes()) for p in (damage.path, damage.other) if p is not None and p.is_file()]
        try:
            damage.applied()
            outcomes[survives(dataset, folder)] += 1
        except Exception as error:
            pytest.fail(f"{name}, {damage.what}, {damage.path.name}: {type(error).__name__}: {error}")
        finally:
            for path in (damage.path, damage.other):
                if path is not None:
                    path.unlink(missing_ok=True)
            for path, raw in kept:
                path.write_bytes(raw)
    assert survives(dataset, folder) == "read"  # everything was put back
    return outcomes


EVERY = [*FORMATS, *(n for n in MINIATURES if n not in FORMATS)]
QUICK = [n for n in EVERY if n in FORMATS]


@pytest.mark.parametrize("name", QUICK)
def test_damaged_files_of_every_format(name: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    outcomes = run(name, tmp_path, 14, seed=1)
    assert outcomes["refused"] > 0
    assert capfd.readouterr() == ("", "")  # other libraries' messages would spoil what --json prints


def test_digits_that_are_not_decimal_are_text() -> None:
    assert natural("r²") == [(1, "r²")]


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*EVERY, "bids"])
def test_many_damaged_files_of_every_reader(name: str, tmp_path: Path) -> None:
    outcomes = run(name, tmp_path, 240 if name in FORMATS else 40, seed=2)
    assert outcomes["refused"] > 3


def test_damaged_bids_folders(tmp_path: Path) -> None:
    assert run("bids", tmp_path, 20, seed=3)["refused"] > 3
    assert isinstance(DATASETS.create("bids"), Bids)


def test_the_damage_is_as_named(tmp_path: Path) -> None:
    """The harness itself: each kind occurs and changes what lies on the disk."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(bytes(range(200)) + name.encode())
    files = sorted(tmp_path.iterdir())
    seen = set()
    for damage in itertools.islice(damages(files, np.random.default_rng(0)), 60):
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        damage.applied()
        after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        if before != after:
            seen.add(damage.what)
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        for name, raw in before.items():
            (tmp_path / name).write_bytes(raw)
    assert seen >= {"cut", "cut in the header", "flipped", "flipped in the header", "swapped", "zeroed", "exchanged", "doubled", "renamed", "renamed to another ending", "removed", "emptied"}  # fmt: skip

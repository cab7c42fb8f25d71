"""The location of a data set's files, and their decoded copy: one .npy file per signal, opened memory-mapped."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myograph._common.files import remove_temporary, written_beside
from myograph._common.progress import Progress
from myograph.datasets._archives import A_DAY_S, ARCHIVES, unpack_once
from myograph.errors import DataError
from myograph.recording import Layout, Recording

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset

LAYOUT_VERSION = 3
INDEX = "index.json"
ATTEMPTS = 3


def source(dataset: Dataset, data: Path) -> Path | list[Path] | None:
    """Return where a data set's files are: the folder <data>/<name>, or archives in it or at <data>/<name>.zip."""
    folder = data / dataset.name
    if folder.is_dir():
        entries = [
            p for p in folder.iterdir() if not p.name.startswith(".") and not p.name.endswith((".part", ".json"))
        ]
        packed = sorted(p for p in entries if p.name.endswith(ARCHIVES) and p.is_file())
        if packed and len(packed) == len(entries):
            return packed
        if entries:
            return folder
    return next(([a] for e in ARCHIVES if (a := data / f"{dataset.name}{e}").is_file()), None)


def find(dataset: Dataset, data: Path, cache: Path) -> Path:
    """Return the folder to read: the data set's own, or its archives unpacked into the cache."""
    found = source(dataset, data)
    if isinstance(found, list):
        return unpack_once(found, cache / "unpacked" / dataset.name)
    if found is not None:
        return found
    how = f"run `myograph datasets fetch {dataset.name}`" if dataset.files else f"get it from {dataset.homepage}"
    raise DataError(
        f"{dataset.name}: there is no folder {data / dataset.name} with files in it and no archive "
        f"{data / dataset.name}.zip; {how}, or set MYOGRAPH_DATA to the folder that holds it"
    )


def decoded(dataset: Dataset, folder: Path, subjects: list[str], cache: Path, progress: Progress) -> list[Recording]:
    """Return the subjects' recordings from the decoded copy; decode first those that it lacks."""
    home = cache / "decoded" / dataset.name / _digest([options_of(dataset), str(folder)])[:16]
    recordings: list[Recording] = []
    for done, subject in enumerate(subjects):
        place = home / f"{_digest(subject)[:16]}-{state_of(dataset, folder, subject, LAYOUT_VERSION)[:16]}"
        found = _open(place)
        for _ in range(ATTEMPTS):
            if found is not None:
                break
            progress(f"reading {dataset.name}, subject {subject}", done, len(subjects))
            _write(place, list(dataset.read(folder, [subject])), f"{dataset.name}, subject {subject}")
            # Another process may also have found the old copy damaged, and removed this new one: then write again.
            found = _open(place)
        if found is None:
            raise DataError(
                f"{dataset.name}, subject {subject}: the files just written to {place} cannot be read; "
                "is the disk failing? Set MYOGRAPH_CACHE to another folder"
            )
        recordings += found
    progress(f"{dataset.name} is ready", len(subjects), len(subjects))
    return recordings


def state_of(dataset: Dataset, folder: Path, subject: str, version: int) -> str:
    """Return a hash that changes when a subject's files, the reader or `version` change."""
    return _digest([version, dataset.version, _fingerprint(dataset, folder, subject)])


def options_of(dataset: Dataset) -> dict[str, str]:
    """Return the options of a data set as text, by name."""
    named = asdict(dataset) if is_dataclass(dataset) else {}  # type: ignore[arg-type]
    return {k: repr(v) for k, v in sorted(named.items())}


def _fingerprint(dataset: Dataset, folder: Path, subject: str) -> list[Any]:
    """Return relative path, size and modification time of each source; the path of unpacked archives contains their
    hash.
    """
    if not dataset.needs_files:
        return []
    stats = [(p, p.stat()) for p in dataset.sources(folder, subject)]
    return [(p.relative_to(folder).as_posix(), s.st_size, s.st_mtime_ns) for p, s in stats]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _write(place: Path, recordings: list[Recording], what: str) -> None:
    """Write a subject to a temporary folder and move it into place; if another process was first, its copy is kept."""
    if not recordings:
        raise DataError(f"{what}: its files hold no recording; run `myograph datasets check` on the data set")
    try:
        remove_temporary(place.parent, older_than_s=A_DAY_S)
        if place.exists() and _open(place) is None:
            shutil.rmtree(place, ignore_errors=True)
        with written_beside(place) as temporary:
            _fill(temporary, recordings)
        for old in place.parent.glob(f"{place.name.split('-')[0]}-*"):
            if old != place:  # a copy of an earlier state of the same subject's files
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if place.exists():  # another process was first
            return
        raise DataError(
            f"{what}: the decoded copy cannot be written to {place.parent}: {error}; free some space there, "
            "or set MYOGRAPH_CACHE to a writable folder"
        ) from error


def _fill(folder: Path, recordings: list[Recording]) -> None:
    folder.mkdir()
    rows = []
    for i, recording in enumerate(recordings):
        np.save(folder / f"{i}.signal.npy", recording.signal)
        np.save(folder / f"{i}.tracks.npy", np.stack([recording.label, recording.repetition]))
        plain = {f.name: getattr(recording, f.name) for f in fields(recording)}
        for key in ("signal", "label", "repetition"):
            del plain[key]
        plain["layout"] = None if recording.layout is None else asdict(recording.layout)
        rows.append({**plain, "content_hash": recording.content_hash})
    (folder / INDEX).write_text(json.dumps({"sha256": _digest(rows), "recordings": rows}, indent=1))


def _open(place: Path) -> list[Recording] | None:
    """Return the recordings kept in `place`; None if there are none, or if they are damaged (then with a warning).

    Only numbers, text and arrays of numbers are read.
    """
    if not place.is_dir():
        return None
    try:
        index = json.loads((place / INDEX).read_text())
        rows = index["recordings"]
        if index["sha256"] != _digest(rows):
            raise ValueError(f"the hash of {INDEX} is not the one written with it")
        recordings = [_restore(place, i, row) for i, row in enumerate(rows)]
        if not recordings:
            raise ValueError("it holds no recording")
        return recordings
    except Exception as error:  # any error of JSON, NumPy or Recording on a damaged index or array
        warnings.warn(
            f"the decoded copy in {place} is damaged ({error}); it is decoded again from the data set's files",
            RuntimeWarning,
            stacklevel=4,
        )
        return None


def _restore(place: Path, i: int, row: dict[str, Any]) -> Recording:
    expected = row.pop("content_hash")
    signal = np.load(place / f"{i}.signal.npy", mmap_mode="r", allow_pickle=False)
    label, repetition = np.load(place / f"{i}.tracks.npy", mmap_mode="r", allow_pickle=False)
    layout = row.pop("layout")
    if layout is not None:
        facts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in layout.items()}
        layout = Layout(**facts)
    row = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    recording = Recording(signal=signal, label=label, repetition=repetition, layout=layout, **row)
    if recording.content_hash != expected:
        raise ValueError(f"the hash of {i}.signal.npy and {i}.tracks.npy is not the one written with them")
    return recording

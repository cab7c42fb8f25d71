"""Your own recordings: a folder of files, and a short `dataset.toml` that describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from myograph.datasets._formats import clock
from myograph.datasets._formats.description import FACTS, Description, describe, word
from myograph.datasets._formats.tables import ENDINGS, Table, channels, read_table
from myograph.datasets._labels import codes, counted, numbered
from myograph.datasets._names import aside, natural
from myograph.datasets.base import DATASETS, Dataset, as_finding
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError, MyographError, unknown_name
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording, Unit, run_starts

REST = "rest"


@dataclass(frozen=True)
class _Piece:
    """A stretch of one file that belongs to one subject and session."""

    path: Path
    subject: str
    session: str
    signal: np.ndarray
    label: np.ndarray
    repetition: np.ndarray | None
    breaks: tuple[int, ...]
    rate_hz: float


@dataclass(frozen=True)
class _Read:
    """One file: its pieces, and what is unusual about it."""

    pieces: list[_Piece]
    findings: list[Finding]


@DATASETS.register
@dataclass(frozen=True)
class Folder(Dataset):
    """Read CSV, TSV, text, NumPy, MATLAB, HDF5, EDF, BDF, WFDB and XDF files according to a description.

    docs/your-own-data.md lists the keys of the description. If the file names give the label, the files are trials: the
    trials of one session become one Recording, with a break between two files. A file that contains its labels is a
    separate Recording. Labels have the same numbers in all files. Without repetition numbers, the n-th contiguous run
    of a label in a session is its repetition n (the end of a file ends a run). A sample with a blank label is
    unlabelled. The label that means rest is called "rest".

    Parameters
    ----------
    path : your folder with its `dataset.toml`, or the path of such a file; None looks for `folder` in the data folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> Folder().write_miniature(folder, np.random.default_rng(0))
    >>> Folder().subjects(folder)
    ['anna', 'ben']
    >>> next(iter(Folder().read(folder)))
    <Recording subject anna, session day1: 4 channels x 10.8 s @ 200 Hz, uV, 3 labels>
    """

    path: str | None = None

    name = "folder"
    title = "Your own folder of recordings, described by a dataset.toml"
    licence = "your own"
    citation = "your own"
    homepage = "docs/your-own-data.md, which says how to describe your own folder"
    rest = REST
    protocol = KFoldRepetitions()

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, (str, Path)):
            raise ConfigError(f"path must be a folder or a dataset.toml, got {self.path!r}")
        object.__setattr__(self, "path", None if self.path is None else str(self.path))

    def own_folder(self) -> Path | None:
        if self.path is None:
            return None
        path = Path(self.path).expanduser()
        return path.parent if path.suffix == ".toml" else path

    def _toml(self, folder: Path) -> Path:
        given = Path(self.path) if self.path else Path("dataset.toml")
        return Path(folder) / (given.name if given.suffix == ".toml" else "dataset.toml")

    def _files(self, folder: Path, description: Description) -> dict[Path, dict[str, str]]:
        """Return each file and the facts given by its name, in natural order."""
        folder = Path(folder)
        ending = Path(description.files).suffix.lower()
        if ending not in ENDINGS:
            raise ConfigError(
                f"{self._toml(folder)}: files must end in one of {', '.join(ENDINGS)}, got {description.files!r}; "
                "convert "
                "the recordings to one of these"
            )
        found, others = {}, []
        for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: natural(str(p))):
            below = path.relative_to(folder).as_posix()
            match = description.pattern.fullmatch(below)
            if description.ignores(below):
                continue
            if aside(path, folder) or path.name.startswith("."):
                continue  # hidden files, including the resource forks of macOS
            if match:
                found[path] = {k: word(v) for k, v in match.groupdict().items()}
            elif path.suffix.lower() == ending:
                others.append(below)
        if others:
            raise DataError(
                f"{folder}: {len(others)} {ending} files do not match {description.files!r}, e.g. {others[0]!r}; rename "
                f"them, change files, or leave them out: ignore = [{others[0]!r}]"
            )
        if not found:
            raise DataError(f"{folder} holds no file that matches {description.files!r}; change files or the folder")
        return found

    def subjects(self, folder: Path) -> list[str]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        if description.subject is None:
            return sorted({facts.get("subject", "1") for facts in files.values()}, key=natural)
        names = {value for path in files for value in self._values(path, folder)["subject"]}
        return sorted(names, key=natural)

    def sources(self, folder: Path, subject: str) -> list[Path]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        # Labels inside files are numbered over all files, unless the description lists them.
        every = description.subject or (not description.labels and "{label}" not in description.files)
        mine = [p for p, facts in files.items() if every or facts.get("subject", "1") == subject]
        # The samples and annotations of a WFDB header are in other files beside it.
        beside = [q for p in mine if p.suffix == ".hea" for q in p.parent.glob(f"{p.stem}.*") if q != p]
        return [self._toml(folder), *mine, *sorted(beside)]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        known = self._known(folder, files, description)
        for subject in self.subjects(folder) if subjects is None else subjects:
            pieces: list[_Piece] = []
            for path, facts in files.items():
                if description.subject is None and facts.get("subject", "1") != subject:
                    continue
                found = _read(path, facts, known, description).pieces
                pieces += [p for p in found if p.subject == subject]
            if not pieces:
                raise unknown_name("subject of folder", subject, self.subjects(folder))
            yield from _recordings(pieces, _names(known, description), description)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        known = self._known(folder, files, description)
        pieces: list[_Piece] = []
        for path, facts in files.items():
            if description.subject is None and facts.get("subject", "1") != subject:
                continue
            try:
                found = _read(path, facts, known, description)
            except MyographError as error:
                yield as_finding(error, path)
                continue
            mine = [p for p in found.pieces if p.subject == subject]
            pieces += mine
            if mine:
                yield from found.findings
        yield from _recordings(pieces, _names(known, description), description)

    def _values(self, path: Path, folder: Path) -> dict[str, tuple[str, ...]]:
        """Return the subjects and labels in the columns of a file; cached in memory until the file changes."""
        toml = self._toml(folder)
        return _facts_of(path, path.stat().st_mtime_ns, toml, toml.stat().st_mtime_ns)

    def _known(self, folder: Path, files: dict[Path, dict[str, str]], description: Description) -> list[str]:
        """Return all labels in the order of their numbers, which is the same for every file of the folder."""
        if description.labels:
            return list(description.labels)
        found = {facts["label"] for facts in files.values() if "label" in facts}
        if description.label is not None and description.label is not False:
            for path in files:
                try:
                    found |= set(self._values(path, folder)["label"])
                except MyographError:  # raised again when the file itself is read
                    continue
        return sorted(found, key=natural)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (folder / "dataset.toml").write_text(
            'files = "{subject}/{session}/{label}_{repetition}.csv"\nrate_hz = 200\nunit = "mV"\n'
            'channels = ["emg1", "emg2", "emg3", "emg4"]\nrest = "relax"\n'
        )
        for subject in ("anna", "ben"):
            for session in ("day1", "day2"):
                for number, label in enumerate(("relax", "fist", "point")):
                    for repetition in range(1, 7):
                        path = folder / subject / session / f"{label}_{repetition}.csv"
                        path.parent.mkdir(parents=True, exist_ok=True)
                        loud = 0.005 + 0.05 * (np.arange(4) == number) * (number > 0)
                        samples = rng.normal(size=(120, 4)) * loud
                        table = np.c_[np.arange(120) / 200, samples]
                        np.savetxt(
                            path, table, fmt="%.6f", delimiter=",", header="time,emg1,emg2,emg3,emg4", comments=""
                        )


@lru_cache(maxsize=4096)
def _facts_of(path: Path, _changed: int, toml: Path, _described: int) -> dict[str, tuple[str, ...]]:
    """Return the values of the subject and label columns of a file."""
    description = describe(toml)
    table = read_table(path, description)
    found: dict[str, tuple[str, ...]] = {}
    for fact in ("subject", "label"):
        track = _track(fact, table, {}, description, path)
        found[fact] = () if track is None else tuple(v for v in np.unique(track).tolist() if v != "")
    return found


def _read(path: Path, facts: dict[str, str], known: list[str], description: Description) -> _Read:
    """Read one file. facts : facts given by its name. known : all labels, in the order of their numbers."""
    table = read_table(path, description)
    time = _time(table, description, path)
    signal = channels(table, description, path)
    rate_hz = description.rate_hz or table.rate_hz
    if rate_hz is None or (description.unit is None and table.to_uv is None):
        lacking = "rate_hz" if rate_hz is None else "unit"
        raise ConfigError(f"{path.name} does not state its {lacking}; add {lacking} = … to the description")
    notes, gaps = ((), ()) if time is None else clock.compare(time[1], rate_hz, time[0])
    n = signal.shape[1]
    tracks = {fact: _track(fact, table, facts, description, path) for fact in FACTS}
    label = np.full(n, -1, np.int32) if tracks["label"] is None else codes(tracks["label"], known, path)
    rest = known.index(description.rest) if description.rest in known else None
    repetition = None if tracks["repetition"] is None else numbered(tracks["repetition"], label, rest, path)
    one = np.full(n, "1")
    who = one if (given := tracks["subject"]) is None else given
    when = one if (given := tracks["session"]) is None else given
    starts = run_starts(who, when).tolist()
    breaks = sorted({*gaps, *table.breaks})
    pieces = [
        _Piece(
            path,
            str(who[start]),
            str(when[start]),
            signal[:, start:stop],
            label[start:stop],
            None if repetition is None else repetition[start:stop],
            tuple(b - start for b in breaks if start < b < stop),
            float(rate_hz),
        )
        for start, stop in zip(starts, [*starts[1:], n])
    ]
    odd = [Finding("warning", str(path), what, advice) for what, advice in (*table.notes, *notes)]
    return _Read(pieces, odd)


def _time(table: Table, description: Description, path: Path) -> tuple[str, np.ndarray] | None:
    """Return the name and the values of the column with the sample times, if there is one."""
    if description.time is False:
        return None
    if description.time is not None:
        name = table.name_of(description.time, path)
        return name, table.numbers(name, path)
    given = {*(description.channels or ()), *(getattr(description, f) for f in FACTS)}
    for number, (name, values) in enumerate(table.columns.items(), 1):
        if clock.is_time(name) and values.dtype.kind in "iuf" and not {name, number} & given:
            return name, values
    return None


def _track(fact: str, table: Table, facts: dict[str, str], description: Description, path: Path) -> np.ndarray | None:
    """Return (time,) the text of one fact at every sample, or None if the fact is not given."""
    where = getattr(description, fact)
    if fact in facts:
        return np.full(len(table), facts[fact])
    if where is None or where is False:
        return None
    values, inverse = np.unique(_plain(table.column(where, path)), return_inverse=True)
    track = np.array([word(v) for v in values.tolist()])[inverse]
    if fact in ("subject", "session") and (track == "").any():
        raise DataError(
            f"{path}: the {fact} is blank in sample {int(np.argmax(track == '')) + 1} of column {where!r}; fill the cell, or "
            "remove the row"
        )
    return track


def _plain(column: np.ndarray) -> np.ndarray:
    """Return numbers unchanged and everything else as text, so that NumPy can sort it."""
    return column if column.dtype.kind in "iuf" else np.array([word(v) for v in column.tolist()])


def _names(known: list[str], description: Description) -> tuple[str, ...]:
    return tuple(REST if v == description.rest else description.labels.get(v, v) for v in known)


def _recordings(pieces: list[_Piece], names: tuple[str, ...], description: Description) -> Iterator[Recording]:
    """Yield the recordings of one subject, session by session; repetitions are counted if they are not given.

    Trials (one per file) are joined into one Recording with a break between two files.
    """
    for session in dict.fromkeys(p.session for p in pieces):
        mine = [p for p in pieces if p.session == session]
        seen: dict[int, int] = {}
        groups: list[list[tuple[_Piece, np.ndarray]]] = []
        for piece in mine:
            repetition = counted(piece.label, seen) if piece.repetition is None else piece.repetition
            previous = groups[-1][-1][0] if groups else None
            joins = (
                "{label}" in description.files
                and previous is not None
                and previous.signal.shape[0] == piece.signal.shape[0]
                and previous.rate_hz == piece.rate_hz
            )
            groups[-1].append((piece, repetition)) if joins else groups.append([(piece, repetition)])
        for group in groups:
            first = group[0][0]
            where = f", {first.path.name}" if len(groups) > 1 else ""
            yield Recording(
                np.concatenate([p.signal for p, _ in group], axis=1),
                first.rate_hz,
                np.concatenate([p.label for p, _ in group]),
                subject=first.subject,
                repetition=np.concatenate([r for _, r in group]),
                session=session,
                unit=_unit(description),
                label_names=names,
                name=f"subject {first.subject}, session {session}{where}",
                breaks=_breaks([p for p, _ in group]),
            )


def _unit(description: Description) -> Unit:
    return description.unit if description.unit in ("adc", "normalised") else "uV"


def _breaks(pieces: Sequence[_Piece]) -> tuple[int, ...]:
    """Return the breaks of joined pieces: their own breaks, and the first sample of each piece except the first."""
    found: list[int] = []
    start = 0
    for piece in pieces:
        found += ([start] if start else []) + [start + b for b in piece.breaks]
        start += piece.signal.shape[1]
    return tuple(found)

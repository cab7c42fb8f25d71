"""Your own recordings: a folder of files and a `dataset.toml` of a few lines that says what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats.description import FACTS, Description, describe, word
from myograph.datasets._formats.tables import ENDINGS, Table, channels, read_table
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, Dataset, as_finding
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError, MyographError, unknown_name
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording, run_starts

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
    names: tuple[str, ...]
    rate_hz: float


@DATASETS.register
@dataclass(frozen=True)
class Folder(Dataset):
    """Reads CSV, TSV, text, NumPy, MATLAB, HDF5, EDF, BDF and WFDB files as a description says.

    path : your folder with its `dataset.toml`, or the path of such a file; None looks for `folder` in the data folder.

    The keys of the description are in docs/your-own-data.md. Files whose name gives the label are trials: those of one
    session stand one after another in one Recording. A file with labels inside is a Recording. Where nothing gives the
    repetition, the n-th contiguous run of a label in a session (a file ends a run) is its repetition n. A blank label
    is unlabelled. The label that means rest is called "rest".
    """

    path: str | None = None

    name = "folder"
    title = "Your own folder of recordings, described by a dataset.toml"
    licence = "your own"
    citation = "your own"
    homepage = "docs/your-own-data.md, which says how to describe a folder of yours"
    rest = REST
    protocol = KFoldRepetitions()

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, (str, Path)):
            raise ConfigError(f"path is a folder or a dataset.toml, got {self.path!r}")
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
        """Each file and the facts that its name gives, in natural order."""
        folder = Path(folder)
        ending = Path(description.files).suffix.lower()
        if ending not in ENDINGS:
            raise ConfigError(
                f"{self._toml(folder)}: files end in one of {', '.join(ENDINGS)}, got {description.files!r}; convert "
                "the recordings to one of these"
            )
        found, others = {}, []
        for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: natural(str(p))):
            below = path.relative_to(folder).as_posix()
            match = description.pattern.fullmatch(below)
            if description.ignores(below):
                continue
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
        names = {
            word(value)
            for path in files
            for value in np.unique(read_table(path, description).column(description.subject, path).astype(str))
        }
        return sorted(names, key=natural)

    def sources(self, folder: Path, subject: str) -> list[Path]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        mine = [p for p, facts in files.items() if description.subject or facts.get("subject", "1") == subject]
        # A WFDB header's samples and annotations are in files beside it.
        beside = [q for p in mine if p.suffix == ".hea" for q in p.parent.glob(f"{p.stem}.*") if q != p]
        return [self._toml(folder), *mine, *sorted(beside)]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        for subject in self.subjects(folder) if subjects is None else subjects:
            pieces = []
            for path, facts in files.items():
                if description.subject is None and facts.get("subject", "1") != subject:
                    continue
                pieces += [p for p in self._pieces(path, facts, files, description) if p.subject == subject]
            if not pieces:
                raise unknown_name("subject of folder", subject, self.subjects(folder))
            yield from _recordings(pieces, description)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        description = describe(self._toml(folder))
        files = self._files(folder, description)
        pieces = []
        for path, facts in files.items():
            if description.subject is None and facts.get("subject", "1") != subject:
                continue
            try:
                pieces += [p for p in self._pieces(path, facts, files, description) if p.subject == subject]
            except MyographError as error:
                yield as_finding(error, path)
        yield from _recordings(pieces, description)

    def _pieces(
        self, path: Path, facts: dict[str, str], files: dict[Path, dict[str, str]], description: Description
    ) -> list[_Piece]:
        table = read_table(path, description)
        signal = channels(table, description, path)
        rate_hz = description.rate_hz or table.rate_hz
        if rate_hz is None or (description.unit is None and table.to_uv is None):
            lacking = "rate_hz" if rate_hz is None else "unit"
            raise ConfigError(f"{path.name} does not say its {lacking}; add {lacking} = … to the description")
        n = signal.shape[1]
        tracks = {fact: _track(fact, table, facts, description, path, n) for fact in FACTS}
        every = {f["label"] for f in files.values() if "label" in f}
        label, names = _labels(tracks["label"], every, description, path)
        repetition = None if tracks["repetition"] is None else _whole(tracks["repetition"], path)
        who = np.full(n, "1") if tracks["subject"] is None else tracks["subject"]
        when = np.full(n, "1") if tracks["session"] is None else tracks["session"]
        starts = run_starts(who, when)
        return [
            _Piece(
                path,
                str(who[start]),
                str(when[start]),
                signal[:, start:stop],
                label[start:stop],
                None if repetition is None else repetition[start:stop],
                names,
                float(rate_hz),
            )
            for start, stop in zip(starts, [*starts[1:], n])
        ]

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


def _track(
    fact: str, table: Table, facts: dict[str, str], description: Description, path: Path, n: int
) -> np.ndarray | None:
    """(n,) text of one fact at every sample; None where nothing gives it."""
    where = getattr(description, fact)
    if fact in facts:
        return np.full(n, facts[fact])
    if where is None or where is False:
        return None
    values, inverse = np.unique(_plain(table.column(where, path)), return_inverse=True)
    return np.array([word(v) for v in values])[inverse]


def _plain(column: np.ndarray) -> np.ndarray:
    """Numbers as they are, everything else as text: what NumPy can sort."""
    if column.dtype.kind in "iuf":
        return column
    return np.array(["" if v is None or v != v else v.decode() if isinstance(v, bytes) else str(v) for v in column])


def _labels(
    track: np.ndarray | None, every: set[str], description: Description, path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Index of each sample's label, and the names: those of [labels] in its order, else the labels in natural order."""
    if track is None:
        return np.zeros(0, np.int32), ()
    present = [str(v) for v in np.unique(track) if v != ""]
    known = list(description.labels) or sorted(every | set(present), key=natural)
    for value in present:
        if value not in known:
            error = unknown_name("label", value, known)
            raise DataError(f"{path}: {error} Add it to [labels] in the description, or put the file right")
    codes = {value: i for i, value in enumerate(known)}
    values, inverse = np.unique(track, return_inverse=True)
    names = [REST if v == description.rest else description.labels.get(v, v) for v in known]
    return np.array([codes.get(str(v), -1) for v in values], np.int32)[inverse], tuple(names)


def _whole(track: np.ndarray, path: Path) -> np.ndarray:
    values, inverse = np.unique(track, return_inverse=True)
    try:
        return np.array([int(v) if v != "" else 0 for v in values], np.int32)[inverse]
    except ValueError as error:
        raise DataError(
            f"{path}: a repetition is a whole number, got {error.args[0].rsplit(': ', 1)[-1]}; number them"
        ) from error


def _recordings(pieces: list[_Piece], description: Description) -> Iterator[Recording]:
    """Pieces of one subject, session by session, with the repetitions counted where nothing gives them."""
    for session in dict.fromkeys(p.session for p in pieces):
        mine = [p for p in pieces if p.session == session]
        seen: dict[int, int] = {}
        groups: list[list[tuple[_Piece, np.ndarray, np.ndarray]]] = []
        trials = "{label}" in description.files
        for piece in mine:
            label = piece.label if piece.names else np.full(piece.signal.shape[1], -1, np.int32)
            repetition = _count(label, seen) if piece.repetition is None else piece.repetition
            previous = groups[-1][-1] if groups else None
            # A trial joins the ones before it unless a window could then span the two files unnoticed.
            joins = (
                trials
                and previous is not None
                and (previous[1][-1], previous[2][-1]) != (label[0], repetition[0])
                and previous[0].signal.shape[0] == piece.signal.shape[0]
                and previous[0].rate_hz == piece.rate_hz
            )
            groups[-1].append((piece, label, repetition)) if joins else groups.append([(piece, label, repetition)])
        for group in groups:
            first = group[0][0]
            where = f", {first.path.name}" if len(groups) > 1 else ""
            yield Recording(
                np.concatenate([p.signal for p, _, _ in group], axis=1),
                first.rate_hz,
                np.concatenate([label for _, label, _ in group]),
                subject=first.subject,
                repetition=np.concatenate([r for _, _, r in group]),
                session=session,
                unit="uV" if description.unit in (None, "uV", "mV", "V") else description.unit,  # type: ignore[arg-type]
                label_names=first.names,
                name=f"subject {first.subject}, session {session}{where}",
            )


def _count(label: np.ndarray, seen: dict[int, int]) -> np.ndarray:
    repetition = np.zeros(len(label), np.int32)
    starts = run_starts(label)
    for start, stop in zip(starts, [*starts[1:], len(label)]):
        value = int(label[start])
        seen[value] = seen.get(value, 0) + 1
        repetition[start:stop] = seen[value]
    return repetition

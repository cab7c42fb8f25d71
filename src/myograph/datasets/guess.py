"""`guess`: examine a folder of recordings and propose its `dataset.toml`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats import clock
from myograph.datasets._formats.description import FACTS, Description, parsed, word
from myograph.datasets._formats.emgworks import is_export
from myograph.datasets._formats.guard import OWN_AGAIN, reading
from myograph.datasets._formats.presets import detect
from myograph.datasets._formats.table import Table
from myograph.datasets._formats.tables import ENDINGS, channels, read_table
from myograph.datasets._formats.text import DELIMITERS
from myograph.datasets._guess import arrays, columns, paths, signals, text
from myograph.datasets._guess.notes import Notes
from myograph.datasets._names import aside, natural
from myograph.errors import ConfigError, DataError, MyographError

NOT_DATA = ("readme", "license", "licence", "changelog", "requirements", "notes", "participants", "metadata", "events")
LOOKED_AT = 3  # files that are read and compared with the first


@dataclass(frozen=True)
class Guess:
    """A proposed description.

    folder : the folder for its `dataset.toml`.
    toml : the text of the description.
    found : facts found in the files, one sentence each.
    unsure : questions that only the user can answer.

    >>> import tempfile
    >>> proposal = Guess(Path(tempfile.mkdtemp()), 'files = "*.csv"', (), ())
    >>> proposal.path.name, proposal.write() == proposal.path
    ('dataset.toml', True)
    """

    folder: Path
    toml: str
    found: tuple[str, ...]
    unsure: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where `write` puts the description."""
        return self.folder / "dataset.toml"

    def write(self) -> Path:
        """Write the description next to the recordings, and return its path.

        Raises
        ------
        ConfigError : there is already a description, or the folder is not writable. An existing file is never changed.
        """
        try:
            with open(self.path, "x", encoding="utf-8") as file:
                file.write(self.toml)
        except FileExistsError:
            raise ConfigError(f"{self.path} already exists; move it before a new one is written") from None
        except OSError as error:
            raise ConfigError(
                f"cannot write {self.path}: {error}; write it by hand or make the folder writable"
            ) from error
        return self.path


def guess(path: Path) -> Guess:
    """Propose a description of the recordings in a folder, or of a file and those of its kind beside it.

    The most frequent file format is described. The first file is read, and some others are compared with it.

    Raises
    ------
    DataError : the path does not exist, or there are no readable recordings.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("fist_1.csv", "fist_2.csv", "rest_1.csv"):
    ...     np.savetxt(folder / name, np.random.default_rng(0).normal(size=(400, 2)), delimiter=",")
    >>> proposal = guess(folder)
    >>> [line for line in proposal.toml.splitlines() if line.startswith(("files", "rest"))]
    ['files = "{label}_{repetition}.csv"', 'rest = "rest"']
    >>> proposal.unsure[-1]
    'the files do not state the sampling rate: add rate_hz = …'
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"there is no {path}; give a folder of recordings, or one of the recordings")
    folder = path if path.is_dir() else path.parent
    notes = Notes()
    if (folder / "dataset_description.json").is_file():
        notes.unsure.append(
            "this seems to be a BIDS folder, which needs no description: try --dataset bids --set dataset.path=…"
        )
    below, ending = _files(path, folder, notes)
    below, sample = _first(below, folder, ending, notes)
    stems = [b[: -len(ending)] for b in below]
    question = next((q for q in notes.unsure if columns.LABEL_BY_VALUES in q), None)
    if question and paths.name_gestures(stems):
        notes.unsure.remove(question)  # the paths name gestures, so a column of few values is something else
        del notes.values["label"]
    given = {f for f in FACTS if f in notes.values}
    pattern = paths.guess_pattern(stems, "label" in notes.values, given - {"label"}, notes)
    twice = [f for f in FACTS if f in notes.values and f"{{{f}}}" in pattern]
    if twice:
        notes.unsure.append(f"the paths and the files both give {', '.join(twice)}; the values in the paths are used")
    kept = {k: v for k, v in notes.values.items() if k not in twice}
    notes.values = {"files": pattern + sample.suffix, **kept}
    _finish(below, folder, notes)
    _prove(folder, below, notes)
    return Guess(folder, notes.toml(), tuple(notes.found), tuple(notes.unsure))


def _files(path: Path, folder: Path, notes: Notes) -> tuple[list[str], str]:
    """Return the paths below the folder to describe, in natural order, and their ending."""
    if path.is_file():
        if path.suffix.lower() not in ENDINGS:
            raise DataError(
                f"{path}: this file format is not supported; convert the files to one of {', '.join(ENDINGS)}"
            )
        every = [p for p in folder.iterdir() if p.is_file() and p.suffix.lower() == path.suffix.lower()]
    else:
        every = [p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in ENDINGS]
    every = [p for p in every if not aside(p, folder) and not p.name.startswith(".") and p.stat().st_size]
    if not every:
        raise DataError(
            f"{folder} holds no supported files ({', '.join(ENDINGS)}); give the folder of the recordings, or "
            "unpack its archives first"
        )
    recordings = [p for p in every if not p.stem.lower().startswith(NOT_DATA)] or every
    sizes: Counter[str] = Counter()
    for p in recordings:
        sizes[p.suffix.lower()] += p.stat().st_size
    ending = sizes.most_common(1)[0][0]
    others = sorted({p.suffix.lower() for p in recordings} - {ending})
    if others:
        notes.unsure.append(
            f"there are also files that end in {', '.join(others)}; the {ending} files are described, which are larger "
            "in total"
        )
    chosen = sorted((p for p in recordings if p.suffix.lower() == ending), key=lambda p: natural(str(p)))
    spelt = Counter(p.suffix for p in chosen).most_common(1)[0][0]
    below, deep = paths.usual([p.relative_to(folder).as_posix() for p in chosen if p.suffix == spelt])
    ignored = [p.relative_to(folder).as_posix() for p in every if p not in recordings and p.suffix.lower() == ending]
    ignored += deep + [p.relative_to(folder).as_posix() for p in chosen if p.suffix != spelt]
    if ignored:
        notes.values["ignore"] = ignored
        notes.unsure.append(
            f"left out: {', '.join(ignored[:6])}" + (f", … ({len(ignored)})" if len(ignored) > 6 else "")
        )
    notes.found.append(f"{len(below)} {ending} files in {folder}")
    return below, ending


def _first(below: list[str], folder: Path, ending: str, notes: Notes) -> tuple[list[str], Path]:
    """Describe the contents of the first readable file, and leave out files with other columns."""
    problems = []
    for name in below[:LOOKED_AT]:
        kept = Notes(dict(notes.values), list(notes.found), list(notes.unsure))
        try:
            with reading(folder / name, OWN_AGAIN):
                _content(folder / name, ending, kept)
        except MyographError as error:
            problems.append(str(error))
            continue
        notes.values, notes.found, notes.unsure = kept.values, [*kept.found], [*problems, *kept.unsure]
        return below, folder / name
    raise DataError(problems[0])


def _content(path: Path, ending: str, notes: Notes) -> None:
    if ending == ".csv" and is_export(path):
        notes.unsure.append(
            f"{path.name} is an EMGworks export: --dataset delsys_csv --set dataset.path=… reads it without a description"
        )
    preset = detect(path) if ending in DELIMITERS else None
    if preset is not None:
        signals.guess_preset(path, preset, notes)
    elif ending in DELIMITERS:
        table = text.guess_text(path, notes)
        columns.assign(table.columns, table.named, notes)
    elif ending == ".npy":
        arrays.guess_npy(path, notes)
    elif ending in (".npz", ".mat", ".h5", ".hdf5"):
        arrays.guess_variables(path, notes)
    else:
        signals.guess_signals(path, notes)


def _finish(below: list[str], folder: Path, notes: Notes) -> None:
    """Combine paths and columns: labels, rest, and a question if no rate is stated."""
    description = Description(notes.values["files"])
    matches = {b: description.pattern.fullmatch(b) for b in below}
    lost = [b for b, match in matches.items() if match is None]
    if lost:
        notes.values["ignore"] = [*notes.values.get("ignore", []), *lost]
        notes.unsure.append(f"{', '.join(lost[:6])} do not fit {notes.values['files']!r} and are left out")
    in_path = sorted({word(m["label"]) for m in matches.values() if m and "label" in m.groupdict()}, key=natural)
    if "{label}" not in notes.values["files"] and "label" not in notes.values:
        notes.values["label"] = False
        notes.unsure.append("no labels were found, so the recordings are taken as unlabelled: where are the labels?")
    if in_path:
        columns.note_rest(in_path, notes)
    states_none = "rate_hz" not in notes.values and "preset" not in notes.values
    if states_none and Path(notes.values["files"]).suffix.lower() in (
        *DELIMITERS,
        ".npy",
        ".npz",
        ".mat",
        ".h5",
        ".hdf5",
    ):
        notes.hints["rate_hz"] = "…  # samples per second"
        notes.unsure.append("the files do not state the sampling rate: add rate_hz = …")
    order = (
        "files",
        "preset",
        "rate_hz",
        "unit",
        "channels",
        "signal",
        "stream",
        "orientation",
        *FACTS,
        "rest",
        "time",
    )
    notes.values = {k: notes.values[k] for k in (*order, *notes.values) if k in notes.values}


def _prove(folder: Path, below: list[str], notes: Notes) -> None:
    """Read some files with the description; errors become questions."""
    description = parsed(notes.toml(), folder / "dataset.toml")
    shapes: dict[str, tuple[int, int]] = {}
    labels: list[str] = []
    spread = [below[i] for i in np.unique(np.linspace(0, len(below) - 1, LOOKED_AT).astype(int))]
    for name in spread:
        try:
            table = read_table(folder / name, description)
            shapes[name] = channels(table, description, folder / name).shape
        except MyographError as error:
            notes.unsure.append(f"this file does not fit the description: {error}")
            continue
        labels += _labels(table, description, folder / name)
        _compare(name, table, description, notes)
    if "label" in notes.values and notes.values["label"] is not False:
        columns.note_rest(sorted(set(labels) - {""}, key=natural), notes)
    if shapes:
        name, (n_channels, n_samples) = next(iter(shapes.items()))
        rate_hz = description.rate_hz
        lasts = f", {n_samples / rate_hz:.3g} s" if rate_hz else ""
        notes.found.append(
            f"read with this description, {name} holds {n_channels} channels of {n_samples} samples{lasts}"
        )


def _labels(table: Table, description: Description, path: Path) -> list[str]:
    if description.label is None or isinstance(description.label, bool):
        return []
    return [word(v) for v in dict.fromkeys(table.column(description.label, path).tolist())]


def _compare(name: str, table: Table, description: Description, notes: Notes) -> None:
    """Compare the time column of another file with the rate."""
    if description.time is False or description.rate_hz is None:
        return
    for column, values in table.columns.items():
        is_it = column == str(description.time) or (description.time is None and table.named and clock.is_time(column))
        if is_it and values.dtype.kind in "iuf":
            odd, _ = clock.compare(values, description.rate_hz, column)
            notes.unsure += [f"{name}: {what}; {advice}" for what, advice in odd[:2]]
            return

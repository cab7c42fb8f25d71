"""The NinaPro databases 1-8 and 10, read by one reader from the table of facts in `_ninapro_facts`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from myograph.datasets._formats.matlab import find_matlab, matrix, read_matlab, track, write_matlab
from myograph.datasets._labels import spread_to_rest
from myograph.datasets._ninapro_facts import FACTS, Facts
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError
from myograph.recording import Recording, Unit

# Of the samples. Published label tracks may be shorter than the emg: users of DB2 report one sample in subject 1's
# exercise 3 and 272 in subject 12's. We assume that both begin together; the samples at the end are then unlabelled.
MOST_OFF = 0.01
MINIATURE_HOLD_S = 0.3


@dataclass(frozen=True)
class Ninapro(FilePerRecording):
    """One Recording per exercise and session. Exercises recorded without removing the electrodes are one session, and
    rest is one class in all exercises.

    Movements are named after the exercises A to D of the paper ("A1 index flexion"), so that a movement has the same
    name in every database. If the files only number them, they are "grasp 3" or "movement 3".

    Signal (electrode, time): µV for DB2, DB3 and DB6, whose files are read as volts; for the others, whose scale we
    could not verify, the values of the files ("adc"). Rest gets the number of the repetition before it (rest
    before the first repetition that of the repetition after it), because the databases set it to 0 or do not reset it.
    These samples are unlabelled: those of a movement without a repetition, those that DB10 marks as unreliable, and
    those at the end beyond the label track. The field `exercise` in the files is not used, because it is wrong in DB5.

    Parameters
    ----------
    exercises : numbers as in the file names; None reads every exercise whose file is present.
    label_track : "restimulus", relabelled to the onset and end of muscle activity (Gijsberts et al. 2014,
        doi:10.1109/TNSRE.2014.2303394), or "stimulus", the cue.
    repetition_track : "rerepetition" or "repetition"; None takes the one that belongs to `label_track`.

    Examples
    --------
    >>> import tempfile
    >>> from myograph.datasets.base import get
    >>> folder, data = Path(tempfile.mkdtemp()), get("ninapro_db5")
    >>> data.write_miniature(folder, np.random.default_rng(0))
    >>> data.subjects(folder)
    ['1', '2']
    >>> next(iter(data.read(folder)))
    <Recording ninapro_db5, subject 1, session 1, exercise 1: 16 channels x 14.7 s @ 200 Hz, adc, 13 labels>
    """

    exercises: tuple[int, ...] | None = None
    label_track: Literal["restimulus", "stimulus"] = "restimulus"
    repetition_track: Literal["rerepetition", "repetition"] | None = None

    facts: ClassVar[Facts]
    licence = "free for research; cite the paper named (terms at ninapro.hevs.ch)"
    rest = "rest"
    version = 2

    def __post_init__(self) -> None:
        if self.label_track not in ("restimulus", "stimulus"):
            raise ConfigError(f"label_track must be 'restimulus' or 'stimulus', got {self.label_track!r}")
        if self.repetition_track not in ("rerepetition", "repetition", None):
            raise ConfigError(
                "repetition_track must be 'rerepetition', 'repetition', or None for the track that belongs to "
                "label_track, "
                f"got {self.repetition_track!r}"
            )
        if self.exercises is not None:
            given = (self.exercises,) if isinstance(self.exercises, int) else tuple(int(e) for e in self.exercises)
            unknown = [e for e in given if e not in self.facts.exercises]
            if unknown or not given:
                known = ", ".join(map(str, self.facts.exercises))
                raise ConfigError(f"{self.name} has exercises {known}, got {self.exercises}")
            object.__setattr__(self, "exercises", given)

    def listed(self, folder: Path) -> Iterator[File]:
        for path in folder.rglob("*.mat"):
            match = re.fullmatch(self.facts.pattern + r"\.mat", path.name, re.IGNORECASE)
            if match is None:
                continue
            group = match.groupdict()
            exercise = int(group.get("exercise") or group.get("exercise2") or 1)
            session = group.get("session") or group.get("session2") or "1"
            if self.exercises is None or exercise in self.exercises:
                yield File(path, str(int(group["subject"])), session.upper(), exercise)

    def expected(self) -> str:
        example = self.facts.example.format(subject=1, session=self.facts.sessions[0], exercise=1)
        which = f" for exercises {', '.join(map(str, self.exercises))}" if self.exercises else ""
        return f"files such as {example}{which}; unpack the database there"

    def lacking(self, subject: str, files: list[File]) -> Iterator[Finding]:
        present = {(f.session, f.part) for f in files}
        wanted = self.exercises or self.facts.exercises
        missing = [f"{e} of session {s}" for s in self.facts.sessions for e in wanted if (s, e) not in present]
        if missing:
            yield Finding(
                "warning",
                f"{self.name}, subject {subject}",
                f"there is no file of exercise {', '.join(missing)}",
                "fetch them if you need them; the others can be used without them",
            )

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        names = self.facts.exercises[file.part].names
        lacking = [n for i, n in enumerate(names, 1) if not any((r.label == i).any() for r in recordings)]
        bare = int(np.argmax(np.append(recordings[-1].label[::-1] >= 0, True)))
        if bare:
            yield Finding(
                "note",
                str(file.path),
                f"the last {bare} samples have no label",
                "nothing to do: these samples are in no window, since the label track is shorter than the signal",
            )
        if lacking:
            yield Finding(
                "warning",
                str(file.path),
                f"{len(lacking)} of {len(names)} movements never occur: {', '.join(lacking[:5])}",
                "leave the subject out if a comparison needs every movement",
            )

    def records(self, file: File) -> list[Recording]:
        recording = self.record(file)
        times = find_matlab(file.path, (self.facts.clock,)) if self.facts.clock else {}
        if not times or times[self.facts.clock].size != recording.n_samples:
            return [recording]
        steps = np.diff(times[self.facts.clock].ravel())
        edges = [0, *(np.flatnonzero(steps > 1.5 * np.median(steps)) + 1).tolist(), recording.n_samples]
        return [
            replace(
                recording,
                signal=recording.signal[:, start:stop],
                label=recording.label[start:stop],
                repetition=recording.repetition[start:stop],
                name=f"{recording.name}, part {part} of {len(edges) - 1}" if len(edges) > 2 else recording.name,
            )
            for part, (start, stop) in enumerate(pairwise(edges), 1)
        ]

    def record(self, file: File) -> Recording:
        path, exercise = file.path, file.part
        if exercise not in self.facts.exercises:
            known = ", ".join(map(str, self.facts.exercises))
            raise DataError(
                f"{path} is named as exercise {exercise}, but {self.name} has {known}; is it a file of another "
                "database? "
                "Move it elsewhere"
            )
        facts = self.facts
        relabelled = self.label_track == "restimulus"
        renumbered = relabelled if self.repetition_track is None else self.repetition_track == "rerepetition"
        keys = ("emg", "re" * relabelled + facts.labels, "re" * renumbered + facts.repetitions)
        emg, code, repetition = read_matlab(path, keys)
        code, repetition = track(code, path, keys[1]), track(repetition, path, keys[2])
        n, labelled = len(emg), min(len(code), len(repetition))
        off = max(n, len(code), len(repetition)) - min(n, labelled)
        if emg.ndim != 2 or emg.shape[1] not in facts.columns or off > MOST_OFF * n:
            raise DataError(
                f"{path} holds emg {emg.shape}, {keys[1]} {code.shape} and {keys[2]} {repetition.shape}, expected emg "
                f"(time, {' or '.join(map(str, facts.columns))}) and tracks of the same length; is it a file of "
                f"{self.name}? Download it again"
            )
        code, repetition = (np.concatenate([t[:n], np.zeros(max(0, n - len(t)), t.dtype)]) for t in (code, repetition))
        emg = self._without_empty(emg, path)
        label = self._labels(code, exercise, path)
        label[labelled:] = -1
        label[(repetition < 0) | ((repetition == 0) & (label > 0))] = -1
        signal = matrix(emg, path, "emg", f"(time, {facts.columns[0]})")
        bad = ~np.isfinite(signal).all(axis=0)
        if bad.any():
            raise DataError(
                f"{path} holds NaN or infinite values in {int(bad.sum())} samples, the first at {int(np.argmax(bad))}; "
                "download it again, or leave the subject out"
            )
        if facts.to_uv:
            signal *= np.float32(facts.to_uv)
        unit: Unit = "uV" if facts.to_uv else "adc"
        return Recording(
            signal,
            facts.rate_hz,
            label,
            subject=file.subject,
            repetition=spread_to_rest(label == 0, label > 0, repetition),
            session=file.session,
            unit=unit,
            label_names=("rest", *facts.exercises[exercise].names),
            layout=facts.layout if facts.layout is not None and len(facts.layout) == len(signal) else None,
            name=f"{self.name}, subject {file.subject}, session {file.session}, exercise {exercise}",
        )

    def _without_empty(self, emg: np.ndarray, path: Path) -> np.ndarray:
        empty = self.facts.empty
        if not empty or emg.shape[1] != max(self.facts.columns):
            return emg
        if emg[:, empty].any():
            raise DataError(
                f"{path} has signal in the columns {', '.join(map(str, empty))}, which are empty in this database; "
                "is it a file of another release? Read it with the generic folder reader"
            )
        return np.delete(emg, empty, axis=1)

    def _labels(self, code: np.ndarray, exercise: int, path: Path) -> np.ndarray:
        """Return (time,) labels: 0 for rest, then 1, 2, … in the order of the exercise's names."""
        known = self.facts.exercises[exercise]
        restarted, counted_on = known.codes, tuple(known.first_code + i for i in range(len(known.codes)))
        used = set(np.unique(code[code != 0]).tolist())
        fitting = [
            c for c in ((counted_on, restarted) if self.facts.counts_on else (restarted, counted_on)) if used <= set(c)
        ]
        if not fitting:
            raise DataError(
                f"{path} has labels {', '.join(map(str, sorted(used)))} where exercise {exercise} of {self.name} has "
                f"{restarted[0]} to {restarted[-1]} or {counted_on[0]} to {counted_on[-1]}; is it named as it should be?"
            )
        table = np.zeros(max(fitting[0]) + 1, np.int32)
        table[list(fitting[0])] = np.arange(1, len(fitting[0]) + 1)
        return table[code]

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        facts = self.facts
        for subject in (1, 2):
            for session in facts.sessions[:4]:
                for number, exercise in facts.exercises.items():
                    name = facts.example.format(subject=subject, session=session, exercise=number)
                    n = len(exercise.codes)
                    codes = range(exercise.first_code, exercise.first_code + n) if facts.counts_on else exercise.codes
                    some = [codes[i] for i in sorted({0, 1, 2, n - 1})]
                    n_repetitions = facts.fewer_repetitions.get(session, facts.n_repetitions)
                    variables = _miniature(facts, some, n_repetitions, number, rng)
                    write_matlab(folder / f"s{subject}" / name, variables)


def _miniature(
    facts: Facts, codes: list[int], n_repetitions: int, number: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the variables of one file: every repetition of each movement, each followed by rest of the same length."""
    n = max(round(MINIATURE_HOLD_S * facts.rate_hz), 30)
    move = np.repeat(np.array(codes), n_repetitions)
    turn = np.tile(np.arange(1, n_repetitions + 1), len(codes))
    rest = np.zeros_like(move)
    stimulus = np.repeat(np.stack([rest, move], 1).ravel(), n)
    repetition = np.repeat(np.stack([rest, turn], 1).ravel(), n)
    stimulus, repetition = (
        np.concatenate([t, np.zeros(n, t.dtype)])[:, None].astype(np.uint8) for t in (stimulus, repetition)
    )
    lag = n // 5  # people move after the cue
    restimulus, rerepetition = np.roll(stimulus, lag, axis=0), np.roll(repetition, lag, axis=0)
    columns = facts.columns[0]
    loud = 1 + 5 * (np.arange(columns) == restimulus % columns) * (restimulus > 0)
    emg = rng.normal(size=(len(stimulus), columns)) * loud * (1e-5 if facts.to_uv else 1.0)
    emg[:, list(facts.empty)] = 0
    times = np.arange(len(stimulus)) / facts.rate_hz
    times[len(times) // 2 :] += 20.0  # a pause, as in the database
    return {
        "emg": emg.astype(np.float32),
        facts.labels: stimulus,
        facts.repetitions: repetition,
        f"re{facts.labels}": restimulus,
        f"re{facts.repetitions}": rerepetition,
        "subject": np.array([[1]], np.uint8),
        "exercise": np.array([[number]], np.uint8),
        **({facts.clock: times[:, None]} if facts.clock else {}),
    }


def _register(name: str, facts: Facts) -> None:
    body = {
        "__doc__": f"{facts.title}. {Ninapro.__doc__}",
        "__module__": __name__,
        "name": name,
        "facts": facts,
        "title": facts.title,
        "citation": facts.citation,
        "doi": facts.doi,
        "homepage": facts.homepage
        or f"https://ninapro.hevs.ch/instructions/{name.removeprefix('ninapro_').upper()}.html",
        "files": facts.files,
        "protocol": facts.protocol,
    }
    DATASETS.register(dataclass(frozen=True)(type(name.title().replace("_", ""), (Ninapro,), body)))


for _name, _facts in FACTS.items():
    _register(_name, _facts)

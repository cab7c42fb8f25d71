"""`export_bids`: write any data set as a BIDS-EMG folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myograph._common.files import written_beside
from myograph._common.progress import Progress, silent
from myograph.datasets._bids.electrodes import SPACE, coordinate_facts, electrode_rows
from myograph.datasets._bids.events import COLUMNS, MEANING, event_rows
from myograph.datasets._bids.side_files import MISSING, write_facts, write_table
from myograph.datasets._bids.signal import DIMENSIONS
from myograph.datasets._formats.edf_writer import BITS, write_edf
from myograph.errors import ConfigError
from myograph.recording import Layout, Recording

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset

BIDS_VERSION = "1.11.0"
NOT_STATED = "not stated in the source data set"


def export_bids(
    dataset: str | Dataset,
    out: Path | str,
    subjects: str | Iterable[str | int] | None = None,
    bits: int = 24,
    task: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write a data set as BIDS-EMG: signals, channels, electrodes, events with labels and repetitions.

    Parameters
    ----------
    dataset : a name, the path of a dataset.toml, or a Dataset.
    out : the folder to create; it must not exist. It is created only when everything has been written.
    subjects : as in `load`; all if None.
    bits : 24 writes BDF+, 16 writes EDF+. Whole numbers in that range are stored exactly, other samples with a
        resolution of 2^-bits of the range.
    task : the task's name, by default the data set's.
    progress : called as progress(message, done, total).
    options : fields of the data set.

    Returns the folder. `load("bids", path=out)` reads it back: samples with that resolution; labels, repetitions,
    breaks and the layout exactly. Names of subjects and sessions lose characters that BIDS does not allow;
    participants.tsv holds the original names.

    Raises
    ------
    ConfigError : `out` exists, or `bits` or `task` is not allowed. DataError : the data set cannot be read.

    Source: BIDS 1.11, electromyography.

    >>> import tempfile
    >>> folder = export_bids("simulated", Path(tempfile.mkdtemp()) / "bids", subjects="1", n_subjects=1, n_gestures=1, n_repetitions=2)
    >>> sorted(p.name for p in folder.iterdir())[:3]
    ['README.md', 'dataset_description.json', 'participants.json']
    """
    from myograph.datasets.base import get
    from myograph.datasets.load import load

    dataset = get(dataset, **options)
    out = Path(out).expanduser()
    if out.exists():
        raise ConfigError(f"{out} already exists; give a folder that does not exist yet")
    if bits not in BITS:
        raise ConfigError(f"bits must be 16 (EDF+) or 24 (BDF+), got {bits!r}")
    name = _label(dataset.name if task is None else task)
    if not name or (task is not None and name != task):
        raise ConfigError(f"a task's name must be made of letters and digits, got {task!r}")
    progress = progress or silent
    recordings = load(dataset, subjects, progress=progress)
    people = _distinct(list(dict.fromkeys(r.subject for r in recordings)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(out) as place:
        place.mkdir()
        _write_top(place, dataset, people, name)
        for done, (subject, label) in enumerate(people.items()):
            progress(f"writing subject {subject}", done, len(people))
            _write_subject(place, label, [r for r in recordings if r.subject == subject], name, dataset.title, bits)
    return out


def _label(text: str) -> str:
    """Return a name in the form that BIDS allows: letters and digits.

    >>> _label("day1 posture_1")
    'day1posture1'
    """
    return re.sub(r"[^0-9a-zA-Z]", "", text)


def _distinct(names: Sequence[str]) -> dict[str, str]:
    """Return the BIDS label of each name; names with equal labels get a number appended.

    >>> _distinct(["a-1", "a1", "ä"])
    {'a-1': 'a1', 'a1': 'a1x2', 'ä': 'x'}
    """
    found: dict[str, str] = {}
    for name in names:
        label, number = _label(name) or "x", 1
        while label in found.values():
            number += 1
            label = f"{_label(name) or 'x'}x{number}"
        found[name] = label
    return found


def _write_top(place: Path, dataset: Dataset, people: dict[str, str], task: str) -> None:
    links = [link for link in (f"https://doi.org/{dataset.doi}" if dataset.doi else "", dataset.homepage) if link]
    facts = {
        "Name": dataset.title or dataset.name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "License": dataset.licence or "not stated",
        "HowToAcknowledge": f"Cite: {dataset.citation}" if dataset.citation else "not stated",
        "ReferencesAndLinks": links,
        "GeneratedBy": [{"Name": "myograph", "Version": version("myograph")}],
        "SourceDatasets": [{"URL": links[-1] if links and links[-1].startswith("http") else MISSING}],
    }
    write_facts(place / "dataset_description.json", facts)
    (place / "README.md").write_text(
        f"# {facts['Name']}\n\nSurface EMG, converted to BIDS by myograph from the data set "
        f"`{dataset.name}`. Its licence: {facts['License']}. {facts['HowToAcknowledge']}\n\n"
        "Labels and repetitions are in the `_events.tsv` files. Facts that the source does not state are given as n/a.\n",
        encoding="utf-8",
    )
    rows = [{"participant_id": f"sub-{label}", "source_name": name} for name, label in people.items()]
    write_table(place / "participants.tsv", ("participant_id", "source_name"), rows)
    write_facts(
        place / "participants.json", {"source_name": {"Description": "The person's name in the source data set"}}
    )
    write_facts(place / f"task-{task}_events.json", MEANING)


def _write_subject(
    place: Path, subject: str, recordings: Sequence[Recording], task: str, title: str, bits: int
) -> None:
    sessions = _distinct(list(dict.fromkeys(r.session for r in recordings)))
    one = list(sessions) == ["1"]
    for session, label in sessions.items():
        mine = [r for r in recordings if r.session == session]
        folder = place / f"sub-{subject}" / ("" if one else f"ses-{label}") / "emg"
        folder.mkdir(parents=True)
        parts = f"sub-{subject}" if one else f"sub-{subject}_ses-{label}"
        for run, recording in enumerate(mine, 1):
            stem = f"{parts}_task-{task}" + (f"_run-{run}" if len(mine) > 1 else "")
            _write_recording(folder, stem, recording, task, title, bits)
        _write_electrodes(folder, parts, task, [r.layout for r in mine])
    if not one:
        rows = [{"session_id": f"ses-{label}", "source_name": name} for name, label in sessions.items()]
        write_table(place / f"sub-{subject}" / f"sub-{subject}_sessions.tsv", ("session_id", "source_name"), rows)
        write_facts(
            place / f"sub-{subject}" / f"sub-{subject}_sessions.json",
            {"source_name": {"Description": "The session's name in the source data set"}},
        )


def _write_electrodes(folder: Path, parts: str, task: str, layouts: Sequence[Layout | None]) -> None:
    """Write the electrodes of a session, which do not move between its runs unless the data set says so."""
    alike = len(set(layouts)) == 1
    for run, layout in enumerate(layouts[:1] if alike else layouts, 1):
        if layout is not None:
            stem = parts if alike else f"{parts}_task-{task}_run-{run}"
            space = SPACE if alike else f"{SPACE}{run}"
            columns = ("name", "x", "y", "coordinate_system")
            write_table(folder / f"{stem}_electrodes.tsv", columns, electrode_rows(layout, space))
            write_facts(folder / f"{parts}_space-{space}_coordsystem.json", coordinate_facts(layout))


def _write_recording(folder: Path, stem: str, recording: Recording, task: str, title: str, bits: int) -> None:
    width = len(str(recording.n_channels))
    names = [f"EMG{i:0{width}d}" for i in range(1, recording.n_channels + 1)]
    ending = "edf" if bits == 16 else "bdf"
    write_edf(
        folder / f"{stem}_emg.{ending}", recording.signal, recording.rate_hz, names, DIMENSIONS[recording.unit], bits
    )
    rows: list[dict[str, Any]] = [
        {"name": n, "type": "EMG", "units": recording.unit if recording.unit == "uV" else None} for n in names
    ]
    layout = recording.layout
    for i, row in enumerate(rows if layout else [], 1):
        row["signal_electrode"] = f"E{i}"
    columns = ("name", "type", "units", *(("signal_electrode",) if layout else ()))
    write_table(folder / f"{stem}_channels.tsv", columns, rows)
    write_facts(folder / f"{stem}_emg.json", _sidecar(recording, task, title))
    events = event_rows(recording)
    if events:
        write_table(folder / f"{stem}_events.tsv", COLUMNS, events)


def _sidecar(recording: Recording, task: str, title: str) -> dict[str, Any]:
    spacing = recording.layout.spacing_mm if recording.layout else None
    return {
        "TaskName": task,
        "TaskDescription": title or NOT_STATED,
        "SamplingFrequency": recording.rate_hz,
        "PowerLineFrequency": MISSING,
        "SoftwareFilters": MISSING,
        "HardwareFilters": MISSING,
        "EMGPlacementScheme": "Other",
        "EMGPlacementSchemeDescription": NOT_STATED,
        "EMGReference": NOT_STATED,
        "EMGGround": NOT_STATED,
        "EMGChannelCount": recording.n_channels,
        "RecordingDuration": recording.n_samples / recording.rate_hz,
        "RecordingType": "discontinuous" if recording.breaks else "continuous",
        **({} if spacing is None else {"InterelectrodeDistance": spacing}),
    }

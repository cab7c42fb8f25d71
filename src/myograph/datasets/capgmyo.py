"""CapgMyo: finger and hand gestures under an 8 x 16 grid around the forearm, 128 channels at 1 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from myograph.datasets._formats.matlab import matrix, read_matlab, write_matlab
from myograph.datasets._names import aside, natural
from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_trial import FilePerTrial, Trial, numbered
from myograph.errors import ConfigError, DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Layout
from myograph.windows import Windowing

HAND = (
    "thumb up",
    "extension of index and middle, flexion of the others",
    "flexion of ring and little finger, extension of the others",
    "thumb opposing base of little finger",
    "abduction of all fingers",
    "fingers flexed together in fist",
    "pointing index",
    "adduction of extended fingers",
)
GESTURES = {"a": HAND, "b": HAND, "c": tuple(f"finger movement {i}" for i in range(1, 13))}
# Database a on figshare: article 7210397, one zip per person.
FIGSHARE = (
    *(13277105, 13275896, 13275953, 13275962, 13275965, 13275983, 13276016, 13276019, 13276022),
    *(13276934, 13277147, 13277000, 13277015, 13277027, 13276136, 13276139, 13276142, 13276148),
)


@DATASETS.register
@dataclass(frozen=True)
class CapgMyo(FilePerTrial):
    """Ten trials per gesture, each the middle second of a held gesture; the preprocessed files.

    Signal (128, time): channels run along the arm first, in 16 columns of 8. Geng et al. 2016, doi:10.1038/srep36571,
    use 16 x 8 images; the order of the edges is our interpretation. Values lie in [-1, 1] and are not scaled
    ("normalised"). According to others, 1 corresponds to 2.5 mV, which we could not verify in the paper.

    Layout: `{subject:03d}-{gesture:03d}-{trial:03d}.mat` with `data` (1000, 128). If more than one database is present,
    the files are in folders whose names begin with dba, dbb or dbc (as published: `dba-preprocessed-001`). In DB-b the
    numbers 2n-1 and 2n are the sessions 1 and 2 of person n, as in the authors' program. Gestures 100 and 101, maximal
    contractions, are left out. The files do not name the finger movements of DB-c, so these are numbered.

    `fetch` downloads database a (18 zips of about 78 MB, named dba-s1 to dba-s18) from figshare, where it is CC0,
    doi:10.6084/m9.figshare.7210397.v1. We could not download it, so no hashes are built in: the hashes of the first
    download are stored with the files, and a later download with other hashes is refused. The licence of b and c is not
    known.

    Source: Du et al. 2017, doi:10.3390/s17030458.

    Parameters
    ----------
    database : "a" (18 people, 8 gestures), "b" (10 people on two days) or "c" (10 people, 12 finger movements).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> CapgMyo().write_miniature(folder, np.random.default_rng(0))
    >>> len(CapgMyo().label_names), CapgMyo().subjects(folder)
    (8, ['1', '2'])
    >>> next(iter(CapgMyo().read(folder)))
    <Recording capgmyo, subject 1, session 1: 128 channels x 5.8 s @ 1000 Hz, normalised, 8 labels>
    """

    database: Literal["a", "b", "c"] = "a"

    name = "capgmyo"
    title = "CapgMyo: 23 people, 8 or 12 gestures x 10 trials, 128 channels (8 x 16) @ 1000 Hz"
    licence = "database a: CC0 (figshare); b and c: unknown; cite the paper"
    citation = "Du et al., Surface EMG-Based Inter-Session Gesture Recognition Enhanced by Deep Domain Adaptation, Sensors 2017"
    doi = "10.3390/s17030458"
    homepage = "http://zju-capg.org/research_en_electro_capgmyo.html"
    files = tuple(
        RemoteFile(f"dba-s{n}.zip", (f"https://ndownloader.figshare.com/files/{number}",))
        for n, number in enumerate(FIGSHARE, 1)
    )
    rest = None
    protocol = KFoldRepetitions(n_splits=2, within="session")
    windowing = Windowing(length_ms=150, step_ms=50)
    rate_hz = 1000.0
    n_channels = 128
    unit = "normalised"
    layout = Layout(tuple(i % 8 for i in range(128)), tuple(i // 8 for i in range(128)), wraps=True)

    def __post_init__(self) -> None:
        if self.database not in GESTURES:
            raise ConfigError(f"database must be 'a', 'b' or 'c', got {self.database!r}")

    @property
    def label_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the gestures of the database."""
        return GESTURES[self.database]

    def _numbers(self, folder: Path) -> dict[int, dict[tuple[int, int], Path]]:
        """Return, for each subject number of the files, the path of each (gesture, trial)."""
        paths = [p for p in Path(folder).rglob("*.mat") if not aside(p, Path(folder))]
        parts = {p: [q.lower() for q in p.relative_to(folder).parts[:-1]] for p in paths}
        if any(q.startswith(("dba", "dbb", "dbc")) for names in parts.values() for q in names):
            paths = [p for p in paths if any(q.startswith(f"db{self.database}") for q in parts[p])]
        found = {
            number: {key: path for key, path in files.items() if 1 <= key[0] <= len(self.label_names)}
            for number, files in numbered(paths).items()
        }
        if not any(found.values()):
            raise DataError(
                f"capgmyo: {folder} holds no files of DB-{self.database} such as 001-001-001.mat; unpack them there, in "
                f"a folder db{self.database}"
            )
        return {number: files for number, files in found.items() if files}

    def _person(self, number: int) -> tuple[str, str]:
        return (str((number + 1) // 2), str(2 - number % 2)) if self.database == "b" else (str(number), "1")

    def people(self, folder: Path) -> dict[str, Path]:
        # A person's files may be in several folders, so "home" is the whole folder and its name identifies the person.
        return {
            name: Path(folder) / name
            for name in sorted({self._person(n)[0] for n in self._numbers(folder)}, key=natural)
        }

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        sessions = {}
        for number, files in sorted(self._numbers(home.parent).items()):
            person, session = self._person(number)
            if person == home.name:
                sessions[session] = [
                    Trial(files[key], key[0] - 1, key[1]) for key in sorted(files, key=lambda k: (k[1], k[0]))
                ]
        return sessions

    def parse(self, path: Path) -> np.ndarray:
        (data,) = read_matlab(path, ("data",))
        return matrix(data, path, "data", f"(time, {self.n_channels})")

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for database, names in GESTURES.items():
            for number in range(1, 5) if database == "b" else (1, 2):
                for gesture in range(1, len(names) + 1):
                    loud = 0.01 + 0.1 * (np.arange(128) // 8 == gesture)
                    for trial in range(1, 5 if database == "a" else 3):
                        home = folder / f"db{database}-preprocessed-{number:03d}"
                        path = home / f"{number:03d}-{gesture:03d}-{trial:03d}.mat"
                        samples = np.clip(rng.normal(size=(180, 128)) * loud, -1, 1).round(3)
                        numbers = {"subject": number, "gesture": gesture, "trial": trial}
                        write_matlab(
                            path,
                            {"data": samples, **{k: np.array([[v]]) for k, v in numbers.items()}},
                            compress=False,
                        )

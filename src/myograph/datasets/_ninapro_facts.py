"""Facts about each NinaPro database: one table with one row per database.

Sources: Atzori et al. 2014, doi:10.1038/sdata.2014.53 (DB1-3); Pizzolato et al. 2017,
doi:10.1371/journal.pone.0186132 (DB4, 5); Palermo et al. 2017, doi:10.1109/ICORR.2017.8009405 (DB6); Krasoulis et al.
2017, doi:10.1186/s12984-017-0284-4 (DB7); Krasoulis et al. 2019, doi:10.3389/fnins.2019.00891 (DB8); Cognolato et al.
2020, doi:10.1038/s41597-020-0380-3 (DB10); and the databases' own pages at ninapro.hevs.ch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

from myograph.datasets.base import RemoteFile
from myograph.protocols import CrossSession, KFoldRepetitions, Protocol, WithinSubject
from myograph.recording import Layout

SITE = "https://ninapro.hevs.ch/files"

# The exercises of Atzori et al. 2014 by their letters; the databases number them differently.
MOVEMENTS = {
    "A": [
        "index flexion",
        "index extension",
        "middle flexion",
        "middle extension",
        "ring flexion",
        "ring extension",
        "little finger flexion",
        "little finger extension",
        "thumb adduction",
        "thumb abduction",
        "thumb flexion",
        "thumb extension",
    ],
    "B": [
        "thumb up",
        "index and middle extension, others flexed",
        "ring and little flexion, others extended",
        "thumb opposing base of little finger",
        "abduction of all fingers",
        "fist",
        "pointing index",
        "adduction of extended fingers",
        "wrist supination, axis middle finger",
        "wrist pronation, axis middle finger",
        "wrist supination, axis little finger",
        "wrist pronation, axis little finger",
        "wrist flexion",
        "wrist extension",
        "wrist radial deviation",
        "wrist ulnar deviation",
        "wrist extension with closed hand",
    ],
    "C": [
        "large diameter grasp",
        "small diameter grasp",
        "fixed hook grasp",
        "index finger extension grasp",
        "medium wrap",
        "ring grasp",
        "prismatic four fingers grasp",
        "stick grasp",
        "writing tripod grasp",
        "power sphere grasp",
        "three finger sphere grasp",
        "precision sphere grasp",
        "tripod grasp",
        "prismatic pinch grasp",
        "tip pinch grasp",
        "quadpod grasp",
        "lateral grasp",
        "parallel extension grasp",
        "extension type grasp",
        "power disk grasp",
        "open a bottle with a tripod grasp",
        "turn a screw",
        "cut something",
    ],
    "D": [f"force pattern {i}" for i in range(1, 10)],
}


@dataclass(frozen=True)
class Exercise:
    """The movements of one exercise.

    names : names of movement 1, 2, …, without rest.
    codes : numbers of the movements in the file's label track, if the track restarts with each exercise.
    first_code : number of the first movement, if the track continues to count from exercise to exercise.
    """

    names: tuple[str, ...]
    codes: tuple[int, ...]
    first_code: int


def _exercises(letters: str) -> dict[int, Exercise]:
    table, first = {}, 1
    for number, letter in enumerate(letters, 1):
        names = tuple(f"{letter}{i} {name}" for i, name in enumerate(MOVEMENTS[letter], 1))
        table[number] = Exercise(names, tuple(range(1, len(names) + 1)), first)
        first += len(names)
    return table


def _other(codes: Iterable[int], what: str) -> dict[int, Exercise]:
    codes = tuple(codes)
    return {1: Exercise(tuple(f"{what} {c}" for c in codes), codes, 1)}


@dataclass(frozen=True)
class Facts:
    """Facts about one database.

    columns : accepted numbers of columns in `emg`.
    empty : columns (from 0) without an electrode, which are left out if they are all zero.
    exercises : exercises by their number in the file name.
    counts_on : whether labels in the published files continue to count from exercise to exercise. The reader detects
        this; the field is used only for files that fit both.
    pattern : pattern of file names, with the groups subject and, if any, exercise and session.
    n_repetitions : repetitions of each movement in a session. fewer_repetitions : those in sessions with fewer.
    labels, repetitions : key of the label and repetition tracks; "re" before it is the relabelled one.
    clock : key of each sample's time in s, if a file has pauses; each part without a pause is a separate Recording.
    to_uv : factor to µV if the scale is known, otherwise 0 and the unit is "adc".
    """

    title: str
    citation: str
    doi: str
    columns: tuple[int, ...]
    rate_hz: float
    exercises: dict[int, Exercise]
    n_repetitions: int
    protocol: Protocol
    files: tuple[RemoteFile, ...] = ()
    homepage: str = ""
    counts_on: bool = False
    empty: tuple[int, ...] = ()
    pattern: str = r"S(?P<subject>\d+)_(?:E(?P<exercise>\d+)_A(?P<session>\d+)|A(?P<session2>\d+)_E(?P<exercise2>\d+))"
    example: str = "S{subject}_E{exercise}_A{session}.mat"
    sessions: tuple[str, ...] = ("1",)
    fewer_repetitions: Mapping[str, int] = field(default_factory=dict, compare=False)
    labels: str = "stimulus"
    repetitions: str = "repetition"
    clock: str = ""
    to_uv: float = 0.0
    layout: Layout | None = field(default=None, compare=False)


def _remote(pattern: str, *ranges: Iterable) -> tuple[RemoteFile, ...]:
    names = [pattern.format(*values) for values in product(*ranges)]
    return tuple(RemoteFile(name.rsplit("/", 1)[1], (f"{SITE}/{name}",)) for name in names)


TRIGNO = Layout.ring(8, n_extra=4)
ATZORI = (
    "Atzori et al., Electromyography data for non-invasive naturally-controlled robotic hand prostheses, Sci Data 2014"
)
PIZZOLATO = "Pizzolato et al., Comparison of six electromyography acquisition setups on hand movement classification tasks, PLoS ONE 2017"
HALF = WithinSubject(test_repetitions=(2, 5))

FACTS = {
    "ninapro_db1": Facts(
        title="NinaPro DB1: 27 people x 52 movements x 10 repetitions, 10 channels @ 100 Hz, RMS envelope",
        citation=ATZORI,
        doi="10.1038/sdata.2014.53",
        columns=(10,),
        rate_hz=100.0,
        exercises=_exercises("ABC"),
        n_repetitions=10,
        protocol=WithinSubject(test_repetitions=(2, 5, 7)),
        files=_remote("DB1/Preprocessed/s{}.zip", range(1, 28)),
        # "adc": an Otto Bock electrode outputs an amplified, rectified and smoothed voltage, not the voltage at the
        # skin.
        example="S{subject}_A{session}_E{exercise}.mat",
        layout=Layout.ring(8, n_extra=2),
    ),
    "ninapro_db2": Facts(
        title="NinaPro DB2: 40 people x 49 movements x 6 repetitions, 12 channels @ 2000 Hz",
        citation=ATZORI,
        doi="10.1038/sdata.2014.53",
        columns=(12,),
        rate_hz=2000.0,
        exercises=_exercises("BCD"),
        n_repetitions=6,
        protocol=HALF,
        files=_remote("DB2_Preproc/DB2_s{}.zip", range(1, 41)),
        counts_on=True,
        to_uv=1e6,
        layout=TRIGNO,
    ),
    "ninapro_db3": Facts(
        title="NinaPro DB3: 11 amputees x 49 movements x 6 repetitions, 12 channels (two people: 10) @ 2000 Hz",
        citation=ATZORI,
        doi="10.1038/sdata.2014.53",
        columns=(12, 10),
        rate_hz=2000.0,
        exercises=_exercises("BCD"),
        n_repetitions=6,
        protocol=HALF,
        files=_remote("db3_Preproc/s{}_0.zip", range(1, 12)),
        counts_on=True,
        to_uv=1e6,
        layout=TRIGNO,
    ),
    "ninapro_db4": Facts(
        title="NinaPro DB4: 10 people x 52 movements x 6 repetitions, 12 channels @ 2000 Hz",
        citation=PIZZOLATO,
        doi="10.1371/journal.pone.0186132",
        columns=(12,),
        rate_hz=2000.0,
        exercises=_exercises("ABC"),
        n_repetitions=6,
        protocol=HALF,
        files=_remote("DB4_Preproc/s{}.zip", range(1, 11)),
        layout=TRIGNO,
    ),
    "ninapro_db5": Facts(
        title="NinaPro DB5: 10 people x 52 movements x 6 repetitions, two Myo armbands, 16 channels @ 200 Hz",
        citation=PIZZOLATO,
        doi="10.1371/journal.pone.0186132",
        columns=(16,),
        rate_hz=200.0,
        exercises=_exercises("ABC"),
        n_repetitions=6,
        protocol=HALF,
        files=_remote("DB5_Preproc/s{}.zip", range(1, 11)),
        layout=Layout.ring(8, n_rings=2),
    ),
    "ninapro_db6": Facts(
        title="NinaPro DB6: 10 people x 7 grasps x 12 repetitions, twice a day for 5 days, 14 channels @ 2000 Hz",
        citation="Palermo et al., Repeatability of grasp recognition for robotic hand prosthesis control based on sEMG data, ICORR 2017",
        doi="10.1109/ICORR.2017.8009405",
        columns=(16, 14),
        empty=(8, 9),
        rate_hz=2000.0,
        exercises=_other((1, 3, 4, 6, 9, 10, 11), "grasp"),
        n_repetitions=12,
        protocol=CrossSession(),
        files=_remote("DB6_Preproc/DB6_s{}_{}.zip", range(1, 11), ("a", "b")),
        pattern=r"S(?P<subject>\d+)_(?P<session>D\d+_T\d+)",
        example="S{subject}_{session}.mat",
        sessions=tuple(f"D{day}_T{time}" for day in range(1, 6) for time in (1, 2)),
        to_uv=1e6,
        layout=Layout.ring(8, n_extra=6),
    ),
    "ninapro_db7": Facts(
        title="NinaPro DB7: 20 people and 2 amputees x 40 movements x 6 repetitions, 12 channels @ 2000 Hz",
        citation="Krasoulis et al., Improved prosthetic hand control with concurrent use of myoelectric and inertial measurements, JNER 2017",
        doi="10.1186/s12984-017-0284-4",
        columns=(12,),
        rate_hz=2000.0,
        exercises=_exercises("BC"),
        n_repetitions=6,
        protocol=HALF,
        files=_remote("DB7_Preproc/Subject_{}.zip", range(1, 23)),
        counts_on=True,
        layout=TRIGNO,
    ),
    "ninapro_db8": Facts(
        # Recorded at 1111 Hz and resampled to 2 kHz by the publisher, so there is no signal above 555 Hz. Two rows of
        # eight around the forearm; which column is which electrode is not stated, hence no layout. The amputees wore 13
        # and 12 sensors. Sources: the database's page; Krasoulis et al. 2019. The unit is not stated there: "adc".
        title="NinaPro DB8: 10 people and 2 amputees x 9 finger movements, 3 sessions, 16 channels @ 2000 Hz",
        citation="Krasoulis et al., Effect of user practice on prosthetic finger control with an intuitive myoelectric decoder, Front Neurosci 2019",
        doi="10.3389/fnins.2019.00891",
        columns=(16,),
        rate_hz=2000.0,
        exercises=_other(range(1, 10), "movement"),
        n_repetitions=10,
        protocol=CrossSession(train_sessions=("1", "2"), test_sessions=("3",)),
        files=_remote("DB8/S{}_E1_A{}.mat", range(1, 13), range(1, 4)),
        sessions=("1", "2", "3"),
        fewer_repetitions={"3": 2},
    ),
    "ninapro_db10": Facts(
        # Twelve electrodes: eight around the forearm, then four further down; three people have 11 and one has the first
        # eight (Cognolato et al. 2020).
        title="NinaPro DB10 (MeganePro 1): 30 people and 15 amputees x 10 grasps, 12 channels @ 1926 Hz",
        citation="Cognolato et al., Gaze, visual, myoelectric, and inertial data of grasps for intelligent prosthetics, Sci Data 2020",
        doi="10.1038/s41597-020-0380-3",
        columns=(12, 11, 8),
        rate_hz=1926.0,
        clock="ts",
        layout=TRIGNO,
        exercises=_other(range(1, 11), "grasp"),
        n_repetitions=4,
        protocol=KFoldRepetitions(4),
        homepage="https://doi.org/10.7910/DVN/1Z3IOM",
        pattern=r"S(?P<subject>\d+)_ex(?P<exercise>1)",
        example="S0{subject}0_ex{exercise}.mat",
        labels="grasp",
        repetitions="objectrepetition",
    ),
}

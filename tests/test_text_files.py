"""Text files of a user's own: every row in its column, every label as it is written, or an error with the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myograph.datasets.folder import Folder
from myograph.errors import ConfigError, DataError
from myograph.recording import run_starts

HEAD = 'files = "{subject}.csv"\nrate_hz = 200\nunit = "uV"\n'


def read(folder: Path, text: str, **files: str | bytes) -> list:
    for name, content in files.items():
        path = folder / f"{name}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "dataset.toml").write_text(text)
    return list(Folder(path=str(folder)).read(folder))


def labels(recording) -> list[str | None]:
    return [recording.label_names[i] if i >= 0 else None for i in recording.label]


NAMED = HEAD + 'channels = ["a", "b"]\nlabel = false\n'


@pytest.mark.parametrize(
    "content",
    [
        "a,b,c\n1,10,7\n2,20,7\n",
        "a,b,c\n1,10,7,\n2,20,7,\n",  # each row ends in a delimiter that the header lacks
        "a,b,c,\n1,10,7,\n2,20,7,\n",
        "a, b, c\r\n1, 10, 7\r\n2, 20, 7\r\n",
        "# logger 3\n% serial 17\na,b,c\n1,10,7\n2,20,7\n",
        "a,b,c\n1,10,7\n# paused here\n2,20,7\n",
        "# a,b,c\n1,10,7\n2,20,7\n",  # NumPy writes column names as a comment
        '"a","b","c"\n"1","10","7"\n"2","20","7"\n',
        "\n\na,b,c\n\n1,10,7\n\n2,20,7\n\n",
        "a,b,c\n1,10,fist\n2,20,fist",
        "a,b,c\n1,10,7\n2,20,7\n".encode("utf-16"),
        "a,b,c\n1,10,7\n2,20,7\n".encode("utf-16-le"),
        "\ufeffa,b,c\n1,10,7\n2,20,7\n".encode(),
        "a,b,°C\n1,10,7\n2,20,7\n".encode("latin-1"),
    ],
)
def test_every_cell_is_in_its_column(tmp_path: Path, content: str | bytes) -> None:
    (recording,) = read(tmp_path, NAMED, p=content)
    assert recording.signal.tolist() == [[1, 2], [10, 20]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,10,7\n2,20,8\n", r"line 1: 2 column names \(a, b\), but rows have 3 cells"),
        (
            "device 5\na,b,c\n1,10,7\n2,20,8\n",
            r"line 1: 1 column names \(device 5\), but rows have 3 .* set skip_rows",
        ),
        ("a,b,c\n1,10\n2,20,8\n3,30,9\n", "line 2: 2 cells, but the other rows have 3"),
        ("a,b,c\n1,10,7\n2,20,8,\n3,30,9\n", "line 3: 4 cells, but the other rows have 3"),
        ("a,b,c\n1,10,7\n2,20,8\n3,30\n", "line 4: 2 cells, but the other rows have 3; the file is truncated"),
        ("a,b,c\n1,10,7\n#2,20,8\n3,30,9\n", "line 3: this line starts with a comment character, but has as many"),
        ("a,b,c\n1,10,7\n2,2\x000,8\n", "zero bytes"),
        ("a,b,c\n", "holds no samples"),
        ("# nothing\n", "holds no rows"),
    ],
)
def test_rows_that_do_not_fit_are_named_by_their_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, NAMED, p=content)


@pytest.mark.parametrize("word", ["None", "null", "NA", "nan", "N/A", "NULL", "<NA>", "-", "n/a"])
def test_no_label_is_taken_for_a_blank(tmp_path: Path, word: str) -> None:
    text = HEAD + f'channels = ["a"]\nlabel = "g"\nrest = "{word}"\n[labels]\n"{word}" = "nothing"\nfist = "Fist"\n'
    (recording,) = read(tmp_path, text, p=f"a,g\n1,{word}\n2,{word}\n3,\n4,fist\n")
    assert labels(recording) == ["rest", "rest", None, "Fist"]


@pytest.mark.parametrize("header", ["time,1,2,label", ",0,1,2", "0,1,2,3", "1,2,3,4"])
def test_numbers_may_be_column_names(tmp_path: Path, header: str) -> None:
    rows = "".join(f"{i / 200},{i},{10 * i},{'fist' if i < 3 else 'open'}\n" for i in range(1, 5))
    (recording,) = read(tmp_path, HEAD + "channels = [2, 3]\nlabel = 4\n", p=f"{header}\n{rows}")
    assert recording.signal.tolist() == [[1, 2, 3, 4], [10, 20, 30, 40]]
    assert labels(recording) == ["fist", "fist", "open", "open"]


@pytest.mark.parametrize("first", ["1,2,3", "0,1,2", "7,fast,3"])
def test_a_first_row_that_may_be_either_is_asked_about(tmp_path: Path, first: str) -> None:
    rest = "4,slow,6\n4,slow,7\n" if "fast" in first else "4,5,6\n4,5,7\n"
    text = HEAD + "channels = [1, 3]\nlabel = false\n"
    with pytest.raises(ConfigError, match=r"line 1: it is unclear whether .* are samples or column names"):
        read(tmp_path, text, p=f"{first}\n{rest}")
    (samples,) = read(tmp_path, text + "header = false\n")
    (names,) = read(tmp_path, text + "header = true\n")
    assert (samples.n_samples, names.n_samples) == (3, 2)


@pytest.mark.parametrize(
    ("delimiter", "between"), [("; ", "; "), ("  ", "  "), ("||", "||"), ("\\t", "\t"), (" ", " ")]
)
def test_delimiters_of_any_length(tmp_path: Path, delimiter: str, between: str) -> None:
    rows = "\n".join(between.join(row) for row in (("1", "5", "x"), ("2", "6", "x"), ("3", "7", "y")))
    (recording,) = read(
        tmp_path, HEAD + f'channels = [1, 2]\nlabel = 3\ndelimiter = "{delimiter}"\nheader = false\n', p=rows
    )
    assert recording.signal.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert labels(recording) == ["x", "x", "y"]


def test_decimal_commas_also_in_labels(tmp_path: Path) -> None:
    text = HEAD + 'channels = [1]\nlabel = 2\ndelimiter = ";"\ndecimal = ","\n'
    (recording,) = read(tmp_path, text, p="1,5;1,0\n2,5;1\n-3,25;2,0\n")
    assert recording.signal.tolist() == [[1.5, 2.5, -3.25]]
    assert labels(recording) == ["1", "1", "2"]


@pytest.mark.parametrize("key", ['delimiter = ""', 'delimiter = "\\""', 'delimiter = ","\ndecimal = ","', "header = 1"])
def test_impossible_separators_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"delimiter|header"):
        read(tmp_path, HEAD + f"label = false\n{key}\n", p="1,2\n")


def test_one_value_however_it_is_written(tmp_path: Path) -> None:
    big = 2**63 - 1
    rows = f"who,g,r,a\n1,7,1,0\n1.0,07,1.0,0\n01,7.0,01,0\n{big},{big},2,0\n{big - 1},{big - 1},2,0\n"
    text = HEAD.replace("{subject}", "*") + 'channels = ["a"]\nsubject = "who"\nlabel = "g"\nrepetition = "r"\n'
    recordings = read(tmp_path, text, p=rows)
    assert [r.subject for r in recordings] == ["1", str(big - 1), str(big)]
    assert labels(recordings[0]) == ["7"] * 3
    assert recordings[0].repetition.tolist() == [1, 1, 1]
    assert labels(recordings[2]) == [str(big)]


def test_a_blank_subject_is_an_error(tmp_path: Path) -> None:
    text = HEAD.replace("{subject}", "*") + 'channels = ["a"]\nsubject = "who"\nlabel = false\n'
    with pytest.raises(DataError, match="subject is blank in sample 2 of column 'who'"):
        read(tmp_path, text, p="who,a\nNA,1\n,2\n")
    assert [r.subject for r in read(tmp_path, text, p="who,a\nNA,1\nNA,2\n")] == ["NA"]


def test_labels_have_the_same_numbers_in_every_file_and_runs_are_counted_by_label(tmp_path: Path) -> None:
    files = {f"f{g}": "a,g\n" + "".join(f"1,{label}\n" for label in (0, g, g, 0, g)) for g in (3, 1, 2)}
    text = HEAD.replace("{subject}", "*") + 'channels = ["a"]\nlabel = "g"\nrest = 0\n'
    recordings = read(tmp_path, text, **files)
    assert {r.label_names for r in recordings} == {("rest", "1", "2", "3")}
    found: dict[str, list[int]] = {}
    for r in recordings:
        for start in run_starts(r.label):
            found.setdefault(labels(r)[start], []).append(int(r.repetition[start]))
    assert found == {"rest": [1, 2, 3, 4, 5, 6], "1": [1, 2], "2": [1, 2], "3": [1, 2]}
    # A person who is read alone has the same numbers.
    (tmp_path / "dataset.toml").write_text(HEAD + 'channels = ["a"]\nlabel = "g"\nrest = 0\n')
    (alone,) = Folder(path=str(tmp_path)).read(tmp_path, ["f2"])
    assert alone.label_names == ("rest", "1", "2", "3")


def test_rest_without_repetitions_takes_those_of_the_movements(tmp_path: Path) -> None:
    text = HEAD + 'channels = ["a"]\nlabel = "g"\nrepetition = "r"\nrest = 0\n'
    expected = [1, 1, 1, 1, 2, 2]
    for zero in ("0", ""):
        rows = "a,g,r\n" + "".join(f"1,{g},{r}\n" for g, r in ((0, zero), (1, 1), (0, zero), (2, 1), (1, 2), (0, zero)))
        (recording,) = read(tmp_path, text, p=rows)
        assert recording.repetition.tolist() == expected
    rows = "a,g,r\n" + "".join(f"1,{g},{r}\n" for g, r in ((0, 3), (1, 0), (0, 4)))
    (recording,) = read(tmp_path, text, p=rows)
    assert recording.repetition.tolist() == [3, 0, 4]  # numbers that count from 0 are left as they are
    with pytest.raises(DataError, match="1 samples have a label but no repetition, the first is sample 2"):
        read(tmp_path, text, p="a,g,r\n1,1,1\n1,1,\n")


def test_times_that_contradict_the_rate_and_gaps_are_found(tmp_path: Path) -> None:
    def log(step: float, gap: float = 0.0, unit: float = 1.0) -> str:
        return "time,a,g\n" + "".join(f"{unit * (i * step + gap * (i >= 150)):.3f},1,x\n" for i in range(300))

    text = HEAD + 'channels = ["a"]\nlabel = "g"\n'
    dataset = Folder(path=str(tmp_path))

    def found(content: str) -> list[str]:
        read(tmp_path, text, p=content)
        return [f.what for f in dataset.examine(tmp_path, "p") if hasattr(f, "what")]

    assert found(log(0.005)) == []
    assert found(log(0.005, unit=1000)) == []
    assert found(log(0.001)) == ["column 'time' steps by 0.001 s (1000 Hz), rate_hz is 200"]
    assert found(log(0.005, gap=30)) == ["column 'time': samples 150 and 151 are 30 s apart"]
    (recording,) = read(tmp_path, text)
    assert recording.breaks == (150,)
    twice = log(0.005).replace("\n0.505,", "\n0.500,")
    assert found(twice) == ["column 'time': 1 samples have the same time as the sample before, the first is sample 102"]
    (recording,) = read(tmp_path, text + "time = false\n")
    assert recording.breaks == ()
    np.testing.assert_array_equal(recording.signal, np.ones((1, 300)))


def test_hidden_files_are_not_recordings(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in ("._p.csv", ".git/x.csv"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    assert [r.subject for r in read(tmp_path, NAMED, p="a,b\n1,2\n")] == ["p"]

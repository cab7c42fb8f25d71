"""`dataset.toml`: a short description of a user's own files, in which every key is checked."""

from __future__ import annotations

import difflib
import numbers
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import ConfigError, DataError

UNITS = {"uV": 1.0, "mV": 1e3, "V": 1e6, "adc": 1.0, "normalised": 1.0}
FACTS = ("subject", "session", "label", "repetition")
PRESET_NAMES = ("trigno_discover", "opensignals", "openbci", "myo")
ORIENTATIONS = ("time, channel", "channel, time")
# Allowed types of each key, and their description in errors. Types are exact, since a bool is an int in Python.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "files": ((str,), 'text such as "{subject}/{session}/g{label}_r{repetition}.csv"'),
    "preset": ((str,), f"one of {', '.join(PRESET_NAMES)}"),
    "rate_hz": ((int, float), "a number of samples per second"),
    "unit": ((str,), f"one of {', '.join(UNITS)}"),
    "scale": ((int, float), "a number"),
    "channels": ((list, str), 'column names or numbers from 1: ["emg1", "emg2"], [1, 2] or "1-8"'),
    "signal": ((str,), "the name of the variable that holds the samples"),
    "stream": ((str,), "the name or type of the stream that holds the samples (XDF)"),
    "orientation": ((str,), f"one of {', '.join(map(repr, ORIENTATIONS))}"),
    "subject": ((str, int), "the name or number of a column, or the name of a variable"),
    "session": ((str, int), "the name or number of a column, or the name of a variable"),
    "label": ((str, int, bool), "the name or number of a column, the name of a variable, or false for none"),
    "repetition": ((str, int), "the name or number of a column, or the name of a variable"),
    "labels": ((dict,), 'a table such as [labels] with lines 1 = "fist"'),
    "rest": ((str, int), "the label that means rest"),
    "delimiter": ((str,), "the text between two columns, without quotes and line ends"),
    "header": ((bool,), "true if the first row holds the column names, false if it holds samples"),
    "time": ((str, int, bool), "the name or number of the column with each sample's time, or false for none"),
    "decimal": ((str,), '"." or ","'),
    "skip_rows": ((int,), "a number of rows before the samples or their column names"),
    "ignore": ((list,), 'patterns of files to leave out: ["notes/*.csv"]'),
}
# Further conditions on values of the right type.
LIMITS: dict[str, Callable[[Any], bool]] = {
    "preset": lambda preset: preset in PRESET_NAMES,
    "rate_hz": lambda rate: rate > 0,
    "unit": lambda unit: unit in UNITS,
    "scale": lambda scale: scale != 0,
    "orientation": lambda orientation: orientation in ORIENTATIONS,
    "label": lambda column: column is not True,
    "labels": lambda labels: all(isinstance(name, str) for name in labels.values()),
    "delimiter": lambda text: text != "" and not set(text) & set('\n\r"'),
    "time": lambda column: column is not True,
    "decimal": lambda mark: mark in (".", ","),
    "skip_rows": lambda n: n >= 0,
}


@dataclass(frozen=True)
class Description:
    """The contents of `dataset.toml`. A fact (subject, session, label, repetition) is None if file names give it."""

    files: str
    preset: str | None = None
    rate_hz: float | None = None
    unit: str | None = None
    scale: float = 1.0
    channels: tuple[str | int, ...] | None = None
    signal: str | None = None
    stream: str | None = None
    orientation: str = ORIENTATIONS[0]
    subject: str | int | None = None
    session: str | int | None = None
    label: str | int | bool | None = None
    repetition: str | int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    rest: str | None = None
    time: str | int | bool | None = None
    delimiter: str | None = None
    header: bool | None = None
    decimal: str = "."
    skip_rows: int = 0
    ignore: tuple[str, ...] = ()

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a file's path below the folder; its groups are the facts that the path gives."""
        return _pattern(self.files)

    def ignores(self, path: str) -> bool:
        return any(_pattern(p).fullmatch(path) for p in self.ignore)


def word(value: Any) -> str:
    """Return a label or name as text: 3, 3.0, "3", "03" and "3.0" are equal; NaN and blank become "".

    >>> [word(v) for v in (3, 3.0, "03", "3.0", b"3", "S03", "1.5", float("nan"), None, 2**63 - 1)]
    ['3', '3', '3', '3', '3', 'S03', '1.5', '', '', '9223372036854775807']
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        text = value.strip()
        whole = re.fullmatch(r"([+-]?\d+)(?:\.0*)?", text)
        return str(int(whole[1])) if whole else text
    if isinstance(value, (numbers.Integral, np.bool_)):  # a float would lose digits of 64-bit numbers
        return str(int(value))
    number = float(value)
    if number != number:
        return ""
    return str(int(number)) if number.is_integer() else str(number)


def describe(path: Path) -> Description:
    """Read and check a description.

    Raises
    ------
    DataError : the file does not exist.
    ConfigError : the file is not TOML, or a key is unknown, missing, of the wrong type or contradicts another.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}; write one (docs/your-own-data.md has examples), or let `myograph inspect --write "
            f"{path.parent}` propose one from the files"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}; save it as UTF-8") from error
    return parsed(text, path)


def parsed(text: str, path: Path) -> Description:
    """Return the description in a TOML text; `path` is used in error messages.

    >>> parsed('files = "{subject}_{label}.csv"', Path("dataset.toml")).pattern.fullmatch("anna_fist.csv").groupdict()
    {'subject': 'anna', 'label': 'fist'}
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports]
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not TOML: {error}; text goes in quotes, a key and its value on one line"
        ) from error
    for key, value in given.items():
        _check(path, key, value)
    if "files" not in given:
        raise ConfigError(
            f"{path} lacks 'files', {KINDS['files'][1]}; it says which files to read and how to interpret their names"
        )
    known = {f.name for f in fields(Description)}
    values = {k: v for k, v in given.items() if k in known}
    values["channels"] = _channels(path, given.get("channels"))
    values["ignore"] = tuple(given.get("ignore", ()))
    values["labels"] = {word(k): v for k, v in given.get("labels", {}).items()}
    values["rest"] = word(given["rest"]) if "rest" in given else None
    if values.get("preset") == "myo":
        values.setdefault("unit", "adc")  # the scale of the armband's counts is not known
    description = Description(**values)
    _agree(path, description)
    return description


def _check(path: Path, key: str, value: Any) -> None:
    if key not in KINDS:
        near = difflib.get_close_matches(key, KINDS, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ConfigError(f"{path}: unknown key {key!r}.{hint} Known: {', '.join(KINDS)}")
    types, expected = KINDS[key]
    if type(value) not in types or (key in LIMITS and not LIMITS[key](value)):
        raise ConfigError(f"{path}: {key} must be {expected}, got {value!r}")


def _channels(path: Path, given: list[Any] | str | None) -> tuple[str | int, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        span = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", given)
        given = list(range(int(span[1]), int(span[2]) + 1)) if span else [given]
    if not given or any(type(c) not in (str, int) or c == 0 for c in given) or len(set(given)) != len(given):
        raise ConfigError(f"{path}: channels must be {KINDS['channels'][1]}, each once, got {given!r}")
    return tuple(given)


def _agree(path: Path, description: Description) -> None:
    named = set(re.findall(r"{([^{}/]*)}", description.files))
    odd = named - set(FACTS)
    if odd:
        raise ConfigError(
            f"{path}: files has {{{min(odd)}}}, but file names can only give {', '.join(f'{{{f}}}' for f in FACTS)}; "
            "use * for a part without a meaning"
        )
    for fact in FACTS:
        if fact in named and getattr(description, fact) is not None:
            raise ConfigError(
                f"{path}: {fact} is given twice, by {{{fact}}} in files and by {fact} = …; remove one of them"
            )
    if description.delimiter == description.decimal:
        raise ConfigError(f"{path}: delimiter and decimal are both {description.decimal!r}; they must differ")
    if "label" not in named and description.label is None:
        raise ConfigError(
            f"{path} does not say where labels are: put {{label}} into files, or label = with the name of a column or "
            "variable, or label = false if there are none"
        )
    if description.rest is not None and description.labels and description.rest not in description.labels:
        raise ConfigError(
            f"{path}: rest is {description.rest!r}, which is not one of the [labels] {', '.join(description.labels)}"
        )
    names = [v for k, v in description.labels.items() if k != description.rest]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path}: [labels] gives one name to two labels: {', '.join(names)}; name each differently")


def _pattern(text: str) -> re.Pattern[str]:
    parts, seen = [], set()
    for piece in re.split(r"({\w*}|\*)", text):
        fact = piece[1:-1] if re.fullmatch(r"{\w*}", piece) else None
        if piece == "*":
            parts.append("[^/]*")
        elif fact is None:
            parts.append(re.escape(piece))
        elif fact in seen:
            parts.append(f"(?P={fact})")
        else:
            seen.add(fact)
            parts.append(rf"(?P<{fact}>\d+)" if fact == "repetition" else f"(?P<{fact}>[^/]+?)")
    return re.compile("".join(parts))

"""Every error and warning of myograph: each says what was given, what was expected and what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class MyographError(Exception):
    """The root: `except MyographError` catches everything that a user can put right."""


class ShapeError(MyographError, ValueError):
    """An array has the wrong axes or lengths."""


class SignalError(MyographError, ValueError):
    """Samples that no method can use: NaN, infinite, or of an impossible rate or unit."""


class WindowError(MyographError, ValueError):
    """A windowing that does not fit the recordings."""


class ProtocolError(MyographError, ValueError):
    """A protocol asks for subjects, sessions or repetitions that the data do not have."""


class LeakageError(MyographError, ValueError):
    """Train and test share samples, a repetition, or what the protocol says they do not share."""


class LeakageWarning(UserWarning):
    """A method is asked about windows that share samples or a repetition with those that it was fitted on."""


class DataError(MyographError, ValueError):
    """A data set's files are missing, damaged or not in the expected layout."""


class DownloadError(MyographError, OSError):
    """A file could not be fetched, or what was received is not what was announced."""


class SourceError(MyographError, OSError):
    """A source of live samples does not answer, was lost, or sends something other than announced."""


class SourceEnded(MyographError, EOFError):
    """A source of live samples has come to its end, and all of them were read."""


class ConfigError(MyographError, ValueError):
    """A recipe, an option or a description file holds a value that does not fit."""


class ResultsError(MyographError, OSError):
    """A run folder cannot be written, is in use, or holds another run."""


class UnknownNameError(MyographError, KeyError):
    """A name that no registry knows."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class MissingExtraError(MyographError, ImportError):
    """An optional dependency is not installed."""


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a misspelt name: the nearest known ones first, then all."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return UnknownNameError(f"no {kind} named {given!r}.{hint} Known: {', '.join(names) or 'none'}.")


def need(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"this needs {module!r}: pip install 'myograph[{extra}]'") from error

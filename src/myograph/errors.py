"""All errors that myograph raises. Each message says what was given, what was expected and what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class MyographError(Exception):
    """Base class: `except MyographError` catches every error that a user can correct."""


class ShapeError(MyographError, ValueError):
    """An array has the wrong axes or lengths."""


class SignalError(MyographError, ValueError):
    """Samples are unusable: NaN or infinite values, or an impossible rate or unit."""


class WindowError(MyographError, ValueError):
    """A windowing does not fit the recordings."""


class ProtocolError(MyographError, ValueError):
    """A protocol needs subjects, sessions or repetitions that the data do not have."""


class LeakageError(MyographError, ValueError):
    """Train and test share samples, a repetition, or something else that the protocol separates."""


class LeakageWarning(UserWarning):
    """A method is applied to windows that share samples or a repetition with those on which it was fitted."""


class DataError(MyographError, ValueError):
    """A data set's files are missing, damaged or not in the expected layout."""


class DownloadError(MyographError, OSError):
    """A file could not be downloaded, or its content is not the expected one."""


class SourceError(MyographError, OSError):
    """A source of live samples does not respond, was lost, or sends other data than expected."""


class SourceEnded(MyographError, EOFError):
    """A source of live samples has ended, and all of its samples were read."""


class ConfigError(MyographError, ValueError):
    """A recipe, an option or a description file holds an invalid value."""


class ResultsError(MyographError, OSError):
    """A run folder cannot be written, is in use, or holds another run."""


class UnknownNameError(MyographError, KeyError):
    """A name is not registered."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class MissingExtraError(MyographError, ImportError):
    """An optional dependency is not installed."""


class NotAdaptedWarning(UserWarning):
    """A method was given unlabelled windows to adapt to, and changed nothing."""


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for an unknown name; its message lists the nearest known names, then all.

    >>> print(unknown_name("feature", "RSM", ["MAV", "RMS", "WL"]))
    no feature named 'RSM'. Did you mean 'RMS'? Known: MAV, RMS, WL.
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return UnknownNameError(f"no {kind} named {given!r}.{hint} Known: {', '.join(names) or 'none'}.")


def need(module: str, extra: str) -> ModuleType:
    """Import an optional dependency; MissingExtraError names the extra to install.

    >>> need("json", extra="formats").__name__
    'json'
    >>> need("no_such_package", extra="formats")
    Traceback (most recent call last):
    myograph.errors.MissingExtraError: this needs 'no_such_package': pip install 'myograph[formats]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"this needs {module!r}: pip install 'myograph[{extra}]'") from error

"""Shared by all readers: errors that name the file, and limits on the memory that a file may request."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from myograph.errors import DataError, MyographError

AGAIN = "copy or download it again"
OWN_AGAIN = "copy the file again, or leave it out with 'ignore'"
LARGEST_WITHOUT_LIMIT = 16 << 30  # bytes, if the size of the memory is unknown


@contextlib.contextmanager
def reading(path: Path, again: str = AGAIN) -> Iterator[None]:
    """Turn any error of a library about a file into a DataError that names the file.

    Raises
    ------
    DataError : the block raised an exception of another package, or ran out of memory. Errors of myograph pass
        unchanged.

    >>> with reading(Path("a.npy"), "copy it again"):
    ...     raise ValueError("bad header")
    Traceback (most recent call last):
    myograph.errors.DataError: a.npy is cut short or damaged: bad header; copy it again
    """
    try:
        yield
    except MyographError:
        raise
    except FileNotFoundError as error:
        if not path.exists():
            raise DataError(f"{path} is missing; {again}") from error
        raise DataError(
            f"{path} is cut short or damaged: a file that it needs is missing ({error}); {again}"
        ) from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory or is cut short or damaged; {again}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{path} is cut short or damaged: {reason}; {again}") from error


def check_size(n_bytes: int, path: Path, what: str, again: str = AGAIN) -> None:
    """Raise DataError if an array would not fit into half of the memory; such a shape means damage or an attack.

    >>> check_size(2**50, Path("a.mat"), "'emg'")
    Traceback (most recent call last):
    myograph.errors.DataError: a.mat is cut short or damaged: 'emg' would need 1048576 GiB of memory; copy or download it again
    """
    if n_bytes > memory_bytes() // 2:
        raise DataError(
            f"{path} is cut short or damaged: {what} would need {math.ceil(n_bytes / 2**30)} GiB of memory; {again}"
        )


def memory_bytes() -> int:
    """Return the physical memory of this machine in bytes, or a fixed number if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2 * LARGEST_WITHOUT_LIMIT

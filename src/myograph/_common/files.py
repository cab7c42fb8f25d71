"""Files that are never half written, JSON of plain values, and the lock of a run folder."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import ResultsError


def plain(value: Any) -> Any:
    """The same nest of values as JSON knows them: NaN and infinity become null, NumPy numbers Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, lambda to: Path(to).write_text(json.dumps(value, indent=1, allow_nan=False)))


def write_atomically(path: Path, write: Callable[[str], Any]) -> None:
    """Let `write(temporary path)` make a file, then move it to `path`: a failure leaves what was there before.

    Raises
    ------
    ResultsError : the folder is read-only, is no folder, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        try:
            write(temporary)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> ResultsError:
    why = {
        errno.ENOSPC: "the disk is full; free some space, then start the same command again: finished folds are kept",
        errno.EDQUOT: "the disk quota is used up; free some space, then start the same command again",
        errno.EROFS: "the file system is read-only; choose another folder with --out",
        errno.EACCES: "permission is denied; choose another folder with --out, or change its permissions",
        errno.EPERM: "permission is denied; choose another folder with --out, or change its permissions",
        errno.ENOTDIR: "part of that path is a file, not a folder; choose another folder with --out",
        errno.EEXIST: "part of that path is a file, not a folder; choose another folder with --out",
    }.get(error.errno or 0, f"{error.strerror or error}")
    return ResultsError(f"cannot write {path}: {why}")


@contextlib.contextmanager
def only_run_in(folder: Path, identity: str) -> Iterator[None]:
    """Hold a folder for one run: another run's results in it, or another process at work in it, is an error."""
    mark = folder / "identity"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        if not _hold(handle):
            holder = os.read(handle, 20).decode("ascii", "replace").strip() or "?"
            raise ResultsError(
                f"process {holder} is running in {folder} right now; wait for it, or choose another folder with --out"
            )
        with contextlib.suppress(OSError):  # only for the message above
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        if mark.is_file() and mark.read_text().strip() != identity:
            # Of a hash its beginning is enough, words are needed whole.
            other, this = (t if " " in t else t[:12] for t in (mark.read_text().strip(), identity))
            raise ResultsError(
                f"{folder} holds another run (identity {other!r}, this one is {this!r}); choose another folder with --out, "
                "or delete that one"
            )
        write_atomically(mark, lambda path: Path(path).write_text(identity + "\n"))
        yield
    finally:
        os.close(handle)  # lets go of it; the file stays, for another process may have it open already


def _hold(handle: int) -> bool:
    """Lock an open file until it is closed; False where another has it. The system lets go of a killed process's locks,
    so none is ever left behind, whatever number the next process gets."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # some network file systems have no locks
    return True

"""Writing of files: atomic writes, JSON of plain values, and the lock of a run folder.

Every file and folder is written with `written_beside`: first under a temporary name in the same folder, then moved to
its final name. A killed process leaves the temporary file, which `only_run_in` removes at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import ResultsError

TEMPORARY = ".writing-"
_PID_BYTES = 20
_LOCKED_BYTE = 1 << 20  # Windows locks bytes, not files: one after the process number, which others must read


def plain(value: Any) -> Any:
    """Return nested values in a form for JSON: NaN and infinity become None, NumPy numbers Python numbers, paths text.

    >>> plain({"mean": np.float32(0.5), "std": float("nan"), 3: (1, 2)})
    {'mean': 0.5, 'std': None, '3': [1, 2]}
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if value is None or kind is str or kind is int or kind is bool:
        return value
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


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder as `path`, for a file or a folder, which is moved to `path` at the end.

    If the block raises, the temporary file is removed and `path` is not changed. A file replaces an existing file; a
    folder does not replace a folder that is not empty.

    Raises
    ------
    OSError : the operating system's own error, from the block or from the move.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with written_beside(place) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> place.read_text(), [p.name for p in place.parent.iterdir()]
    ('whole', ['notes.txt'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{path.name[-60:]}")  # names have a maximum length
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        remove(temporary)


def write_atomically(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Call `write(temporary path)`, then move the file to `path`; after a failure `path` is not changed.

    Raises
    ------
    ResultsError : the folder is read-only or not a folder, or the disk is full; the message says what to do.
    """
    try:
        with written_beside(path) as temporary:
            write(temporary)
    except OSError as error:
        raise cannot_write(Path(path), error) from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; errors as in `write_atomically`."""
    write_atomically(path, lambda to: to.write_bytes(content))


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically; errors as in `write_atomically`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write plain values (see `plain`) as JSON; errors as in `write_atomically`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False))


def remove(path: Path) -> None:
    """Remove a file, or a folder and its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_temporary(folder: Path, older_than_s: float = 0.0) -> None:
    """Remove the temporary files that killed processes left in a folder or in its direct subfolders.

    older_than_s : keep files changed within this many seconds, because another process may be writing them; 0 for a
        folder that is locked.
    """
    for pattern in (f"{TEMPORARY}*", f"*/{TEMPORARY}*"):
        with contextlib.suppress(OSError):  # another process may move the folder while it is listed
            for left in list(folder.glob(pattern)):
                with contextlib.suppress(OSError):  # cleaning up is optional
                    if time.time() - left.stat().st_mtime >= older_than_s:
                        remove(left)


def cannot_write(path: Path, error: OSError) -> ResultsError:
    """Return the error for a file that could not be written, with advice that depends on the cause."""
    elsewhere = "choose another folder with --out"
    why = {
        errno.ENOSPC: "the disk is full; free some space, then repeat the command: finished folds are kept",
        errno.EDQUOT: "the disk quota is used up; free some space, then repeat the command",
        errno.EROFS: f"the file system is read-only; {elsewhere}",
        errno.EACCES: f"permission is denied; {elsewhere}, or change its permissions",
        errno.EPERM: f"permission is denied; {elsewhere}, or change its permissions",
        errno.ENOTDIR: f"part of that path is a file, not a folder; {elsewhere}",
        errno.EEXIST: f"part of that path is a file, not a folder; {elsewhere}",
    }.get(error.errno or 0, f"{error.strerror or error}")
    return ResultsError(f"cannot write {path}: {why}")


@contextlib.contextmanager
def only_run_in(folder: Path, identity: str) -> Iterator[None]:
    """Lock a folder for one run, and remove the temporary files of killed runs.

    The operating system releases the lock when the process dies, so a stale lock cannot remain.

    Raises
    ------
    ResultsError : the folder holds the results of another run, is used by another process, or cannot be written.
    """
    mark = folder / "identity"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        if not hold(handle):
            holder = os.read(handle, _PID_BYTES).decode("ascii", "replace").strip() or "?"
            raise ResultsError(
                f"process {holder} is running in {folder} right now; wait for it, or choose another folder with --out"
            )
        with contextlib.suppress(OSError):  # needed only for the message above
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        there = read_identity(folder)
        if there is not None and there != identity:
            # The beginning of a hash is sufficient; words are shown completely.
            other, this = (text if " " in text else text[:12] for text in (there, identity))
            raise ResultsError(
                f"{folder} holds another run (identity {other!r}, this one is {this!r}); choose another folder with "
                "--out, or delete that one"
            )
        remove_temporary(folder)
        write_text(mark, identity + "\n")
        yield
    finally:
        os.close(handle)  # releases the lock; the file is kept, because another process may have opened it


def read_identity(folder: Path) -> str | None:
    """Return the identity of the run to which a folder belongs, or None."""
    try:
        return (folder / "identity").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return None


def hold(handle: int) -> bool:
    """Lock an open file until it is closed or the process dies; return False if another process has locked it."""
    try:
        import fcntl
    except ImportError:
        return _hold_on_windows(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # some network file systems have no locks
    return True


def _hold_on_windows(handle: int) -> bool:
    import msvcrt

    os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # exists on Windows alone
    except OSError:
        return False
    finally:
        os.lseek(handle, 0, os.SEEK_SET)
    return True

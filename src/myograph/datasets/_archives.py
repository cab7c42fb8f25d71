"""Archives of data sets: unpacked completely or not at all, only into their own folder, and with a size limit."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from myograph._common.files import remove_temporary, written_beside
from myograph.errors import DataError, MyographError

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
ARCHIVES = (".zip", *TAR_ENDINGS)
CHUNK = 1 << 20
A_DAY_S = 86_400.0  # a temporary folder of this age was left by a killed process
# Recordings are compressed 2 to 10 times; an archive that expands a thousandfold is meant to fill the disk.
MOST_RATIO = 100
RATIO_FROM = 1 << 30  # bytes, below which a large ratio is harmless
TAR_BLOCK = 512


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def unpack_once(archives: Sequence[Path], home: Path) -> Path:
    """Unpack archives into `<home>/<key>/<archive's name>-<its hash>/` unless that was done before; return
    `<home>/<key>`.

    An archive is hashed again only when its size or modification time has changed.

    Raises
    ------
    DataError : an archive is damaged or hostile, or there is not enough space to unpack it.
    """
    key = hashlib.sha256(str(archives[0].parent.resolve()).encode()).hexdigest()[:12]
    root = home / key
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot unpack {archives[0]} into {root}: {error}; set MYOGRAPH_CACHE to a writable folder"
        ) from error
    keep = set()
    for archive in archives:
        place = root / f"{_stem(archive.name)}-{_remembered_hash(archive, root)[:12]}"
        keep.add(place.name)
        if not place.is_dir():
            _unpack_whole(archive, place)
    for old in root.iterdir():
        # Files of an earlier version of an archive must not be read together with those of the new one.
        if old.is_dir() and old.name not in keep and not old.name.startswith("."):
            shutil.rmtree(old, ignore_errors=True)
    return root


def _remembered_hash(archive: Path, root: Path) -> str:
    note = root / f".{archive.name}.json"
    status = archive.stat()
    identity = {"path": str(archive), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(note.read_text())
        digest = kept.pop("sha256")
        if kept == identity:
            return digest
    digest = sha256(archive)
    with written_beside(note) as temporary:
        temporary.write_text(json.dumps({**identity, "sha256": digest}))
    return digest


def _unpack_whole(archive: Path, place: Path) -> None:
    remove_temporary(place.parent, older_than_s=A_DAY_S)
    try:
        with written_beside(place) as temporary:
            temporary.mkdir()
            budget = Budget.of(archive, place.parent)
            for inner in unpack(archive, temporary, budget):
                if inner.name.endswith(ARCHIVES):  # some publishers pack each subject, then all archives
                    unpack(inner, _free(inner.with_name(_stem(inner.name))), budget)
                    inner.unlink()
    except OSError as error:
        if place.is_dir():  # another process has already written the same files
            return
        raise DataError(
            f"{archive} cannot be unpacked into {place.parent}: {error}; free some space there or set MYOGRAPH_CACHE "
            "to another folder"
        ) from error


@dataclass
class Budget:
    """Number of bytes that may still be unpacked from one archive, including the archives inside it."""

    archive: Path
    left: int

    @classmethod
    def of(cls, archive: Path, folder: Path) -> Budget:
        """Return the budget that follows from the archive's size and the free disk space."""
        room = shutil.disk_usage(folder).free
        return cls(archive, min(max(RATIO_FROM, MOST_RATIO * archive.stat().st_size), room))

    def spend(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise DataError(
                f"{self.archive} ({self.archive.stat().st_size} bytes) would unpack to more than {MOST_RATIO} times its "
                "size, or to more than the free space of the disk; free some space, or unpack it by hand if you trust "
                "it"
            )


def unpack(archive: Path, folder: Path, budget: Budget | None = None) -> list[Path]:
    """Unpack the regular files of a zip or tar archive into `folder` and return their paths. Links are left out.

    Raises
    ------
    DataError : the archive is cut short or damaged, is larger than `budget` allows, holds two files of the same
        name, or a file whose path leads out of `folder`. Files written until then remain in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget.of(archive, folder) if budget is None else budget
    written: list[Path] = []
    try:
        with contextlib.closing(_members(archive)) as members:
            for name, source in members:
                target = folder / _safe(name, archive)
                if target.exists():
                    raise DataError(f"{archive} holds two files named {name!r}; get it from the publisher again")
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, open(target, "xb") as out:
                    while chunk := source.read(CHUNK):
                        budget.spend(len(chunk))
                        out.write(chunk)
                written.append(target)
    except (MyographError, OSError) as error:
        if isinstance(error, MyographError) or error.errno is not None:  # a full disk; gzip's own errors have no number
            raise
        raise _damaged(archive, error) from error
    except Exception as error:  # each compression library has its own exceptions
        raise _damaged(archive, error) from error
    return written


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(
        f"{archive} ({archive.stat().st_size} bytes) is cut short or damaged: {error or type(error).__name__}; delete it, "
        "then copy or download it again"
    )


def _stem(name: str) -> str:
    return next((name.removesuffix(e) for e in sorted(ARCHIVES, key=len, reverse=True) if name.endswith(e)), name)


def _free(folder: Path) -> Path:
    """Return the folder, or the first of "folder-2", "folder-3", ... that does not exist."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


class _Watched:
    """A sequentially read file that keeps its last bytes, because the tar module does not check the end of an archive."""

    def __init__(self, file: IO[bytes]):
        self.file, self.last = file, b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self.last = self.file.read(size)
        return self.last


def _members(archive: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    if archive.name.endswith(TAR_ENDINGS):
        with _decompressed(archive) as file:
            watched = _Watched(file)
            with tarfile.open(fileobj=cast(Any, watched), mode="r:") as tar:
                for member in tar:
                    source = tar.extractfile(member) if member.isreg() else None
                    if source is not None:
                        yield member.name, source
                # The module stops silently at a damaged header, or if the file ends between two members.
                if len(watched.last) != TAR_BLOCK or any(watched.last):
                    raise tarfile.ReadError("its end mark is missing")
                while rest := watched.read(CHUNK):  # read to the end, where the checksum is
                    if any(rest):
                        raise tarfile.ReadError("there are bytes after its end mark")
        return
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                yield info.filename, packed.open(info)


def _decompressed(archive: Path) -> IO[bytes]:
    with open(archive, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(archive))
    if start.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(archive))
    if start.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.open(archive))
    return open(archive, "rb")


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(
            f"{archive} holds a file named {name!r}, which leads out of its folder; it is not this data set's "
            "original archive, get it from the publisher"
        )
    return path

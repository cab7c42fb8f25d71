"""Fetching and unpacking a data set's files: resumed where it stopped, checked by hash, moved into place whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from myograph._common.files import remove_temporary, written_beside
from myograph.errors import DataError, DownloadError

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset, Progress, RemoteFile

ATTEMPTS = 3
TIMEOUT_S = 60.0
CHUNK = 1 << 20
A_DAY_S = 86_400.0  # a temporary folder this old was left by a process that was killed
PIECE = 1 << 14  # what an interruption loses at most
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
ARCHIVES = (".zip", *TAR_ENDINGS)


def fetch(
    dataset: str | Dataset,
    folder: Path | str | None = None,
    confirm: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download a data set's files, resuming what an earlier run left unfinished.

    Parameters
    ----------
    dataset : a name or a Dataset.
    folder : where to put them; by default its name in the data folder.
    confirm : called once with the licence and the citation before anything is downloaded; returning False stops.
    progress : called as progress(file name, bytes done, bytes in all, or 0 if unknown).

    Returns the folder. Archives stay packed there; `load` unpacks them into the cache.

    Raises
    ------
    DownloadError : the data set offers no direct download, was declined, or no source gave the expected file.
    """
    from myograph.datasets._places import data_folder
    from myograph.datasets.base import get

    dataset = get(dataset)
    folder = data_folder() / dataset.name if folder is None else Path(folder)
    if not dataset.files:
        where = f"get it from {dataset.homepage} and put it into {folder}" if dataset.needs_files else "it needs none"
        raise DownloadError(f"{dataset.name} has no files to download: {where}")
    wanted = [f for f in dataset.files if not _is_there(f, folder / f.name)]
    if wanted and confirm is not None:
        notice = (
            f"{dataset.title}\n{len(wanted)} files from {dataset.homepage}\n"
            f"Licence: {dataset.licence}\nCite: {dataset.citation} {dataset.doi}"
        )
        if confirm(notice) is False:
            raise DownloadError(f"{dataset.name}: nothing was downloaded, since its terms were not accepted")
    for file in wanted:
        retrieve(file, folder, progress)
    return folder


def retrieve(file: RemoteFile, folder: Path | str, progress: Progress | None = None) -> Path:
    """Download one file into `folder`, from the first of its sources that gives what is expected.

    Bytes that arrived before an interruption stay in `<name>.part` and are not asked for again.

    Raises DownloadError, with what each source answered.
    """
    import pooch

    folder = Path(folder)
    target = folder / file.name
    if _is_there(file, target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error}; set MYOGRAPH_DATA to a writable folder") from error
    pooch.get_logger().setLevel("WARNING")
    known = f"sha256:{file.sha256}" if file.sha256 else None
    answers = []
    for url in file.urls:
        downloader = _Resuming(file, target.with_name(target.name + ".part"), progress)
        try:
            # pooch keeps a file that is there whatever its hash, unless it knows one; ours was found wanting above.
            target.unlink(missing_ok=True)
            pooch.retrieve(url, known, fname=file.name, path=folder, downloader=downloader)
            return target
        except (OSError, ValueError) as error:
            answers.append(f"{url}: {error}")
    raise DownloadError(
        f"{file.name} could not be downloaded:\n  " + "\n  ".join(answers) + "\nRun it again to go on from what has "
        f"arrived; if it keeps failing, get the file by hand and put it into {folder}"
    )


class _Resuming:
    """A pooch downloader that asks only for the bytes that are not in the .part file yet."""

    def __init__(self, file: RemoteFile, part: Path, progress: Progress | None):
        self.file, self.part, self.progress = file, part, progress
        self.note = part.with_name(part.name + ".json")

    def __call__(self, url: str, output_file: str | Path, pooch: Any, check_only: bool = False) -> None:
        import requests

        for attempt in range(1, ATTEMPTS + 1):
            try:
                expected = self._append(url)
            except requests.HTTPError as error:
                raise DownloadError(str(error)) from error
            except requests.RequestException as error:
                expected, reason = None, str(error)
                done = False
            else:
                arrived = self.part.stat().st_size
                done, reason = expected is None or arrived >= expected, "the connection was closed early"
            if done:
                break
            if attempt == ATTEMPTS:
                have = self.part.stat().st_size if self.part.exists() else 0
                total = self.file.size_bytes or self._noted().get("total") or "an unknown number of"
                raise DownloadError(f"{have} of {total} bytes arrived in {ATTEMPTS} attempts ({reason})")
        self._verify()
        os.replace(self.part, output_file)
        self.note.unlink(missing_ok=True)

    def _append(self, url: str) -> int | None:
        """Ask once for what is missing; returns the whole length as the server states it."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        note = self._noted()
        headers = {"Accept-Encoding": "identity"}
        if have and note.get("url") == url and note.get("validator"):
            headers |= {"Range": f"bytes={have}-", "If-Range": note["validator"]}
        elif have and self.file.sha256:
            headers |= {"Range": f"bytes={have}-"}
        else:
            have = 0
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:
                # Nothing lies beyond what is here: either it is whole, or the hash will say that it is not.
                return have
            answer.raise_for_status()
            resumes = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == 206 and not resumes:
                raise DownloadError(f"the server answered with other bytes than asked for: {dict(answer.headers)}")
            have = have if resumes else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            tag = answer.headers.get("ETag", "")
            validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
            self.note.write_text(json.dumps({"url": url, "validator": validator, "total": total}))
            with open(self.part, "ab" if resumes else "wb") as out:
                for chunk in answer.iter_content(PIECE):
                    out.write(chunk)
                    have += len(chunk)
                    if self.progress:
                        self.progress(self.file.name, have, total or self.file.size_bytes or 0)
        return total

    def _noted(self) -> dict[str, Any]:
        try:
            return json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}

    def _verify(self) -> None:
        size, expected = self.part.stat().st_size, self.file.size_bytes
        problem = f"{size} bytes arrived, {expected} were expected" if expected and size != expected else None
        if problem is None and self.file.sha256:
            found = sha256(self.part)
            if found != self.file.sha256.lower():
                problem = f"{size} bytes with SHA-256 {found} arrived, {self.file.sha256} was expected"
        if problem:
            # Damaged bytes are not worth resuming.
            self.part.unlink()
            self.note.unlink(missing_ok=True)
            raise DownloadError(f"{problem}; the source is damaged or has changed")


def _is_there(file: RemoteFile, path: Path) -> bool:
    if not path.is_file():
        return False
    if file.size_bytes is not None and path.stat().st_size != file.size_bytes:
        return False
    return file.sha256 is None or sha256(path) == file.sha256.lower()


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def unpack_once(archives: Sequence[Path], home: Path) -> Path:
    """Unpack archives into `<home>/<key>/<archive's name>-<its hash>/` unless that was done; returns `<home>/<key>`.

    An archive is hashed again only when its size or modification time has changed.

    Raises DataError for a damaged archive, or one that cannot be written out.
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
        stem = next((archive.name.removesuffix(e) for e in ARCHIVES if archive.name.endswith(e)), archive.name)
        place = root / f"{stem}-{_remembered_hash(archive, root)[:12]}"
        keep.add(place.name)
        if not place.is_dir():
            _unpack_whole(archive, place)
    for old in root.iterdir():
        # What an earlier version of an archive held must not be read beside the new one.
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
            for inner in unpack(archive, temporary):
                if inner.name.endswith(ARCHIVES):  # some publishers pack each subject, then all of them
                    unpack(inner, inner.parent / inner.name.split(".")[0])
                    inner.unlink()
    except OSError as error:
        if place.is_dir():  # another process that was faster has put the same files there
            return
        raise DataError(
            f"{archive} cannot be unpacked into {place.parent}: {error}; free some space there or set MYOGRAPH_CACHE "
            "to another folder"
        ) from error


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack the regular files of a zip or tar archive into `folder`; returns their paths.

    Raises
    ------
    DataError : the archive is cut short or damaged, or a member's name would land outside `folder`.
    """
    written = []
    try:
        with contextlib.closing(_members(archive)) as members:
            for name, source in members:
                target = folder / _safe(name, archive)
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, CHUNK)
                written.append(target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{archive} ({archive.stat().st_size} bytes) is cut short or damaged: {error}; delete it, then copy or "
            "download it again"
        ) from error
    return written


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if archive.name.endswith(TAR_ENDINGS):
        with tarfile.open(archive) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is not None:
                    yield member.name, source
        return
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                yield info.filename, packed.open(info)


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(
            f"{archive} holds a file named {name!r}, which would land outside its folder; it is not this data set's "
            "own archive, get it from the publisher"
        )
    return path

"""Downloads of a data set's files: resumed after an interruption, checked by size and hash, and moved into place when
complete.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from myograph._common.files import written_beside
from myograph._common.progress import Progress
from myograph.datasets._archives import sha256
from myograph.errors import DownloadError

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset, RemoteFile

ATTEMPTS = 3
TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 10_000  # on average, after the first ten minutes
PATIENCE_S = 600.0
LONGEST_S = 86_400.0  # for a file of unknown size
REMEMBERED = ".hashes.json"
PIECE = 1 << 14  # bytes that an interruption loses at most


def fetch(
    dataset: str | Dataset,
    folder: Path | str | None = None,
    confirm: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download a data set's files, resuming unfinished downloads.

    Parameters
    ----------
    dataset : a name or a Dataset.
    folder : target folder; by default the data set's name in the data folder.
    confirm : called once with the licence and the citation before anything is downloaded; returning False stops.
    progress : called as progress(file name, bytes done, total bytes, or 0 if unknown).

    Returns
    -------
    The folder. Archives stay packed there; `load` unpacks them into the cache.

    Raises
    ------
    DownloadError : the data set offers no direct download, `confirm` declined, or no source gave the expected file.
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
        _remember(file, folder)
    return folder


def _remembered(folder: Path) -> dict[str, str]:
    """Return the SHA-256 that files without a published hash had when they were first fetched."""
    try:
        found = json.loads((folder / REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _remember(file: RemoteFile, folder: Path) -> None:
    """Store the hash of a file without a published hash; a later download with another hash is refused.

    Raises DownloadError if the file differs from the one that was fetched first.
    """
    if file.sha256 is not None:
        return
    known, found = _remembered(folder), sha256(folder / file.name)
    if known.setdefault(file.name, found) != found:
        (folder / file.name).unlink()
        raise DownloadError(
            f"{file.name} differs from the file that was fetched first (SHA-256 {found}, then {known[file.name]}); the "
            "source "
            f"has changed or is damaged. If it was updated, delete {folder / REMEMBERED} and fetch again"
        )
    with written_beside(folder / REMEMBERED) as temporary:
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")


def retrieve(file: RemoteFile, folder: Path | str, progress: Progress | None = None) -> Path:
    """Download one file into `folder` from the first source that returns the expected content.

    Bytes that arrived before an interruption stay in `<name>.part` and are not downloaded again.

    Raises
    ------
    DownloadError : no source returned the file; the message states the answer of each.
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
        # According to its type hints, pooch calls the first parameter fname, but it passes the URL by position.
        downloader = cast(Any, _Resuming(file, target.with_name(target.name + ".part"), progress))
        try:
            # Without a known hash, pooch keeps an existing file; here it was already found to be wrong.
            target.unlink(missing_ok=True)
            pooch.retrieve(url, known, fname=file.name, path=folder, downloader=downloader)
            return target
        except (OSError, ValueError) as error:
            answers.append(f"{url}: {error}")
    raise DownloadError(
        f"{file.name} could not be downloaded:\n  "
        + "\n  ".join(answers)
        + "\nRepeat the command to resume from what has "
        f"arrived; if it keeps failing, get the file by hand and put it into {folder}"
    )


class _Resuming:
    """A pooch downloader that requests only the bytes that are not yet in the .part file."""

    def __init__(self, file: RemoteFile, part: Path, progress: Progress | None):
        self.file, self.part, self.progress = file, part, progress
        self.note = part.with_name(part.name + ".json")
        size = file.size_bytes
        self.deadline = time.monotonic() + (PATIENCE_S + size / SLOWEST_BYTES_PER_S if size else LONGEST_S)

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
        """Request the missing bytes once; return the total length as the server states it."""
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
                # The server has no further bytes: either the file is complete, or its hash will be wrong.
                return have
            answer.raise_for_status()
            resumes = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == 206 and not resumes:
                raise DownloadError(f"the server answered with other bytes than requested: {dict(answer.headers)}")
            have = have if resumes else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            tag = answer.headers.get("ETag", "")
            validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
            self.note.write_text(json.dumps({"url": url, "validator": validator, "total": total}))
            most = self.file.size_bytes or total
            self._refuse_page(answer.headers.get("Content-Type", ""))
            with open(self.part, "ab" if resumes else "wb") as out:
                for chunk in answer.iter_content(PIECE):
                    out.write(chunk)
                    have += len(chunk)
                    if most and have > most:
                        out.close()
                        self.part.unlink()
                        raise DownloadError(f"more than the stated {most} bytes arrived; the source has changed")
                    if time.monotonic() > self.deadline:
                        raise DownloadError(
                            f"the download is too slow: {have} bytes arrived; repeat the command to resume"
                        )
                    if self.progress:
                        self.progress(self.file.name, have, total or self.file.size_bytes or 0)
        return total

    def _refuse_page(self, content_type: str) -> None:
        """Refuse a web page instead of a file, which sites send that require a login or an agreement first."""
        if content_type.split(";")[0].strip().lower() == "text/html" and not self.file.name.endswith((".html", ".htm")):
            raise DownloadError("the server sent a web page (a login or an agreement?); get the file with a browser")

    def _noted(self) -> dict[str, Any]:
        try:
            return json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}

    def _verify(self) -> None:
        size, expected = self.part.stat().st_size, self.file.size_bytes
        with open(self.part, "rb") as file:
            start = file.read(256).lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")) and not self.file.name.endswith((".html", ".htm")):
            self.part.unlink()
            raise DownloadError("the server sent a web page (a login or an agreement?); get the file with a browser")
        problem = f"{size} bytes arrived, expected {expected}" if expected and size != expected else None
        if problem is None and self.file.sha256:
            found = sha256(self.part)
            if found != self.file.sha256.lower():
                problem = f"{size} bytes with SHA-256 {found} arrived, expected {self.file.sha256}"
        if problem:
            # Damaged bytes are not resumed.
            self.part.unlink()
            self.note.unlink(missing_ok=True)
            raise DownloadError(f"{problem}; the source is damaged or has changed")


def _is_there(file: RemoteFile, path: Path) -> bool:
    if not path.is_file():
        return False
    if file.size_bytes is not None and path.stat().st_size != file.size_bytes:
        return False
    expected = file.sha256 or _remembered(path.parent).get(file.name)
    return expected is None or sha256(path) == expected.lower()

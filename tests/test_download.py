"""Downloads against a server on loopback that closes early, damages, forgets; archives that are not what they seem."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from myograph.datasets._archives import unpack, unpack_once
from myograph.datasets._download import PIECE, fetch, retrieve
from myograph.datasets.base import DATASETS, Dataset, RemoteFile
from myograph.datasets.load import load
from myograph.errors import DataError, DownloadError

BODY = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """`/good` serves BODY with ranges; other paths misbehave as they say. `asked` lists (path, Range header)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.body, self.tag = BODY, '"v1"'
        self.cuts = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def ranges(self, path: str) -> list[str | None]:
        return [r for p, r in self.asked if p == f"/{path}"]


def offset(header: str | None) -> int:
    match = re.fullmatch(r"bytes=(\d+)-", header or "")
    assert match, f"no range was asked for: {header}"
    return int(match[1])


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if self.path == "/missing":
            self.send_error(404, "Not Found")
            return
        body = b"x" * len(server.body) if self.path == "/damaged" else server.body
        first, status = 0, 200
        same = self.headers.get("If-Range") in (None, server.tag)
        if wanted and same and self.path != "/norange":
            first, status = offset(wanted), 206
            if first >= len(body):
                self.send_error(416)
                return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) - first))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if self.path != "/untagged":
            self.send_header("ETag", server.tag)
        self.end_headers()
        stop = len(body)
        if server.cuts > 0:
            server.cuts -= 1
            stop = first + (len(body) - first) // 2
        self.wfile.write(body[first:stop])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()


def test_a_file_arrives_whole_and_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    file = RemoteFile("a.bin", (server.url("good"),), SHA, len(BODY))
    said = []
    path = retrieve(file, tmp_path, progress=lambda *args: said.append(args))
    assert path.read_bytes() == BODY
    assert said[-1] == ("a.bin", len(BODY), len(BODY))
    retrieve(file, tmp_path)
    assert len(server.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_connection_closed_midway_is_resumed_with_range(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    assert retrieve(RemoteFile("a.bin", (server.url("good"),), SHA), tmp_path).read_bytes() == BODY
    first, second = server.ranges("good")
    assert first is None
    assert len(BODY) // 2 - PIECE < offset(second) <= len(BODY) // 2


def test_what_arrived_before_giving_up_is_kept_for_the_next_run(server: Server, tmp_path: Path) -> None:
    server.cuts = 3
    file = RemoteFile("a.bin", (server.url("good"),), SHA)
    with pytest.raises(DownloadError, match=r"of 300000 bytes arrived in 3 attempts") as caught:
        retrieve(file, tmp_path)
    arrived = (tmp_path / "a.bin.part").stat().st_size
    assert len(BODY) * 7 / 8 - 3 * PIECE < arrived <= len(BODY) * 7 / 8
    assert f"{arrived} of" in str(caught.value)
    assert "Repeat the command to resume" in str(caught.value)
    assert not (tmp_path / "a.bin").exists()
    assert retrieve(file, tmp_path).read_bytes() == BODY
    assert offset(server.ranges("good")[-1]) == arrived


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    assert retrieve(RemoteFile("a.bin", (server.url("norange"),), SHA), tmp_path).read_bytes() == BODY


def test_a_file_that_changed_since_the_interruption_is_not_patched_together(server: Server, tmp_path: Path) -> None:
    file = RemoteFile("a.bin", (server.url("good"),))
    server.cuts = 3
    with pytest.raises(DownloadError):
        retrieve(file, tmp_path)
    server.body, server.tag = BODY[::-1], '"v2"'
    assert retrieve(file, tmp_path).read_bytes() == BODY[::-1]


def test_without_hash_or_tag_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    assert retrieve(RemoteFile("a.bin", (server.url("untagged"),)), tmp_path).read_bytes() == BODY
    assert server.ranges("untagged") == [None, None]


def test_a_part_file_that_is_already_whole_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert retrieve(RemoteFile("a.bin", (server.url("good"),), SHA), tmp_path).read_bytes() == BODY


def test_damaged_bytes_are_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        retrieve(RemoteFile("a.bin", (server.url("damaged"),), SHA), tmp_path)
    message = str(caught.value)
    assert hashlib.sha256(b"x" * len(BODY)).hexdigest() in message
    assert f"expected {SHA}" in message
    assert "by hand" in message
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_length_is_said(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="more than the stated 7 bytes arrived"):
        retrieve(RemoteFile("a.bin", (server.url("good"),), None, 7), tmp_path)


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    urls = tuple(server.url(p) for p in ("missing", "damaged", "good"))
    assert retrieve(RemoteFile("a.bin", urls, SHA), tmp_path).read_bytes() == BODY
    assert [p for p, _ in server.asked] == ["/missing", "/damaged", "/good"]


def test_a_mirror_goes_on_where_the_first_source_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = 3
    urls = (server.url("good"), server.url("mirror"))
    assert retrieve(RemoteFile("a.bin", urls, SHA), tmp_path).read_bytes() == BODY
    assert offset(server.ranges("mirror")[0]) > len(BODY) * 3 / 4


def test_every_source_is_named_when_none_gives_the_file(server: Server, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/a.bin"
    with pytest.raises(DownloadError) as caught:
        retrieve(RemoteFile("a.bin", (server.url("missing"), nobody), SHA), tmp_path)
    assert "404" in str(caught.value)
    assert nobody in str(caught.value)


def test_an_old_file_of_another_hash_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"an earlier release")
    assert retrieve(RemoteFile("a.bin", (server.url("good"),), SHA), tmp_path).read_bytes() == BODY


@dataclass(frozen=True)
class Remote(Dataset):
    name = "remote"
    title = "A set for this test"
    licence = "CC BY 4.0"
    citation = "Somebody 2020"
    homepage = "https://example.org"


def test_the_licence_is_shown_once_before_the_first_download(server: Server, tmp_path: Path) -> None:
    class Here(Remote):
        files = (RemoteFile("a.zip", (server.url("good"),), SHA), RemoteFile("b.zip", (server.url("good"),), SHA))

    shown: list[str] = []
    with pytest.raises(DownloadError, match="not accepted"):
        fetch(Here(), tmp_path, confirm=lambda text: shown.append(text) or False)
    assert server.asked == []
    assert "CC BY 4.0" in shown[0]
    assert "Somebody 2020" in shown[0]
    assert fetch(Here(), tmp_path, confirm=lambda text: True) == tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip"]
    fetch(Here(), tmp_path, confirm=shown.append)
    assert len(shown) == 1


def test_a_data_set_without_files_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"get it from https://example\.org and put it into"):
        fetch(Remote(), tmp_path)


def make_zip(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def test_archives_unpack_to_what_was_packed(tmp_path: Path) -> None:
    files = {"top/a.txt": b"a" * 1000, "top/deep/b.bin": BODY}
    archive = make_zip(tmp_path / "x.zip", **files)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    for packed in (archive, tmp_path / "x.tar.gz"):
        out = tmp_path / f"out-{packed.name}"
        unpack(packed, out)
        assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_no_member_lands_outside_the_folder(tmp_path: Path, name: str) -> None:
    archive = make_zip(tmp_path / "x.zip", **{name: b"boo"})
    with pytest.raises(DataError, match="leads out of its folder"):
        unpack(archive, tmp_path / "in" / "here")
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_in_a_tar_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert unpack(tmp_path / "x.tar", tmp_path / "out") == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_an_archive_cut_short_is_said_and_leaves_nothing(tmp_path: Path, share: float) -> None:
    archive = make_zip(tmp_path / "x.zip", **{"a.bin": BODY, "b.bin": BODY[::-1]})
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(DataError, match=r"x\.zip .*cut short or damaged.*download it again"):
        unpack_once([archive], tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", **{"a.bin": BODY})
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        unpack_once([archive], tmp_path / "cache")


def test_unpacked_once_and_again_only_when_the_archive_changes(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "Participant1.zip", **{"a.txt": b"1"}).read_bytes()
    archive = make_zip(tmp_path / "x.zip", **{"top/Participant1.zip": inner})
    root = unpack_once([archive], tmp_path / "cache")
    (found,) = root.rglob("a.txt")
    assert found.parts[-3:] == ("top", "Participant1", "a.txt")
    before = found.stat().st_mtime_ns
    assert unpack_once([archive], tmp_path / "cache") == root
    assert found.stat().st_mtime_ns == before
    make_zip(archive, **{"top/b.txt": b"2"})
    assert [p.name for p in unpack_once([archive], tmp_path / "cache").rglob("*.txt")] == ["b.txt"]


def test_a_web_page_is_not_kept_as_a_data_file(server: Server, tmp_path: Path) -> None:
    server.body = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
    with pytest.raises(DownloadError, match="sent a web page"):
        retrieve(RemoteFile("a.bin", (server.url("good"),)), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".json")] == []


def test_a_download_has_an_end(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from myograph.datasets import _download

    monkeypatch.setattr(_download, "LONGEST_S", 0.0)
    with pytest.raises(DownloadError, match=r"the download is too slow: .* repeat the command to resume"):
        retrieve(RemoteFile("a.bin", (server.url("good"),)), tmp_path)


def test_without_a_published_hash_that_of_the_first_download_counts(server: Server, tmp_path: Path) -> None:
    class Unhashed(Remote):
        files = (RemoteFile("a.zip", (server.url("good"),)),)

    fetch(Unhashed(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hashes.json", "a.zip"]
    assert SHA in (tmp_path / ".hashes.json").read_text()
    fetch(Unhashed(), tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "a.zip").write_bytes(BODY[:-1] + b"x")  # damaged on the disk: fetched again
    fetch(Unhashed(), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    server.body, server.tag = BODY[::-1], '"v2"'
    (tmp_path / "a.zip").unlink()
    with pytest.raises(DownloadError, match="differs from the file that was fetched first"):
        fetch(Unhashed(), tmp_path)
    assert not (tmp_path / "a.zip").exists()
    (tmp_path / ".hashes.json").unlink()
    fetch(Unhashed(), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == BODY[::-1]


def test_capgmyo_is_read_out_of_one_zip_per_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DATASETS.create("capgmyo")
    assert [f.name for f in dataset.files] == [f"dba-s{n}.zip" for n in range(1, 19)]
    assert len({u for f in dataset.files for u in f.urls}) == 18
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    dataset.write_miniature(tmp_path / "made", np.random.default_rng(0))
    home = tmp_path / "data" / "capgmyo"
    home.mkdir(parents=True)
    (home / ".hashes.json").write_text("{}")
    for n in (1, 2):
        place = tmp_path / "made" / f"dba-preprocessed-{n:03d}"
        make_zip(home / f"dba-s{n}.zip", **{p.name: p.read_bytes() for p in place.iterdir()})
    recordings = load("capgmyo")
    assert [(r.subject, r.n_channels) for r in recordings] == [("1", 128), ("2", 128)]

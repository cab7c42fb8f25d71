"""Hostile and damaged files: nothing that they hold is imported, called, or read or written elsewhere."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from myograph import datasets
from myograph.datasets import _archives
from myograph.datasets._archives import unpack, unpack_once
from myograph.datasets.base import DATASETS
from myograph.datasets.folder import Folder
from myograph.errors import ConfigError, DataError, MyographError


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def hostile_npy(mark: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Bomb(mark)], object), allow_pickle=True)
    return out.getvalue()


def read(folder: Path, ending: str, extra: str = 'signal = "emg"\n') -> list:
    (folder / "dataset.toml").write_text(
        f'files = "s{{subject}}{ending}"\nrate_hz = 100\nunit = "uV"\nlabel = false\n{extra}'
    )
    return list(Folder(path=str(folder)).read(folder))


def test_the_bomb_works(tmp_path: Path) -> None:
    np.load(io.BytesIO(hostile_npy(tmp_path / "mark")), allow_pickle=True)
    assert (tmp_path / "mark").is_dir()


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_object_arrays_of_numpy_are_not_unpickled(tmp_path: Path, ending: str) -> None:
    raw = hostile_npy(tmp_path / "mark")
    if ending == ".npz":
        with zipfile.ZipFile(tmp_path / "s1.npz", "w") as packed:
            packed.writestr("emg.npy", raw)
    else:
        (tmp_path / "s1.npy").write_bytes(raw)
    with pytest.raises(DataError, match=r"s1\.np.: .* is of type object|s1\.np. .*is of type object"):
        read(tmp_path, ending, 'signal = "emg"\n' if ending == ".npz" else "")
    assert not (tmp_path / "mark").exists()


def test_a_pickle_named_npy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s1.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    with pytest.raises(DataError, match=r"s1\.npy is cut short or damaged"):
        read(tmp_path, ".npy", "")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "shape", ["(1000000000000, 8)", "(-5, 2)", "(3, 2)", "__import__('os').mkdir('mark')", "(" * 3000]
)
def test_headers_of_npy_that_lie_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.chdir(tmp_path)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "s1.npy").write_bytes(magic + header + bytes(16 * 8))
    with pytest.raises(DataError, match=r"s1\.npy is cut short or damaged"):
        read(tmp_path, ".npy", "")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("damage", ["pickle", "import", "field", "text"])
def test_the_decoded_copy_holds_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "s1.npy", np.arange(20.0).reshape(10, 2))
    (data / "dataset.toml").write_text('files = "s{subject}.npy"\nrate_hz = 100\nunit = "uV"\nlabel = false\n')
    (expected,) = datasets.load("folder", path=str(data))
    (index,) = (tmp_path / "cache").rglob("index.json")
    if damage == "pickle":
        (index.parent / "0.signal.npy").write_bytes(hostile_npy(tmp_path / "mark"))
    elif damage == "import":
        index.write_text(index.read_text().replace('"uV"', '{"$dataclass": "os:mkdir", "path": "mark"}'))
    elif damage == "field":
        index.write_text(index.read_text().replace('"unit"', '"__class__"'))
    else:
        index.write_text("[" * 100_000)
    with pytest.warns(RuntimeWarning, match="is damaged"):
        (again,) = datasets.load("folder", path=str(data))
    assert again.content_hash == expected.content_hash
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "kind", ["external link", "external storage", "virtual", "loop", "itself", "reference", "huge", "empty"]
)
@pytest.mark.parametrize("ending", [".h5", ".mat"])
def test_hdf5_files_read_nothing_but_themselves(tmp_path: Path, kind: str, ending: str) -> None:
    secret = np.full((64, 2), 7.0)
    (tmp_path / "secret.bin").write_bytes(secret.tobytes())
    with h5py.File(tmp_path / "secret.hdf5", "w") as file:
        file["emg"] = secret
    with h5py.File(tmp_path / f"s1{ending}", "w", userblock_size=512) as file:
        if kind == "external link":
            file["emg"] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "/emg")
        elif kind == "external storage":
            size = secret.nbytes
            file.create_dataset("emg", secret.shape, "f8", external=[(str(tmp_path / "secret.bin"), 0, size)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(secret.shape, "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.hdf5"), "emg", secret.shape)
            file.create_virtual_dataset("emg", layout)
        elif kind == "loop":
            file["emg"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/emg")
        elif kind == "itself":
            file["emg"] = file["/"]
        elif kind == "reference":
            file.create_group("g")
            file.create_dataset("emg", data=np.array([[file["g"].ref]], h5py.ref_dtype), dtype=h5py.ref_dtype)
        elif kind == "huge":
            file.create_dataset("emg", (2**40, 8), "f8", chunks=(1024, 8))
        else:
            file["emg"] = h5py.Empty("f8")
    if ending == ".mat":
        with open(tmp_path / "s1.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(DataError, match=rf"s1\{ending}"):
        read(tmp_path, ending)


def test_objects_of_matlab_are_not_read(tmp_path: Path) -> None:
    cells = np.empty((4, 1), object)
    for i in range(4):
        cells[i, 0] = np.array([[1.0]])
    savemat(tmp_path / "s1.mat", {"emg": cells, "lab": np.ones((4, 1))})
    with pytest.raises(DataError, match="holds an array of object"):
        read(tmp_path, ".mat")


@pytest.mark.parametrize(
    "line", ['"__class__" = "os"', 'files = {"$dataclass" = "os:mkdir"}', "label = [[[]]]", "x = " + "[" * 5000]
)
def test_a_description_names_no_code(tmp_path: Path, line: str) -> None:
    (tmp_path / "dataset.toml").write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"dataset\.toml"):
        list(Folder(path=str(tmp_path)).read(tmp_path))


@pytest.mark.parametrize("name", ["../secret.dat", "/etc/passwd", "..\\secret.dat", "http://host/x.dat"])
def test_a_wfdb_header_names_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "s1.hea").write_text(f"s1 1 100 20\n{name} 16 200/mV 16 0 0 0 0 emg\n")
    (tmp_path.parent / "secret.dat").write_bytes(bytes(40))
    with pytest.raises(DataError, match="names a file outside its folder"):
        read(tmp_path, ".hea", "")


def packed(path: Path, members: dict[str, bytes], link: tuple[str, str, bytes] | None = None) -> Path:
    mode = {"gz": "w:gz", "tgz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}.get(path.name.rsplit(".", 1)[-1], "w")
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link[0])
            info.linkname, info.type = link[1], link[2]
            tar.addfile(info)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_left_out(tmp_path: Path, kind: bytes) -> None:
    archive = packed(tmp_path / "a.tar", {"x.csv": b"1"}, ("link", "../../outside", kind))
    assert [p.name for p in unpack(archive, tmp_path / "to")] == ["x.csv"]
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["x.csv"]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_damaged_tars_are_refused_wherever_the_damage_is(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    members = {f"{i}.csv": rng.bytes(700) for i in range(4)}
    whole = packed(tmp_path / f"a{ending}", members).read_bytes()
    damaged = [whole[: int(len(whole) * share)] for share in (0.2, 0.5, 0.9)]
    if ending == ".tar":
        # Between two members, and after the last: a header of 512 bytes and two blocks of content each.
        damaged = [whole[: 3 * 512 * k] for k in (1, 2, 4)]
        damaged += [whole[: 3 * 512 + 10] + b"\xff" + whole[3 * 512 + 11 :]]
    else:
        for at in np.linspace(24, len(whole) - 2, 40).astype(int):  # behind the name in a gzip header
            damaged.append(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    for raw in damaged:
        archive = tmp_path / f"b{ending}"
        archive.write_bytes(raw)
        with pytest.raises(DataError, match=r"cut short or damaged"):
            unpack_once([archive], tmp_path / "home")
        assert list((tmp_path / "home").rglob("*.csv")) == []


def test_compressed_tars_cut_between_members_are_refused(tmp_path: Path) -> None:
    plain = packed(tmp_path / "a.tar", {f"{i}.csv": bytes(700) for i in range(4)}).read_bytes()[: 3 * 512 * 2]
    for name, raw in (("b.tgz", gzip.compress(plain)), ("b.tar.xz", lzma.compress(plain))):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match="its end mark is missing"):
            unpack(tmp_path / name, tmp_path / "to" / name)


def test_inner_archives_do_not_overwrite_each_other(tmp_path: Path) -> None:
    inner = {}
    for name in ("S1.zip", "S1.tar", "S1.v2.zip"):
        inner[f"all/{name}"] = packed(tmp_path / name, {"x.csv": name.encode()}).read_bytes()
    outer = tmp_path / "outer"
    outer.mkdir()
    root = unpack_once([packed(outer / "set.zip", inner)], tmp_path / "home")
    assert sorted(p.read_text() for p in root.rglob("x.csv")) == ["S1.tar", "S1.v2.zip", "S1.zip"]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x.csv", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("x.csv", "2")
    with pytest.raises(DataError, match=r"holds two files named 'x.csv'"):
        unpack(tmp_path / "a.zip", tmp_path / "to")


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
@pytest.mark.parametrize("nested", [False, True])
def test_archives_that_grow_without_end_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, nested: bool
) -> None:
    monkeypatch.setattr(_archives, "RATIO_FROM", 1 << 20)
    archive = packed(tmp_path / f"a{ending}", {"x.csv": bytes(30 << 20)})
    if nested:
        archive = packed(tmp_path / f"b{ending}", {f"a{ending}": archive.read_bytes()})
    with pytest.raises(DataError, match="would unpack to more than 100 times its size"):
        unpack_once([archive], tmp_path / "home")
    assert list((tmp_path / "home").rglob("*.csv")) == []


MINIATURES = {
    ".csv": lambda p: p.write_text("a,b\n" + "1.5,2.5\n" * 30),
    ".npy": lambda p: np.save(p, np.ones((30, 2))),
    ".npz": lambda p: np.savez(p, emg=np.ones((30, 2))),
    ".mat": lambda p: savemat(p, {"emg": np.ones((30, 2))}, do_compression=True),
    ".h5": lambda p: _hdf5(p),
}


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("emg", data=np.ones((30, 2)), compression="gzip", fletcher32=True)


@pytest.mark.parametrize("ending", MINIATURES)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_give_a_named_error_or_numbers(tmp_path: Path, ending: str) -> None:
    """Cut, flipped and swapped bytes: an error of this package that names the file, or a reading of the right shape."""
    path = tmp_path / f"s1{ending}"
    MINIATURES[ending](path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    mutants = [whole[: int(len(whole) * share)] for share in np.linspace(0, 0.99, 15)]
    for at in rng.integers(0, len(whole), 60):
        mutants.append(whole[:at] + bytes([whole[at] ^ (1 << int(rng.integers(8)))]) + whole[at + 1 :])
    for at in rng.integers(0, len(whole) - 16, 10):
        mutants.append(whole[:at] + whole[at + 8 : at + 16] + whole[at : at + 8] + whole[at + 16 :])
    extra = 'channels = ["a", "b"]\n' if ending == ".csv" else 'signal = "emg"\n'
    for raw in mutants:
        path.write_bytes(raw)
        try:
            (recording,) = read(tmp_path, ending, extra)
        except MyographError as error:
            assert "s1" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(recording.signal).all()


@pytest.mark.parametrize("name", ["longterm_myo", "electrode_shift"])
def test_a_file_cut_inside_its_last_number_is_noticed(tmp_path: Path, name: str) -> None:
    """Two digits less give a number all the same; the line end that every published file has is gone."""
    dataset = DATASETS.create(name)
    dataset.write_miniature(tmp_path, np.random.default_rng(0))
    subject = dataset.subjects(tmp_path)[0]
    victim = max((p for p in dataset.sources(tmp_path, subject) if p.suffix == ".csv"), key=lambda p: p.stat().st_size)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=rf"{victim.name}.*its last row has no line end"):
        list(dataset.read(tmp_path, [subject]))
    victim.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])  # cut at a row
    if name == "longterm_myo":  # of which every trial has the same length
        with pytest.raises(DataError, match=r"it has 99 samples, the others of this session 100"):
            list(dataset.read(tmp_path, [subject]))

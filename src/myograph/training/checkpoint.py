"""The file format of networks and checkpoints: safetensors, with all other values as JSON in its header; no pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from myograph.errors import DataError

FORMAT = "myograph-1"


def write(path: str | os.PathLike[str], kind: str, tensors: Mapping[str, torch.Tensor], values: Any) -> Path:
    """Write tensors and JSON values to a temporary file, then move it to `path`.

    Parameters
    ----------
    path : the file.
    kind : kind of the file, such as "network" or "checkpoint"; `read` requires the same kind.
    tensors : name to tensor of any shape and dtype.
    values : nested plain values; `values.encode` makes them from parameters.

    Raises
    ------
    ResultsError : the file cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> path = write(path, "network", {"bias": torch.zeros(2)}, {"epoch": 3})
    >>> tensors, values = read(path, "network")
    >>> tensors["bias"].tolist(), values
    ([0.0, 0.0], {'epoch': 3})
    """
    from safetensors.torch import save

    from myograph._common.files import write_atomically

    path = Path(path)
    flat = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    text = json.dumps(values)
    header = {"format": FORMAT, "kind": kind, "values": text, "sha256": digest(flat, kind, text)}

    def put(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(save(flat, header))
            file.flush()
            os.fsync(file.fileno())

    write_atomically(path, put)
    return path


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and values of a file that `write` wrote.

    Tensors need at most as much memory as the file is large, and nothing that the values name is imported or called.

    Raises
    ------
    DataError : the file does not exist, is damaged, is of another kind, or was not written by `write`.

    >>> read("missing.safetensors", "network")
    Traceback (most recent call last):
    myograph.errors.DataError: there is no file missing.safetensors; save one with save(path), or correct the path
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}; save one with save(path), or correct the path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
    except (SafetensorError, OSError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        raise DataError(
            f"{path} is not a readable safetensors file ({error}); it is damaged or of another format"
        ) from error
    if header.get("format") != FORMAT:
        raise DataError(f"{path} is a safetensors file that myograph did not write ({header.get('format')!r})")
    if header.get("kind") != kind:
        raise DataError(f"{path} holds a {header.get('kind')}, expected a {kind}")
    text = header.get("values", "")
    if digest(tensors, kind, text) != header.get("sha256"):
        raise DataError(f"{path} is damaged: its content does not match its SHA-256; restore it or train again")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the header of {path} is not JSON that myograph writes ({error})") from error
    if not isinstance(values, dict):
        raise DataError(f"the header of {path} holds a {type(values).__name__} instead of named values")
    return tensors, values


def digest(tensors: Mapping[str, torch.Tensor], kind: str, text: str) -> str:
    """Return the SHA-256 of the kind, the text, and each tensor's name, dtype, shape and bytes.

    >>> len(digest({"bias": torch.zeros(2)}, "network", "{}"))
    64
    """
    found = hashlib.sha256(f"{kind}\n{text}\n".encode())
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()

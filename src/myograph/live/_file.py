"""The file format of decoders: arrays as safetensors, all other values as JSON in the header, and a SHA-256 of both."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import write_atomically
from myograph.errors import DataError

FORMAT = "myograph-decoder"
VERSION = 1


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], values: Any) -> str:
    """Write the file and return its SHA-256; an existing file is replaced only when the new one is complete.

    Raises
    ------
    ResultsError : the file cannot be written.
    """
    from safetensors.numpy import save

    text = json.dumps(values, allow_nan=False)
    digest = _digest(arrays, text)
    content = save(dict(arrays), {"format": FORMAT, "version": str(VERSION), "values": text, "sha256": digest})

    def put(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    write_atomically(Path(path), put)
    return digest


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], Any, str]:
    """Return (arrays, values, SHA-256) of a file written by `write`.

    Raises
    ------
    DataError : the file does not exist, is not a decoder, is of a later version, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}; save one with decoder.save(path) or `myograph train`")
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise DataError(
                    f"{path} is a safetensors file, but not a decoder (its format is {header.get('format')!r})"
                )
            if header.get("version") != str(VERSION):
                raise DataError(
                    f"{path} has version {header.get('version')} of the decoder format, but this myograph reads "
                    "version "
                    f"{VERSION}; install the myograph that wrote it, or train the decoder again"
                )
            arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
        text, digest = header["values"], header["sha256"]
        if _digest(arrays, text) != digest:
            raise DataError(f"{path} is damaged: its content does not match its SHA-256; copy or train it again")
        return arrays, json.loads(text), digest
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as a decoder ({type(error).__name__}: {error})") from error


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()

"""Weights on disk: one safetensors file whose header holds, as JSON, everything else; never a pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from myograph.errors import ConfigError, DataError

FORMAT = "myograph-1"


def write(path: str | os.PathLike[str], kind: str, tensors: Mapping[str, torch.Tensor], values: Any) -> Path:
    """Write tensors and JSON values under `path`, by a temporary name that is then moved.

    Raises
    ------
    ResultsError : it cannot be written there.
    """
    from safetensors.torch import save

    from myograph._common.files import write_atomically

    path = Path(path)
    flat = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    text = json.dumps(values)
    header = {"format": FORMAT, "kind": kind, "values": text, "sha256": _digest(flat, kind, text)}

    def put(temporary: str) -> None:
        with open(temporary, "wb") as file:
            file.write(save(flat, header))
            file.flush()
            os.fsync(file.fileno())

    write_atomically(path, put)
    return path


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, torch.Tensor], Any]:
    """(tensors, values) of a file that `write` made.

    Raises
    ------
    DataError : no such file, not one of ours, of another kind, or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}; save one with save(path), or correct the path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  # safe_open is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is no readable safetensors file ({error}); it is damaged or something else") from error
    if header.get("format") != FORMAT:
        raise DataError(f"{path} is a safetensors file that myograph did not write ({header.get('format')!r})")
    if header["kind"] != kind:
        raise DataError(f"{path} holds a {header['kind']}, and a {kind} was asked for")
    if _digest(tensors, kind, header["values"]) != header["sha256"]:
        raise DataError(f"{path} is damaged: its content does not match its SHA-256; restore it or train again")
    return tensors, json.loads(header["values"])


def _digest(tensors: Mapping[str, torch.Tensor], kind: str, text: str) -> str:
    digest = hashlib.sha256(f"{kind}\n{text}\n".encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def encode(value: Any, name: str = "value") -> Any:
    """A parameter as JSON: plain values, tuples, dictionaries with any keys, dataclasses, and classes or functions by
    their import path.

    Raises
    ------
    ConfigError : something that another process could not make again, such as a lambda.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (os.PathLike, torch.device)):
        return str(value)
    if isinstance(value, (list, tuple)):
        items = [encode(v, name) for v in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, np.ndarray):
        return {"$array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, Mapping):
        return {"$pairs": [[encode(k, name), encode(v, name)] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name), name) for f in dataclasses.fields(value) if f.init}
        return {"$dataclass": _import_path(type(value), name), "fields": fields}
    if callable(value):
        return {"$import": _import_path(value, name)}
    raise ConfigError(
        f"{name}={value!r} ({type(value).__name__}) cannot be written as JSON; give a name, plain values, or "
        "an importable class or function"
    )


def decode(value: Any) -> Any:
    """The parameter that `encode` wrote.

    Raises
    ------
    DataError : a class or function that can no longer be imported.
    """
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(decode(value["$tuple"]))
    if "$array" in value:
        return np.array(value["$array"], dtype=value["dtype"])
    if "$pairs" in value:
        return {decode(k): decode(v) for k, v in value["$pairs"]}
    if "$dataclass" in value:
        return _import(value["$dataclass"])(**{k: decode(v) for k, v in value["fields"].items()})
    return _import(value["$import"])


def _import_path(thing: Any, name: str) -> str:
    module, qualname = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    path = f"{module}:{qualname}"
    try:
        found = module != "__main__" and _import(path) is thing
    except DataError:
        found = False
    if not found:
        raise ConfigError(
            f"{name}={thing!r} cannot be imported as {path}, so a saved file could not find it again; move it to the top "
            "level of a module of yours (no lambda, no local function, not __main__)"
        )
    return path


def _import(path: str) -> Any:
    module, _, qualname = path.partition(":")
    try:
        thing: Any = importlib.import_module(module)
        for part in qualname.split("."):
            thing = getattr(thing, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"the file names {path}, which cannot be imported here: {error}") from error
    return thing

"""Folders of original files and of decoded copies."""

from __future__ import annotations

import os
from pathlib import Path

from myograph.errors import MissingExtraError


def cache_folder() -> Path:
    """Return the folder of decoded and unpacked copies: $MYOGRAPH_CACHE, else the platform's cache folder."""
    given = os.environ.get("MYOGRAPH_CACHE")
    return Path(given).expanduser() if given else _user_cache()


def data_folder() -> Path:
    """Return the folder of data sets' original files: $MYOGRAPH_DATA, else `data` in the platform's cache folder."""
    given = os.environ.get("MYOGRAPH_DATA")
    return Path(given).expanduser() if given else _user_cache() / "data"


def _user_cache() -> Path:
    try:
        from platformdirs import user_cache_dir
    except ImportError as error:
        raise MissingExtraError(
            "this needs 'platformdirs': pip install platformdirs, or set MYOGRAPH_CACHE and MYOGRAPH_DATA"
        ) from error
    return Path(user_cache_dir("myograph", appauthor=False))

"""Registries: found by file, whoever asks first and from whatever thread."""

from __future__ import annotations

import sys
import threading

import pytest

from myograph._common.registry import Registry
from myograph.errors import UnknownNameError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write files of a package `things`; gives its registry."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> Registry:
        (tmp_path / "things").mkdir()
        (tmp_path / "things" / "__init__.py").write_text(
            "from myograph._common.registry import Registry\nTHINGS = Registry('thing', 'things')\n"
        )
        for name, text in files.items():
            (tmp_path / "things" / f"{name}.py").write_text(text)
        from things import THINGS

        return THINGS

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "things"]:
        del sys.modules[name]


def test_threads_that_ask_at_once_all_find_it(package):
    things = package(
        slow="import time\ntime.sleep(0.2)\nfrom things import THINGS\n@THINGS.register\ndef slow():\n    return 1\n"
    )
    found, barrier = [], threading.Barrier(4)

    def ask():
        barrier.wait()
        found.append(things.create("slow"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1, 1]


def test_a_file_that_cannot_be_imported_is_told_each_time(package):
    things = package(broken="import not_a_module_of_this_world\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="not_a_module_of_this_world"):
            things["broken"]


def test_a_file_may_ask_for_what_stands_before_it(package):
    things = package(
        a="from things import THINGS\nTHINGS.add('a', int)\n", b="from things import THINGS\nassert 'a' in THINGS\n"
    )
    assert list(things) == ["a"]
    with pytest.raises(UnknownNameError, match="no thing named 'b'"):
        things["b"]

"""Registries: found by file, whoever asks first and from whatever thread."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest

from myograph._common.registry import Registry, first_line, read_registrations
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


def of(package: str, variable: str, files: dict[str, str], folder) -> Registry:
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(
        f"from myograph._common.registry import Registry\n{variable} = Registry('thing', '{package}', '{variable}')\n"
    )
    for name, text in files.items():
        (folder / package / f"{name}.py").write_text(f"from {package} import {variable}\n{text}")
    return getattr(importlib.import_module(package), variable)


def test_names_are_read_from_the_source_and_modules_imported_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "light": '@THINGS.register\ndef light():\n    """A light thing.\n\n    More."""\n    return 1\n',
        "named": "@THINGS.register('other')\ndef f():\n    'Other.'\n    return 2\n",
        "classes": "@THINGS.register\nclass C:\n    'Classy.'\n    name: str = 'class'\n",
        "looped": "for n in ('x', 'y'):\n    THINGS.add(n, int)\n",
        "derived": "class B:\n    name = 'derived'\n@THINGS.register\nclass D(B):\n    'Another.'\n",
        "heavy": "raise ImportError('imported')\n@THINGS.register\ndef heavy():\n    'Heavy.'\n",
    }
    things = of("lazily", "THINGS", files, tmp_path)
    try:
        assert list(things) == ["class", "derived", "heavy", "light", "other", "x", "y"]
        assert things.summaries()["light"] == "A light thing."
        assert things.summaries()["derived"] == "Another."
        assert "heavy" in things
        assert len(things) == 7
        assert "lazily.light" not in sys.modules
        assert things.create("other") == 2
        assert "lazily.light" not in sys.modules
        with pytest.raises(ImportError, match="imported"):
            things["heavy"]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lazily"]:
            del sys.modules[name]


def test_a_function_that_takes_the_docstring_of_its_module_has_its_summary():
    text = "'The module.\\n\\nMore.'\n@THINGS.register\ndef f():\n    'Its own.'\n"
    assert read_registrations(text, "THINGS") == ({"f": "Its own."}, True)
    assert read_registrations(text + "f.__doc__ = __doc__\n", "THINGS") == ({"f": "The module."}, True)
    assert read_registrations(text + "g.__doc__ = __doc__\n", "THINGS") == ({"f": "Its own."}, True)


@pytest.mark.parametrize(
    "registry",
    [
        "datasets.base.DATASETS",
        "evaluation.registry.RECIPES",
        "evaluation.registry.REPRODUCTIONS",
        "models.MODELS",
        "methods.registry.METHODS",
    ],
)
def test_what_is_read_from_the_source_is_what_is_registered(registry):
    module, _, name = registry.rpartition(".")
    found = getattr(importlib.import_module(f"myograph.{module}"), name)
    read = set(found._index())
    found.load()
    assert {n for n, f in found._entries.items() if f.__class__.__name__ != "partial"} >= read
    assert set(found._entries) <= set(found)
    for known in read:
        assert found.summaries()[known] == first_line(found[known])

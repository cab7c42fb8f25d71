"""The examples in docstrings give what they say."""

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest

import myograph

PACKAGE = Path(myograph.__file__).parent
MODULES = sorted(
    ".".join(["myograph", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__main__"
)


class Finder(doctest.DocTestFinder):
    """Finds the examples of decorated functions too: their globals are those of the decorator's module."""

    def _from_module(self, module, object):
        return getattr(object, "__module__", None) == module.__name__ or super()._from_module(module, object)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    if ">>>" not in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8"):
        return
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    report = []
    for example in Finder().find(importlib.import_module(name), name):
        runner.run(example, out=report.append)
    assert runner.tries > 0, f"the examples of {name} are where no reader finds them"
    assert runner.failures == 0, "".join(report)


def test_a_wrong_example_of_a_decorated_function_is_found():
    module = importlib.import_module("myograph.features.moments")
    found = {example.name for example in Finder(exclude_empty=False).find(module, module.__name__)}
    assert "myograph.features.moments.mob" in found

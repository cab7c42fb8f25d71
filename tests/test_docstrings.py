"""The examples in docstrings give what they say, and everything public has one."""

import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import myograph

PACKAGE = Path(myograph.__file__).parent
MODULES = sorted(
    ".".join(["myograph", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__main__"
)
# Public names without an example, and why. A name stands for all names below it.
WITHOUT_EXAMPLE = {
    "myograph.cli": "commands are run by tests/test_cli.py, and docs/commands.md shows them",
    "myograph.evaluation.benchmark": "what workers run, with an example of `benchmark`: tests/test_suite_runs.py",
    "myograph.evaluation.engines": "they start processes: tests/test_suite_runs.py",
    "myograph.evaluation.info.read_info": "`Scores.load` shows it",
    "myograph.evaluation.info.write_info": "`Scores.save` shows it",
    "myograph.evaluation.report.compared": "whole pages: tests/test_comparison.py looks at them",
    "myograph.evaluation.report.decision_charts": "charts of live sessions: tests/test_cli_live.py looks at their page",
    "myograph.evaluation.report.live": "whole pages: tests/test_cli_live.py looks at them",
    "myograph.evaluation.report.page": "whole pages: tests/test_report.py looks at them",
    "myograph.evaluation.reproduction.Context.matrix": "tests/test_reproduction.py counts its windows",
    "myograph.evaluation.report.systems.bars_of": "tests/test_reproduction.py counts its bars",
    "myograph.evaluation.report.systems.dots_of": "tests/test_reproduction.py counts its dots",
    "myograph.evaluation.report.systems.lines_of": "tests/test_reproduction.py counts its lines",
    "myograph.evaluation.report.systems.page_of": "whole pages: tests/test_reproduction.py looks at them",
    "myograph.evaluation.report.systems.table": "tests/test_reproduction.py reads its lines",
    "myograph.evaluation.report.systems.write_docs": "whole pages: tests/test_reproduction.py looks at them",
    "myograph.evaluation.report.systems.write_page": "whole pages: tests/test_reproduction.py looks at them",
    "myograph.evaluation.report.suite": "whole pages: tests/test_suite.py looks at them",
    "myograph.evaluation.report.suite_charts": "charts of suites: tests/test_suite.py looks at them",
    "myograph.evaluation.reproduction.Context.curves": "it trains a network, as `watch` does",
    "myograph.evaluation.reproduction.Context.evaluate": "tests/test_reproduction.py evaluates recipes",
    "myograph.evaluation.reproduction.Context.progress": "a function that was given",
    "myograph.evaluation.reproduction.Context.remember": "tests/test_reproduction.py keeps values and files",
    "myograph.evaluation.reproduction.context_of": "tests/test_fin_steps.py works in its folder",
    "myograph.evaluation.reproduction.Context.watched": "it trains a network, as `watch` does",
    "myograph.evaluation.reproduction.load_result": "tests/test_reproduction.py loads results",
    "myograph.evaluation.reproduction.reproduce": "runs of minutes: tests/test_reproduction.py has small ones",
    "myograph.evaluation.reproduction.watch": "it trains a network: tests/test_reproductions_muscle.py runs it",
    "myograph.live.fitts": "docs/live.md shows a Fitts test",
    "myograph.live.log": "docs/live.md writes and reads a log",
    "myograph.live.prompts": "docs/live.md shows prompts",
    "myograph.live.publish": "docs/live.md sends decisions to another program",
    "myograph.live.session": "docs/live.md runs a session",
    "myograph.live.sources.brainflow": "it needs a device or BrainFlow's own simulator",
    "myograph.live.sources.lsl": "it needs a stream of the Lab Streaming Layer",
    "myograph.live.sources.simulated": "docs/live.md reads from it",
    "myograph.live.sources.udp": "it needs a device that sends packets: tests/test_live_sources.py plays one",
    "myograph.recipes": "published systems: `myograph recipes` and `myograph reproduce` run them",
    "myograph.training.distributed": "it needs the processes of `accelerate launch`",
    "myograph.training.graphed": "it needs a GPU",
}


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
        example.globs["__name__"] = "__main__"  # a reader types it there: its functions are the user's own
        runner.run(example, out=report.append)
    assert runner.tries > 0, f"the examples of {name} are where no reader finds them"
    assert runner.failures == 0, "".join(report)


def test_a_wrong_example_of_a_decorated_function_is_found():
    module = importlib.import_module("myograph.features.moments")
    found = {example.name for example in Finder(exclude_empty=False).find(module, module.__name__)}
    assert "myograph.features.moments.mob" in found


def example_of(thing) -> str:
    """The lines of code in the examples of a thing's own docstring."""
    lines = (
        (vars(thing).get("__doc__") or "").splitlines()
        if inspect.isclass(thing)
        else (thing.__doc__ or "").splitlines()
    )
    return "\n".join(line.strip() for line in lines if line.strip().startswith((">>>", "...")))


def methods_of(cls):
    """(name, function) of each public method and property that a class itself adds to those of its bases."""
    for name, member in vars(cls).items():
        if name.startswith("_") or any(hasattr(base, name) for base in cls.__mro__[1:]):
            continue
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or getattr(member, "func", member)
        if inspect.isfunction(function):
            yield name, function


def without_example(module) -> list[str]:
    """Public functions, classes and methods of a module without an example; one of the class may show its methods."""
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            shown = example_of(thing)
            found += [name] if not shown else []
            found += [
                f"{name}.{method}"
                for method, function in methods_of(thing)
                if not example_of(function) and not re.search(rf"[. ]{method}\b", shown)
            ]
        elif inspect.isroutine(thing) and not example_of(thing):
            found.append(name)
    return [f"{module.__name__}.{name}" for name in found]


def excused(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in WITHOUT_EXAMPLE)


@pytest.mark.parametrize("name", [m for m in MODULES if "._" not in m and not excused(m)])
def test_everything_public_has_an_example(name):
    missing = [found for found in without_example(importlib.import_module(name)) if not excused(found)]
    assert not missing, f"without a `>>>` example: {', '.join(missing)}; write one, or say in WITHOUT_EXAMPLE why not"


def test_a_missing_example_is_found(monkeypatch):
    module = importlib.import_module("myograph.protocols")
    assert without_example(module) == []
    monkeypatch.setattr(module.WithinSubject, "__doc__", "No example.")
    monkeypatch.setattr(module.table_of, "__doc__", "No example.")
    assert without_example(module) == ["myograph.protocols.WithinSubject", "myograph.protocols.table_of"]

"""Mutation testing of the spine: change one small thing in a module, and see whether the module's tests fail.

    python tests/mutants.py [--sample 240] [--only protocols] [--list]

Every mutant changes one operator, comparison, number, condition, call or return value. Annotations, docstrings,
decorators, error messages and `__repr__` are left alone. A seeded sample of the mutants is tried, in proportion to the
modules' sizes. Each mutant runs in a forked process that has imported the heavy libraries already, against those tests of
its module's files that run the changed statement, until the first failure or the time limit. A mutant that no test
notices is printed.

Existing tools start one interpreter per mutant, which costs more than most of these tests, and compile functions of
numba for each.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each module with the test files that must notice a change of it, the quickest first.
TESTS = {
    "recording": ["spine_recording", "recording", "breaks", "known_defects"],
    "windows": ["spine_windows", "spine_mutants", "windows"],
    "protocols": ["spine_protocols", "spine_mutants", "protocols"],
    "audit": ["spine_audit"],
    "_common/content": ["spine_content_steps", "spine_content"],
    "_common/seen": ["spine_seen"],
    "evaluation/folds": ["spine_folds", "blind", "kept"],
    "evaluation/apart": ["spine_lasting", "spine_apart", "attempts_methods", "spine_folds", "attempts_apart"],
    "evaluation/sealed": ["spine_apart", "attempts_methods"],
    "evaluation/filtering": ["spine_apart", "attempts_protocols"],
    "evaluation/telling": ["spine_apart"],
    "evaluation/prepared": ["spine_run"],
    "evaluation/identity": ["spine_identity", "attempts_identity", "identity"],
    "evaluation/run": ["spine_run", "question", "continuous", "kept", "evaluation"],
}
# Imported once for all mutants.
HEAVY = ["numpy", "pandas", "scipy.signal", "sklearn.ensemble", "numba", "pytest", "hypothesis", "joblib", "torch"]
UNCOMPILED = ("_common/content",)  # their loops run as plain Python, so that no mutant waits for a compiler
# A mutant may use this much processor time, plus so many times what the unchanged module's tests take. Processor time does
# not depend on what else runs on the machine; a mutant that only waits is ended after WAITS times as much time.
LIMIT_S, TIMES, WAITS = 30.0, 4.0, 6.0


@dataclass(frozen=True)
class Mutant:
    """A replacement of the source between two offsets."""

    line: int
    start: int
    stop: int
    old: str
    new: str
    statement: range  # the lines of the statement that it is part of, of a compound one those of its head

    def apply(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.stop :]

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"


COMPARE = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
BINARY = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "+", ast.Pow: "*",
    ast.BitAnd: "|", ast.BitOr: "&", ast.BitXor: "&", ast.LShift: ">>", ast.RShift: "<<",
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum",
    "argmax": "argmin", "floor": "ceil", "ceil": "floor",
}  # fmt: skip
TEXTS = {"left": "right", "right": "left"}


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module's source, in the order of the lines.

    >>> [str(m) for m in mutants_of("def f(a):\\n    return a + 1\\n")]
    ['line 2: return a + 1 -> return None', 'line 2: a + 1 -> (a - 1)', 'line 2: 1 -> 2']
    """
    lines = source.encode().split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def place(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        ends = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        first, last = (len(source.encode()[:end].decode()) for end in ends)
        return first, last

    def text(node: ast.AST) -> str:
        return ast.get_source_segment(source, node) or ""

    found, lines = [], range(0)
    for node in _code(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            lines = range(node.lineno, body[0].lineno if body else (node.end_lineno or node.lineno) + 1)
        start, stop = place(node)
        for new in _changes(node, text):
            mine = lines if node.lineno in lines else range(node.lineno, (node.end_lineno or node.lineno) + 1)
            found.append(Mutant(node.lineno, start, stop, source[start:stop], new, mine))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.start))


def _code(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes below that decide what a program does."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "msg") or isinstance(node, (ast.Raise, ast.JoinedStr)):
            continue
        for child in value if isinstance(value, list) else [value]:
            skipped = (
                isinstance(child, (ast.Import, ast.ImportFrom))
                or (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
                or (isinstance(child, ast.FunctionDef) and child.name in ("__repr__", "__str__"))
                or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
            )
            if isinstance(child, ast.AST) and not skipped:
                if isinstance(child, (ast.expr, ast.stmt)):
                    yield child
                yield from _code(child)


def _changes(node: ast.expr | ast.stmt, text) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield f"({text(node.left)} {COMPARE[type(node.ops[0])]} {text(node.comparators[0])})"
    elif isinstance(node, ast.Compare):  # a < b < c
        sides = [node.left, *node.comparators]
        parts = [f"{text(a)} {_sign(op)} {text(b)}" for a, op, b in zip(sides, node.ops, sides[1:])]
        for i, op in enumerate(node.ops):
            changed = [*parts[:i], f"{text(sides[i])} {COMPARE[type(op)]} {text(sides[i + 1])}", *parts[i + 1 :]]
            yield f"({' and '.join(changed)})"
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        yield f"({text(node.left)} {BINARY[type(node.op)]} {text(node.right)})"
    elif isinstance(node, ast.BoolOp):
        other = " or " if isinstance(node.op, ast.And) else " and "
        yield f"({other.join(f'({text(v)})' for v in node.values)})"
    elif isinstance(node, ast.UnaryOp):
        yield f"({text(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield str(node.value + 1)
    elif isinstance(node, ast.Constant) and node.value in TEXTS:
        yield repr(TEXTS[str(node.value)])
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in NAMES:
            whole, called = text(node), text(node.func)
            yield called[: -len(name)] + NAMES[name] + whole[len(called) :]
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        pass  # their conditions are expressions
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return None"
    elif isinstance(node, (ast.Raise, ast.Expr)):
        yield "pass"
    elif isinstance(node, ast.AugAssign) and type(node.op) in BINARY:
        yield f"{text(node.target)} {BINARY[type(node.op)]}= {text(node.value)}"
    elif isinstance(node, ast.Break):
        yield "continue"
    elif isinstance(node, ast.Continue):
        yield "break"


def _sign(op: ast.cmpop) -> str:
    signs = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
    return {**signs, ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not"}[type(op)]


class Finder(importlib.abc.MetaPathFinder):
    """Imports one module from another file."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path

    def find_spec(self, fullname, path=None, target=None):
        return importlib.util.spec_from_file_location(fullname, self.path) if fullname == self.name else None


class Coverage:
    """A pytest plugin: which tests run which lines of one file, and how long each test takes.

    Lines that run while fixtures are made count for every test of the file; those that run while files are imported, such as
    the values of constants, for every test.
    """

    def __init__(self, path: Path):
        self.path, self.lines, self.seconds = str(path), set(), {}
        self.tests_of: dict[int, set[str]] = {}
        self.shared: dict[int, set[str]] = {}
        self.imported: set[int] = set()

    def trace(self, frame, event, argument):
        if frame.f_code.co_filename != self.path:
            return None
        self.lines.add(frame.f_lineno)
        return self.trace

    def start(self) -> None:
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def take(self) -> set[int]:
        found, self.lines = self.lines, set()
        return found

    def pytest_collection_finish(self):
        self.imported = self.take()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self, item):
        yield
        for line in self.take():
            self.shared.setdefault(line, set()).add(item.nodeid.partition("::")[0])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        self.take()
        begun = time.monotonic()
        self.start()
        yield
        self.seconds[item.nodeid] = time.monotonic() - begun
        for line in self.take():
            self.tests_of.setdefault(line, set()).add(item.nodeid)

    def save(self, path: Path) -> None:
        for line, files in self.shared.items():
            of_files = {test for test in self.seconds if test.partition("::")[0] in files}
            self.tests_of[line] = self.tests_of.get(line, set()) | of_files
        self.tests_of |= {line: {*self.seconds} for line in self.imported}
        found = {str(line): sorted(tests) for line, tests in self.tests_of.items()}
        path.write_text(json.dumps({"tests_of": found, "seconds": self.seconds}))


def in_child(work: Callable[[], int], limit_s: float) -> tuple[str, float]:
    """("passed", "failed" or "too long", seconds) of `work` in a forked process, which is passed if it gives 0.

    limit_s : in seconds of processor time.
    """
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (round(limit_s) + 1,) * 2)
            log = os.open(os.devnull, os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = work()
        finally:
            os._exit(code)
    while time.monotonic() - begun < WAITS * limit_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            said = {0: "passed", -signal.SIGXCPU: "too long", -signal.SIGKILL: "too long"}.get(code, "failed")
            return said, time.monotonic() - begun
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too long", time.monotonic() - begun


def uncompiled(function: Callable | None = None, **options):
    """In place of numba's decorators, with arguments or without."""
    return function if function is not None else uncompiled


def run(module: str, source: str, tests: Sequence[str], coverage_to: Path | None = None) -> int:
    """pytest's exit code for these tests on another source of the module."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        path = Path(folder) / Path(module).with_suffix(".py").name
        path.write_text(source)
        sys.meta_path.insert(0, Finder("myograph." + module.replace("/", "."), path))
        if module in UNCOMPILED:
            for name in ("njit", "kernel", "part"):
                setattr(importlib.import_module("myograph._common.jit"), name, uncompiled)
        plugin = Coverage(path)
        if coverage_to is not None:
            plugin.start()
        own = [f"--basetemp={folder}/tests", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT)]
        options = ["-x", "-q", "-m", "not nightly and not slow and not real_data", *own]
        os.chdir(ROOT)
        code = int(pytest.main([*options, *tests], plugins=[] if coverage_to is None else [plugin]))
        if coverage_to is not None:
            plugin.save(coverage_to)
        return code


class Baseline:
    """The unchanged module: which of its tests run which lines.

    Raises
    ------
    SystemExit : they fail, in the order of the files or in that of `tests`.
    """

    def __init__(self, module: str, source: str):
        self.module, self.source = module, source
        files = [f"tests/test_{name}.py" for name in TESTS[module]]
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "coverage.json"
            said, self.took = in_child(lambda: run(module, source, files, kept), 1800)
            if said != "passed":
                raise SystemExit(f"{module}.py: the tests fail without any change; run {' '.join(files)}")
            found = json.loads(kept.read_text())
        self.tests_of = {int(line): set(tests) for line, tests in found["tests_of"].items()}
        self.seconds = found["seconds"]
        said, _ = in_child(lambda: run(module, source, sorted(self.seconds, key=self.seconds.__getitem__)), 1800)
        if said != "passed":  # then every mutant would count as killed
            raise SystemExit(f"{module}.py: the tests fail without any change if the quickest is run first")

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run the mutant's statement, the quickest first; all if none is seen to run it, since Python traces
        no audit hooks, for example.
        """
        found = set().union(*(self.tests_of.get(line, set()) for line in mutant.statement))
        return sorted(found or self.seconds, key=lambda name: self.seconds[name])

    def outcome(self, mutant: Mutant) -> tuple[str, float]:
        tests = self.tests(mutant)
        limit = LIMIT_S + TIMES * sum(self.seconds[name] for name in tests)
        return in_child(lambda: run(self.module, mutant.apply(self.source), tests), limit)


def sample_of(found: dict[str, list[Mutant]], n: int, seed: int) -> dict[str, list[Mutant]]:
    """n of all mutants at random, in proportion to each module's number; all where there are no more than n."""
    rng = random.Random(seed)
    total = sum(map(len, found.values()))
    chosen = {}
    for module, mutants in found.items():  # modules that are run separately try the same mutants as one run of all
        k = len(mutants) if n >= total else round(n * len(mutants) / total)
        chosen[module] = sorted(rng.sample(mutants, k), key=lambda m: (m.line, m.start))
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants to try")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    short = {module.rpartition("/")[2]: module for module in TESTS}
    parser.add_argument(
        "--only", nargs="*", default=list(TESTS), choices=TESTS, type=lambda name: short.get(name, name),
        help="of these modules, such as protocols or run",
    )  # fmt: skip
    parser.add_argument("--lines", help="mutants of these lines alone, such as 10-40")
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    parser.add_argument("--json", help="write the outcome of every mutant to this file")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    for heavy in HEAVY:
        importlib.import_module(heavy)
    paths = {module: (ROOT / "src" / "myograph" / module).with_suffix(".py") for module in TESTS}
    sources = {module: path.read_text() for module, path in paths.items()}
    chosen = sample_of({m: mutants_of(source) for m, source in sources.items()}, given.sample, given.seed)
    chosen = {module: chosen[module] for module in given.only}
    if given.lines:
        first, last = map(int, given.lines.split("-"))
        chosen = {m: [one for one in some if first <= one.line <= last] for m, some in chosen.items()}
    outcomes = []
    for module, mutants in chosen.items():
        if given.list:
            print(*(f"{module}.py, {mutant}" for mutant in mutants), sep="\n")
            continue
        unchanged = Baseline(module, sources[module])
        for mutant in mutants:
            said, seconds = unchanged.outcome(mutant)
            outcomes.append({"module": module, "mutant": str(mutant), "outcome": said, "seconds": round(seconds, 1)})
            if said == "passed":
                print(f"{module}.py, {mutant}: survives", flush=True)
        mine = [o for o in outcomes if o["module"] == module]
        killed = sum(o["outcome"] != "passed" for o in mine)
        seconds = sum(o["seconds"] for o in mine)
        print(f"{module}.py: {killed} of {len(mine)} killed, {seconds:.0f} s", flush=True)
        if given.json:
            Path(given.json).write_text(json.dumps(outcomes, indent=1))
    killed = sum(o["outcome"] != "passed" for o in outcomes)
    if outcomes:
        print(f"{killed} of {len(outcomes)} mutants killed ({100 * killed / len(outcomes):.0f} %)")
    return 0 if killed >= 0.9 * len(outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())

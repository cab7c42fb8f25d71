"""The documentation's own claims: its Python runs, its links lead somewhere, its commands exist."""

import inspect
import re
from pathlib import Path

import pytest
import typer

from myograph.cli.app import app
from myograph.evaluation.reproduction import REPRODUCTIONS, load_result

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.name}-{n}")
    for page in PAGES
    for n, code in enumerate(re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.S | re.M), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    indent = re.match(" *", code)[0]
    exec(compile(re.sub(f"^{indent}", "", code, flags=re.M), "documentation", "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_source_files_exist(page):
    text = page.read_text()
    links = [t.split("#")[0] for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith(("http", "#", "mailto"))]
    missing = [target for target in links if target and not (page.parent / target).exists()]
    files = {f"/{p.relative_to(ROOT).as_posix()}" for p in ROOT.rglob("*.py") if ".venv" not in p.parts}
    for name in re.findall(r"`((?:[a-z0-9_]+/)*_?[a-z0-9_]+\.py)`", text):
        if not name.split("/")[-1].startswith("my_"):  # files that a reader is told to write
            missing += [name] if not any(file.endswith("/" + name) for file in files) else []
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page):
    known = typer.main.get_command(app).commands
    for first, second in re.findall(r"(?:`|\.venv/bin/)myograph ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", page.read_text()):
        assert first in known
        group = getattr(known[first], "commands", None)
        assert group is None or not second or second in group


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda p: p.stem)
def test_stored_results_are_of_the_reproduction_as_it_is_now(path):
    """What a stored result says about its own settings is what the recipe says today; else it has to run again."""
    result = load_result(path)
    assert result["about"] == inspect.getdoc(REPRODUCTIONS[result["name"]])

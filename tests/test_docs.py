"""The documentation's own claims: its examples run and print what they say, its links and commands exist."""

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from myograph.cli.app import app
from myograph.datasets import DATASETS
from myograph.datasets._formats.tables import ENDINGS
from myograph.evaluation import RECIPES
from myograph.evaluation.reproduction import REPRODUCTIONS, load_result
from myograph.features import FEATURES
from myograph.methods import METHODS
from myograph.models import MODELS
from myograph.preprocessing.filters import FILTERS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WHOLE = ("tutorial.md", "live.md", "suites.md")  # pages whose shell commands are run as well, in the order of the page


class Block(NamedTuple):
    """A fenced block: its language, its text, and the file that the comment before it names."""

    language: str
    text: str
    file: str | None


def blocks(page: Path) -> list[Block]:
    found = re.finditer(
        r"(?:^<!-- file: (\S+) -->\n)?^( *)```(\w+)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.S | re.M
    )
    return [Block(m[3], re.sub(f"^{m[2]}", "", m[4], flags=re.M), m[1]) for m in found]


@pytest.fixture
def clean_registries():
    """What an example registers is forgotten afterwards."""
    registries = (DATASETS, FEATURES, FILTERS, METHODS, MODELS, RECIPES, REPRODUCTIONS)
    for registry in registries:
        registry.load()
    before = [dict(registry._entries) for registry in registries]
    yield
    for registry, entries in zip(registries, before):
        registry._entries.clear()
        registry._entries.update(entries)


def run_page(page, folder, monkeypatch):
    """All blocks of a page in order, in one namespace; a text block right after Python is what that prints."""
    monkeypatch.chdir(folder)
    names = {"__name__": "documentation"}
    printed = None
    for block in blocks(page):
        if block.language == "text" and printed is not None:
            assert printed.getvalue().strip() == block.text.strip()
        printed = None
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, page.name, "exec"), names)
        elif block.language == "sh" and page.name in WHOLE:
            for line in block.text.strip().split("\n"):
                result = CliRunner().invoke(app, shlex.split(line.removeprefix("myograph ")))
                assert result.exit_code == 0, (line, result.output)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language == "python" for b in blocks(p))], ids=lambda p: p.name
)
def test_examples_run_and_print_what_the_page_says(page, tmp_path, monkeypatch, clean_registries):
    run_page(page, tmp_path, monkeypatch)


def test_a_page_that_prints_something_else_fails(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n")
    with pytest.raises(AssertionError):
        run_page(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_source_files_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [
        t.split("#")[0]
        for t in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
        if not t.startswith(("http", "#", "mailto"))
    ]
    missing = [target for target in links if target and not (page.parent / target).exists()]
    files = {f"/{p.relative_to(ROOT).as_posix()}" for p in ROOT.rglob("*.py") if ".venv" not in p.parts}
    for name in re.findall(r"`((?:[a-z0-9_]+/)*_?[a-z0-9_]+\.py)`", text):
        missing += [name] if not any(file.endswith("/" + name) for file in files) else []
    for folder in re.findall(r"`((?:[a-z0-9_]+/)+)`", text):
        known = any((ROOT / top / folder).is_dir() for top in ("", "src", "src/myograph"))
        missing += [] if known or folder in LATER else [folder]
    assert not missing


def test_every_supported_ending_is_listed():
    text = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
    supported = text[text.index("Supported formats:") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\.\S+)`", supported)) == set(ENDINGS)


# Folders that a page names and a run of the package or of `make docs` makes.
LATER = {"runs/", "site/"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page):
    known = typer.main.get_command(app).commands
    shell = "".join(f"`{line}\n" for block in blocks(page) if block.language == "sh" for line in block.text.split("\n"))
    text = page.read_text(encoding="utf-8") + shell
    for first, second in re.findall(r"(?:`|\.venv/bin/)myograph ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text):
        assert first in known
        group = getattr(known[first], "commands", None)
        assert group is None or not second or second in group


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda p: p.stem)
def test_stored_results_say_what_was_run_and_when(path):
    """Pages take their text from today's recipe, so a result that an older one gave must be told by its date."""
    result = load_result(path)
    assert result["name"] in REPRODUCTIONS
    assert path.stem.startswith(result["name"])
    assert result["rows"]
    assert result["kind"] in ("quick", "full")
    page = (ROOT / "docs" / "systems" / f"{result['name']}.md").read_text(encoding="utf-8")
    assert (result["finished"] or "not finished") in page


def test_docstrings_become_markdown():
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "Add.\n\nParameters\n----------\na, b : the first,\n    and the second.\n\n>>> 1 + 1\n2\n\nMore: text."
    assert module.to_markdown(text).split("\n") == [
        "Add.",
        "",
        "**Parameters**",
        "",
        "- `a, b`: the first,",
        "    and the second.",
        "",
        "",
        "```pycon",
        ">>> 1 + 1",
        "2",
        "```",
        "",
        "More: text.",
    ]

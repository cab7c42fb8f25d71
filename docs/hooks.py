"""What the documentation site takes from the package itself: the tables of registered things and the API pages."""

from __future__ import annotations

import inspect
import pkgutil
import posixpath
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import myograph

ROOT = Path(__file__).parents[1]
# The spine's modules, then one page per folder, in the order in which a reader meets them.
API = {
    "recordings": ("Recordings, windows, protocols", ["errors", "recording", "windows", "protocols", "audit"]),
    "preprocessing": ("Filters and bursts", ["preprocessing"]),
    "features": ("Features", ["features"]),
    "datasets": ("Data sets", ["datasets"]),
    "methods": ("Methods and adaptation", ["methods"]),
    "models": ("Networks", ["models"]),
    "training": ("Training", ["training"]),
    "evaluation": ("Evaluation", ["evaluation"]),
    "live": ("Live decoding", ["live"]),
    "testing": ("Checks for your own code", ["testing"]),
}
MEASURED = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
PACKAGE = Path(myograph.__file__).parent


def on_config(config: Any) -> Any:
    """Enter the pages that are made here into the navigation."""
    pages = [{title: f"api/{name}.md"} for name, (title, _) in _api_pages().items()]
    measured = [f"benchmarks/{path.name}" for path in MEASURED]
    config["nav"] = [*config["nav"], {"Measurements": measured}, {"API reference": pages}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Make the API pages, and the pages of measurements, which live beside the benchmarks."""
    for name, (title, modules) in _api_pages().items():
        content = f"# {title}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        files.append(File.generated(config, f"api/{name}.md", content=content))
    for path in MEASURED:
        files.append(File.generated(config, f"benchmarks/{path.name}", content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in `<!-- table: NAME -->`, and mend links to files outside docs/: the site has pages for measurements only."""
    for name in re.findall(r"<!-- table: (\w+) -->", markdown):
        markdown = markdown.replace(f"<!-- table: {name} -->", TABLES[name]())
    here = posixpath.dirname(page.file.src_uri)
    up = posixpath.relpath("benchmarks", here or ".")
    markdown = re.sub(r"\]\(\.\./benchmarks/results/([\w.]+\.md)\)", rf"]({up}/\1)", markdown)
    return re.sub(r"\[([^\]]+)\]\(\.\./(?:src|benchmarks|tests|README)[^)]*\)", r"\1", markdown)


def _api_pages() -> dict[str, tuple[str, list[str]]]:
    """Page to title and the public modules on it; folders that are not there yet are left out."""
    pages = {name: (title, [m for part in parts for m in _modules(part)]) for name, (title, parts) in API.items()}
    return {name: page for name, page in pages.items() if page[1]}


def _modules(part: str) -> list[str]:
    """The public modules of a file or folder of the package, the folder's own page first."""
    folder = PACKAGE / part
    if not folder.is_dir():
        return [f"myograph.{part}"] if folder.with_suffix(".py").exists() else []
    found = [f"myograph.{part}"]
    for module in sorted(pkgutil.iter_modules([str(folder)]), key=lambda m: m.name):
        if not module.name.startswith("_"):
            found += _modules(f"{part}/{module.name}") if module.ispkg else [f"myograph.{part}.{module.name}"]
    return [name.replace("/", ".") for name in found]


def _rows(head: Iterable[str], rows: Iterable[Iterable[Any]], numbers: int = 0) -> str:
    """A Markdown table whose last columns, `numbers` of them, are aligned to the right."""
    names = list(head)
    rule = ["---"] * (len(names) - numbers) + ["--:"] * numbers
    lines = [names, rule, *([str(cell) for cell in row] for row in rows)]
    escaped = [[re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split())) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _title(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def datasets() -> str:
    from myograph.datasets import DATASETS

    def source(data: Any) -> str:
        links = [f"[DOI](https://doi.org/{data.doi})"] if data.doi else []
        return ", ".join([*links, *([f"[page]({data.homepage})"] if data.homepage.startswith("http") else [])])

    entries = [(name, DATASETS[name]) for name in DATASETS]
    rows = [(f"`{name}`", data.title, data.licence, source(data)) for name, data in entries]
    return _rows(("name", "what", "licence", "source"), rows)


def features() -> str:
    from myograph.features import FEATURES

    entries = [FEATURES[name] for name in FEATURES]
    return _rows(("name", "what", "source"), ((f"`{e.name}`", e.title, e.source) for e in entries))


def groups() -> str:
    from myograph.features import GROUPS

    return _rows(("group", "features"), ((f"`{name}`", ", ".join(names)) for name, names in GROUPS.items()))


def methods() -> str:
    from myograph.methods import METHODS
    from myograph.models import MODELS

    return _rows(("name", "what"), ((f"`{name}`", _title(METHODS[name])) for name in METHODS if name not in MODELS))


def models() -> str:
    from myograph.models import MODELS
    from myograph.models.cost import table

    cost = {row["name"]: row for row in table()}
    rows = []
    for name in MODELS:
        row = cost[name]
        size = f"{row['channels']} x {row['samples']}, {row['classes']} classes"
        rows.append((f"`{name}`", _title(MODELS[name]), size, f"{row['parameters']:,}", f"{row['macs']:,}"))
    return _rows(("name", "what", "counted at", "parameters", "multiply-accumulates"), rows, numbers=2)


def filters() -> str:
    from myograph.preprocessing.filters import FILTERS

    return _rows(
        ("name", "class", "what"), ((f"`{n}`", f"`{FILTERS[n].__name__}`", _title(FILTERS[n])) for n in FILTERS)
    )


def commands() -> str:
    """Every command with its help and options, as the command line itself describes them."""
    import typer

    from myograph.cli.app import app

    def describe(command: Any, path: str) -> str:
        if hasattr(command, "commands"):
            return "\n\n".join(describe(sub, f"{path} {name}") for name, sub in command.commands.items())
        rows = []
        for given in command.params:
            option = given.param_type_name == "option"
            default = (
                "" if given.default is None or given.default is False or callable(given.default) else given.default
            )
            name = ", ".join(given.opts) if option else given.name.upper()
            if name != "--help":
                rows.append((f"`{name}`", getattr(given, "help", None) or "", f"`{default}`" if default != "" else ""))
        table = _rows(("argument or option", "meaning", "default"), rows) if rows else ""
        return f"## {path}\n\n{inspect.cleandoc(command.help or '')}\n\n{table}"

    return describe(typer.main.get_command(app), "myograph")


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table for table in (datasets, features, groups, methods, models, filters, commands)
}

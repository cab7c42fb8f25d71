"""`myograph features`: list the window features."""

from __future__ import annotations

import typer

from myograph.cli.terminal import Json, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="Features of a window.")


@app.callback()
def group() -> None:
    """Features of a window."""


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List every feature with its outputs per channel and its source, then the named groups."""
    from myograph.features import FEATURES, GROUPS

    rows = []
    for name in FEATURES:
        entry = FEATURES[name]
        lines = [line.strip() for line in (entry.function.__doc__ or "").split("\n")]
        rows.append(
            {"name": entry.name, "what": lines[0], "shape": _after("Shape:", lines), "source": _after("Source:", lines)}
        )
    groups = [{"group": name, "features": ", ".join(members)} for name, members in GROUPS.items()]
    if as_json:
        print_json({"features": rows, "groups": groups})
        return
    print_rows(rows)
    print_rows(groups)


def _after(tag: str, lines: list[str]) -> str:
    """Return the rest of the docstring line that starts with `tag`."""
    return next((line.removeprefix(tag).strip() for line in lines if line.startswith(tag)), "")

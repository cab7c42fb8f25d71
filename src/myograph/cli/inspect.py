"""`myograph inspect`: propose a dataset.toml for a folder of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from myograph.cli.terminal import Json, out, print_json, print_path


def inspect(
    path: Annotated[Path, typer.Argument(help="A folder of recordings, or one of the recordings.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write dataset.toml next to the recordings unless there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Examine recordings and propose a dataset.toml; print what was found, what is uncertain, and the proposed file.

    The supported formats are listed in docs/your-own-data.md. Nothing is written without --write.
    """
    from myograph.datasets.guess import guess

    found = guess(path)
    written = found.write() if write else None
    if as_json:
        print_json(
            {
                "path": str(found.path),
                "toml": found.toml,
                "found": list(found.found),
                "unsure": list(found.unsure),
                "written": written is not None,
            }
        )
        return
    for title, lines in (("found", found.found), ("unsure", found.unsure)):
        if lines:
            out.print(f"[bold]{title}[/bold]")
        for line in lines:
            out.print(f"- {escape(line)}", highlight=False, soft_wrap=True)
    out.print(f"\n[bold]{escape(str(found.path))}[/bold]", soft_wrap=True, highlight=False)
    out.print(found.toml, markup=False, highlight=False, soft_wrap=True)
    if written is not None:
        print_path("written", written)
        out.print(escape(f"next: myograph datasets check {written}"), soft_wrap=True, highlight=False)

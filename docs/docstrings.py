"""Turns the package's docstrings into Markdown for the API pages: sections, lists of parameters, examples."""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.M)
ITEM = re.compile(r"^((?:[\w*.]+|`[^`\n]+`|\([^\n:]*?\))(?:, [\w*]+)*) : (?=\S)", re.M)


def to_markdown(text: str) -> str:
    """A docstring as Markdown.

    >>> print(to_markdown("Add.\\n\\nParameters\\n----------\\na : the first,\\n    or none.\\n\\n>>> 1 + 1\\n2"))
    Add.
    <BLANKLINE>
    **Parameters**
    <BLANKLINE>
    - `a`: the first,
        or none.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    text = SECTION.sub(r"**\1**\n", text)
    lines: list[str] = []
    in_list = in_example = False
    for line in text.split("\n"):
        indent = re.match(" *", line)[0]  # type: ignore[index]
        if not in_example and line.lstrip().startswith(">>> "):
            in_example = True
            lines += ["", "```pycon"]
        elif in_example and not line.strip():
            in_example = False
            lines += ["```"]
        item = ITEM.match(line) if not in_example else None
        if item:
            if not in_list and lines and lines[-1].strip():
                lines.append("")
            name = item[1].replace("`", "")
            line = f"- `{name}`: {line[item.end() :]}"
        elif in_list and line and not indent and not in_example and lines[-1].strip():
            lines.append("")
        in_list = bool(item) or (in_list and (not line.strip() or bool(indent)))
        lines.append(line.strip() if in_example else line)
    return "\n".join([*lines, *(["```"] if in_example else [])])


class PlainDocstrings(griffe.Extension):
    """Applies `to_markdown` to every docstring."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Replace the docstring's text."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

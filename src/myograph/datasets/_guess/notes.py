"""The notes of a guess: values, facts found, and open questions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Notes:
    """Collects the parts of one description.

    values : keys of the description.
    found : facts found in the files, one sentence each.
    unsure : questions to the user, one each.
    hints : for a missing key, the line to show as a comment.
    """

    values: dict[str, Any] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)

    def toml(self) -> str:
        """Return the description as TOML, with the questions as comments at the top.

        >>> print(Notes({"files": "{label}.csv", "rate_hz": 200.0}, unsure=["is it 200 Hz?"]).toml(), end="")
        # Proposed by myograph inspect. To be checked:
        # - is it 200 Hz?
        files = "{label}.csv"
        rate_hz = 200
        """
        lines = ["# Proposed by myograph inspect." + (" To be checked:" if self.unsure else "")]
        lines += [f"# - {' '.join(q.split())}" for q in self.unsure]
        lines += [f"{key} = {_literal(value)}" for key, value in self.values.items()]
        lines += [f"# {key} = {hint}" for key, hint in self.hints.items() if key not in self.values]
        return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float):
        return repr(value)
    # TOML basic strings have the escapes of JSON, and also escape DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

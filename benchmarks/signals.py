"""One table with the bars of the signal engine, from the results of features.py and bursts_spectral.py."""

from __future__ import annotations

import json

from _harness import RESULTS, Row, table


def main() -> None:
    rows = []
    for name in ("features", "bursts_spectral"):
        for row in json.loads((RESULTS / f"{name}.json").read_text())["rows"]:
            row.pop("met")
            rows.append(Row(**row))
    rows = [row for row in rows if row.bar is not None]
    missed = [row for row in rows if not row.met]
    lines = ["# Signals and features: all bars", "", *table(rows), "", f"{len(rows) - len(missed)} of {len(rows)} met."]
    text = "\n".join(lines) + "\n"
    (RESULTS / "signals.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

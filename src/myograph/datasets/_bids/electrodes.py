"""Electrodes of a BIDS recording: table of positions, coordinate systems, and conversion to `Layout`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from myograph.datasets._bids.side_files import beside, cell, entities, number, read_facts, read_table
from myograph.recording import Layout

SPACE = "pattern"  # the name of the coordinate system of an exported Layout
WRAPS = "LayoutWraps"  # our own keys in its JSON file
SPACING = "LayoutSpacingMm"
MM_PER = {"mm": 1.0, "cm": 10.0, "m": 1000.0}


@dataclass(frozen=True)
class Electrode:
    """One electrode.

    name, group : identify the electrode within a recording; group is "" if the file has none.
    position : x, y, z in the units of the coordinate system; None for a missing coordinate.
    space : name of its coordinate system; "" if there is only one, without a name.
    """

    name: str
    position: tuple[float | None, float | None, float | None]
    space: str = ""
    group: str = ""


@dataclass(frozen=True)
class CoordinateSystem:
    """A coordinate system.

    space : name of the coordinate system; "" if it has none.
    units : units of the coordinates, such as "mm" or "percent".
    description : description of the axes in words.
    parent, anchor, anchor_position : for a grid: the parent coordinate system, the electrode that anchors the grid in
        it, and the position of that electrode in the parent system.
    facts : the complete contents of the file.
    """

    space: str
    units: str
    description: str
    parent: str
    anchor: str
    anchor_position: tuple[float, ...]
    facts: Mapping[str, Any]


def read_electrodes(path: Path, folder: Path) -> tuple[list[Electrode], dict[str, CoordinateSystem]]:
    """Return the electrodes of a recording, and the coordinate systems of its data set by name; empty if there are
    none.

    Raises
    ------
    DataError : a side file is damaged, or a coordinate is not a number.
    """
    tables = beside(path, folder, "electrodes.tsv")
    rows = read_table(tables[0]) if tables else []
    found = [
        Electrode(
            cell(row, "name"),
            (number(row, "x", tables[0]), number(row, "y", tables[0]), number(row, "z", tables[0])),
            cell(row, "coordinate_system"),
            cell(row, "group"),
        )
        for row in rows
    ]
    systems: dict[str, CoordinateSystem] = {}
    for file in beside(path, folder, "coordsystem.json"):
        space = entities(file).get("space", "")
        systems.setdefault(space, _system(space, read_facts([file])))
    return found, systems


def _system(space: str, facts: Mapping[str, Any]) -> CoordinateSystem:
    anchor = facts.get("AnchorCoordinates")
    numbers = tuple(float(v) for v in anchor if isinstance(v, (int, float))) if isinstance(anchor, list) else ()
    text = lambda key: str(facts.get(key, ""))  # noqa: E731
    return CoordinateSystem(
        space,
        text("EMGCoordinateUnits"),
        text("EMGCoordinateSystemDescription"),
        text("ParentCoordinateSystem"),
        text("AnchorElectrode"),
        numbers,
        facts,
    )


def layout_of(
    channels: Sequence[Mapping[str, str]], electrodes: Iterable[Electrode], systems: Mapping[str, CoordinateSystem]
) -> Layout | None:
    """Return the layout of the channels if their electrodes form an evenly spaced pattern, or else None.

    channels : the rows of channels.tsv that are read, in order. Channels without a position are outside the pattern.

    >>> rows = [{"signal_electrode": f"E{i}"} for i in range(4)]
    >>> places = [Electrode(f"E{i}", (8.0 * (i % 2), 8.0 * (i // 2), None), "g") for i in range(4)]
    >>> layout_of(rows, places, {"g": _system("g", {"EMGCoordinateUnits": "mm"})})
    Layout(row=(0, 0, 1, 1), column=(0, 1, 0, 1), wraps=False, spacing_mm=8.0)
    """
    known = {(e.name, e.group): e for e in electrodes}
    alone = {e.name: e for e in known.values()}
    mine = []
    for row in channels:
        name = cell(row, "signal_electrode")
        mine.append(known.get((name, cell(row, "group"))) or alone.get(name))
    placed = [e for e in mine if e is not None and e.position[0] is not None]
    if len(placed) < 2 or len({(e.space, e.group) for e in placed}) > 1 or any(e.position[2] for e in placed):
        return None
    system = systems.get(placed[0].space)
    points = [(float(e.position[0] or 0), float(e.position[1] or 0)) for e in placed]
    step = _step([p[0] for p in points], [p[1] for p in points])
    if step is None or len(set(points)) != len(points):
        return None
    left, top = min(p[0] for p in points), min(p[1] for p in points)
    places = {e.name: (round((y - top) / step), round((x - left) / step)) for e, (x, y) in zip(placed, points)}
    off = (-1, -1)
    rows_columns = [places[e.name] if e is not None and e.name in places else off for e in mine]
    facts = system.facts if system else {}
    spacing = facts[SPACING] if SPACING in facts else _spacing(step, system)
    found = Layout(tuple(r for r, _ in rows_columns), tuple(c for _, c in rows_columns), facts.get(WRAPS) is True)
    return replace(found, spacing_mm=float(spacing) if isinstance(spacing, (int, float)) else None)


def _step(x: list[float], y: list[float]) -> float | None:
    """Return the spacing of a pattern, or None if the points do not form one."""
    gaps = [b - a for axis in (x, y) for a, b in zip(sorted(set(axis)), sorted(set(axis))[1:])]
    step = min(gaps, default=None)
    if step is None or any(abs(g / step - round(g / step)) > 0.02 for g in gaps):
        return None
    return step


def _spacing(step: float, system: CoordinateSystem | None) -> float | None:
    factor = MM_PER.get(system.units) if system else None
    return None if factor is None else step * factor


def electrode_rows(layout: Layout, space: str) -> list[dict[str, Any]]:
    """Return the rows of electrodes.tsv for a Layout in the coordinate system `space`: x along the columns, y along the
    rows; n/a outside the pattern.
    """
    step = layout.spacing_mm or 1.0
    rows = []
    for i, (row, column) in enumerate(zip(layout.row, layout.column), 1):
        on = row >= 0
        rows.append(
            {
                "name": f"E{i}",
                "x": float(column * step) if on else None,
                "y": float(row * step) if on else None,
                "coordinate_system": space,
            }
        )
    return rows


def coordinate_facts(layout: Layout) -> dict[str, Any]:
    """Return the coordinate system of an exported Layout. If the spacing is unknown, one unit is the distance of two
    columns.
    """
    known = layout.spacing_mm is not None
    return {
        "EMGCoordinateSystem": "Other",
        "EMGCoordinateUnits": "mm" if known else "n/a",
        "EMGCoordinateSystemDescription": "The electrodes' pattern: x along the columns, y along the rows, from the first "
        "electrode of the pattern."
        + ("" if known else " The spacing is not known; one unit is the distance of two neighbouring columns.")
        + (" The last column is next to the first (around the limb)." if layout.wraps else ""),
        WRAPS: layout.wraps,
        SPACING: layout.spacing_mm,
    }

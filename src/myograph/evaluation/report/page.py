"""The report: one self-contained HTML page, made from a run's `Scores`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jinja2
from markupsafe import Markup

from myograph._common.files import write_atomically
from myograph._common.svg import lines
from myograph.errors import ResultsError
from myograph.evaluation.metrics import TITLES
from myograph.evaluation.report import charts as _charts
from myograph.evaluation.report.decision_charts import decision_tiles
from myograph.evaluation.scores import Scores


def write_report(scores: Scores, path: str | Path | None = None) -> Path:
    """Write the page; by default `report.html` in the run's folder.

    Raises
    ------
    ResultsError : the scores have no folder and no path was given, or the page cannot be written.
    """
    if path is None:
        if scores.folder is None:
            raise ResultsError("these scores were not stored in a folder; give write_report a path")
        path = scores.folder / "report.html"
    page = render(scores)
    write_atomically(Path(path), lambda to: Path(to).write_text(page, encoding="utf-8"))
    return Path(path)


def render(scores: Scores) -> str:
    """Return the page as text, without external links, scripts or styles."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("myograph.evaluation.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    info, subjects = scores.info, scores.subjects
    other_by_subject = None
    if other := scores.honest or scores.target_only:
        found = other.subjects.set_index("subject")["accuracy"]
        other_by_subject = [float(cast(float, found.get(name, float("nan")))) for name in subjects["subject"]]
    kind = "leaky" if scores.leaky else ""
    return template.render(
        **_continuous(info.get("continuous")),
        info=info,
        scores=scores,
        tiles=[_tile(scores, name, title) for name, title in TITLES.items() if scores.summary[name]["n"]],
        subject_chart=Markup(
            _charts.bars(
                [f"subject {name}" for name in subjects["subject"]],
                subjects["accuracy"].tolist(),
                other=other_by_subject,
                mean=scores.summary["accuracy"]["mean"] if scores.over == "subject" else None,
                notes=[f"balanced {b:.1%}, {n} windows" for b, n in zip(subjects["balanced_accuracy"], subjects["n"])],
                kind=kind,
            )
        ),
        reliability=Markup(_charts.reliability(scores.reliability) if len(scores.reliability) else ""),
        confusion=Markup(_charts.matrix(scores.confusion, scores.labels)),
        class_chart=Markup(
            _charts.bars(
                scores.classes["label"].tolist(),
                scores.classes["recall"].tolist(),
                notes=[f"{n} windows" for n in scores.classes["n"]],
                kind=kind,
            )
        ),
        glimpse=Markup(_charts.signals(info["glimpse"])),
        settings=json.dumps(info["settings"], indent=2),
        folds=scores.folds.to_dict("records"),
    )


def _continuous(found: dict[str, Any] | None) -> dict[str, Any]:
    if not found:
        return {"continuous": None}
    people = [{"subject": row["subject"], "tiles": decision_tiles(row)} for row in found["subjects"]]
    curve = found["selective"]
    drawn = (
        lines([f"{p['coverage']:.0%}" for p in curve], {"error": [p["risk"] for p in curve]}, "error") if curve else ""
    )
    return {
        "continuous": found,
        "continuous_tiles": decision_tiles(found["metrics"]),
        "continuous_subjects": people,
        "selective": Markup(drawn),
    }


def _tile(scores: Scores, name: str, title: str) -> dict[str, Any]:
    found = scores.summary[name]
    percent = name not in ("kappa", "calibration_error")
    show = (lambda v: f"{100 * v:.1f} %") if percent else (lambda v: f"{v:.3f}")
    spread = f"± {100 * found['std']:.1f}" if percent else f"± {found['std']:.3f}"
    honest, alone = (other.summary[name] if other else None for other in (scores.honest, scores.target_only))
    return {
        "title": title,
        "value": show(found["mean"]),
        "spread": spread if found["n"] > 1 else "",
        "interval": f"{show(found['low'])} to {show(found['high'])}" if found["low"] == found["low"] else "no interval",
        "honest": show(honest["mean"]) if honest and honest["n"] else None,
        "target_only": show(alone["mean"]) if alone and alone["n"] else None,
    }

"""`myograph train`, `predict` and `decoder`: save a decoder to one file, describe it, run it, adapt it to a new day."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from myograph._common.progress import Progress
from myograph.cli.run import choose
from myograph.cli.terminal import (
    DatasetName,
    Json,
    MethodName,
    RecipeName,
    Seed,
    Settings,
    Subjects,
    out,
    print_facts,
    print_json,
    print_path,
    progress_bar,
)
from myograph.errors import ConfigError

if TYPE_CHECKING:
    from myograph.live.decoder import Decoder
    from myograph.live.postprocess import PostProcessor

app = typer.Typer(no_args_is_help=True, help="Saved decoders.")
Post = Annotated[
    list[str] | None,
    typer.Option(help='Post-processing, in order: "MajorityVote n=5", "ConfidenceRejection threshold=0.7", ...'),
]


def train(
    recipe: RecipeName = None,
    save: Annotated[Path, typer.Option(help="File to write the decoder to.")] = Path("decoder.myo"),
    dataset: DatasetName = None,
    subjects: Subjects = None,
    method: MethodName = None,
    settings: Settings = None,
    seed: Seed = None,
    post: Post = None,
    as_json: Json = False,
) -> None:
    """Fit a method on all recordings, without an evaluation, and save it as a decoder.

    `myograph run ... --save FILE` evaluates first and keeps the scores in the decoder.
    """
    from myograph.evaluation.deploy import fit_decoder

    chosen = choose(recipe, dataset, subjects, method, settings or (), seed)
    with progress_bar() as progress:
        decoder = fit_decoder(chosen, post=parse_post(post), progress=progress)
    report_saved(decoder, decoder.save(save), as_json)


def predict(
    file: Annotated[Path, typer.Argument(help="A decoder's file.")],
    recordings: Annotated[
        list[str],
        typer.Argument(help="Names of data sets, paths of dataset.toml files, or .npy files (channel, time)."),
    ],
    subjects: Subjects = None,
    csv: Annotated[Path | None, typer.Option(help="Write every decision to this CSV file.")] = None,
    rest: Annotated[str, typer.Option(help="Class to which rejected decisions are assigned.")] = "rest",
    as_json: Json = False,
) -> None:
    """Run a saved decoder over whole recordings, including rest and transitions.

    If the recordings have labels, the metrics of the decisions are printed.
    """
    import pandas as pd

    from myograph._common.files import plain, write_atomically
    from myograph.live.decoder import Decoder

    decoder = Decoder.load(file)
    found, tables = [], []
    with progress_bar() as progress:
        loaded = [r for given in recordings for r in load_recordings(given, subjects, decoder, progress)]
        for done, recording in enumerate(loaded):
            progress("deciding", done, len(loaded))
            decisions = decoder.decide(recording)
            facts: dict[str, Any] = {"recording": recording.name, "decisions": len(decisions)}
            facts["share"] = {c: float((decisions.output(rest) == c).mean()) for c in decoder.classes}
            if (recording.label >= 0).any():
                facts["metrics"] = decisions.metrics(recording, rest)
            found.append(facts)
            names = {"recording": recording.name, "subject": recording.subject, "session": recording.session}
            tables.append(decisions.table.assign(**names))
    if csv is not None:
        table = pd.concat(tables, ignore_index=True)
        write_atomically(csv, lambda to: table.to_csv(to, index=False))
    if as_json:
        print_json(plain({"decoder": str(file), "recordings": found, "csv": None if csv is None else str(csv)}))
        return
    for facts in found:
        _show(facts)
    if csv is not None:
        print_path("\ndecisions", csv)


@app.command()
def info(file: Annotated[Path, typer.Argument(help="A decoder's file.")], as_json: Json = False) -> None:
    """Show the input that a decoder expects, its classes, its training and its scores."""
    from myograph._common.files import plain
    from myograph.live.decoder import Decoder

    facts = plain(Decoder.load(file).info)
    if as_json:
        print_json(facts)
        return
    trained, scores = facts.pop("trained_on"), facts.pop("scores")
    people = {r["subject"] for r in trained.get("recordings", [])}
    facts["trained on"] = (
        f"{len(trained.get('recordings', []))} recordings of {len(people)} people, {trained.get('date')}"
    )
    learnt = [
        f"{len(step['recordings'])} recordings, {'with' if step['labels'] else 'without'} labels, {step['date']}"
        for step in trained.get("adapted_to", [])
    ]
    if learnt:
        facts["adapted to"] = "; ".join(learnt)
    summary = (scores or {}).get("metrics", {}).get("accuracy", {})
    facts["accuracy in the evaluation"] = "not evaluated" if not summary else f"{summary['mean']:.3f}"
    print_facts({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in facts.items()})


@app.command()
def adapt(
    file: Annotated[Path, typer.Argument(help="A decoder's file.")],
    recordings: Annotated[
        list[str],
        typer.Argument(
            help="Recordings of one new session or person: names of data sets, paths of dataset.toml files, or .npy files."
        ),
    ],
    save: Annotated[Path, typer.Option(help="File to write the adapted decoder to.")] = Path("adapted.myo"),
    subjects: Subjects = None,
    sessions: Annotated[str | None, typer.Option(help="Only these sessions, by name: 2 or day02,day03.")] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Learn from the labels too; one repetition of each movement is enough.")
    ] = False,
    leave_out: Annotated[
        str | None, typer.Option(help="Leave out windows with these labels, such as rest: rest,unknown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a saved decoder learn from recordings of a new day or a new person, by default without labels.

    The method of the decoder must be able to adapt, as recentred and aligned_lda are. If it finds no reason to change, this
    is an error, and nothing is written.
    """
    import warnings

    from myograph.errors import NotAdaptedWarning
    from myograph.live.decoder import Decoder

    decoder = Decoder.load(file)
    with progress_bar() as progress:
        loaded = [r for given in recordings for r in load_recordings(given, subjects, decoder, progress)]
    there = list(dict.fromkeys(r.session for r in loaded))
    if sessions is not None:
        wanted = [name.strip() for name in sessions.split(",")]
        if unknown := [name for name in wanted if name not in there]:
            raise ConfigError(f"no session {', '.join(unknown)}; the recordings have the sessions {', '.join(there)}")
        loaded = [r for r in loaded if r.session in wanted]
    left_out = [name.strip() for name in (leave_out or "").split(",") if name.strip()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotAdaptedWarning)
        try:
            learnt = decoder.calibrated(loaded, left_out) if labels else decoder.adapted(loaded, left_out)
        except NotAdaptedWarning as why:
            raise ConfigError(
                f"{why}; nothing was written. Record more movements, or use recordings with labels and --labels"
            ) from None
    report_saved(learnt, learnt.save(save), as_json)


def parse_post(given: list[str] | None) -> list[PostProcessor]:
    """Create post-processors from texts such as "MajorityVote n=5".

    Raises
    ------
    UnknownNameError, ConfigError : no such post-processor or setting, or a value that does not fit.
    """
    from myograph.live.postprocess import POSTPROCESSORS

    made = []
    for text in given or ():
        name, *words = text.replace(",", " ").split()
        options = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ConfigError(f"--post {text!r}: {word!r} is not key=value, as in 'MajorityVote n=5'")
            options[key] = parse_value(value)
        made.append(POSTPROCESSORS.create(name, **options))
    return made


def parse_value(text: str) -> Any:
    """Return the value of a Python literal, infinity for "inf", or else the text itself.

    >>> [parse_value(text) for text in ("3", "(0.1, 0.2)", "inf", "fill")]
    [3, (0.1, 0.2), inf, 'fill']
    """
    try:
        return float("inf") if text == "inf" else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def report_saved(decoder: Decoder, path: Path, as_json: bool) -> None:
    """Print the path of a saved decoder and a summary of it."""
    if as_json:
        from myograph._common.files import plain

        print_json({"decoder": str(path), **plain(decoder.info)})
    else:
        out.print(str(decoder), markup=False, highlight=False, soft_wrap=True)
        print_path("decoder", path)


def load_recordings(given: str, subjects: str | None, decoder: Decoder, progress: Progress) -> list[Any]:
    """Load the recordings of a data set or of a .npy file, which is taken to have the decoder's rate and unit."""
    import numpy as np

    from myograph.datasets.load import load
    from myograph.recording import Recording, Unit

    if not given.endswith(".npy"):
        return load(given, subjects=subjects, progress=progress)
    try:
        signal = np.load(given, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{given} cannot be read as a .npy file of numbers: {error}") from error
    return [Recording(signal, decoder.rate_hz, None, "1", unit=cast(Unit, decoder.unit), name=given)]


def _show(facts: dict[str, Any]) -> None:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in facts["share"].items() if share)
    out.print(
        f"{facts['recording']}: {facts['decisions']} decisions: {shares}", markup=False, highlight=False, soft_wrap=True
    )
    if "metrics" in facts:
        m = facts["metrics"]
        false = m["false_activations"]
        rate = "no rest" if not false["hours"] else f"{false['per_hour']:.1f} false activations per hour"
        out.print(
            f"  total error {m['total_error']:.1%}, active error {m['active_error']:.1%}, instability "
            f"{m['instability']:.3f}, {rate}, {m['missed_activations']} of {m['contractions']} contractions missed, median "
            f"onset delay {m['onset_delay']['p50_ms']:.0f} ms",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

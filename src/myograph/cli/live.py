"""`myograph live`: run a decoder on live samples, with a terminal view, a log, and output to other programs."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from myograph.cli.decoder import Post, load_recordings, parse_post, parse_value
from myograph.cli.terminal import Json, out, print_facts, print_json, print_path, progress_bar
from myograph.errors import ConfigError, SourceEnded

if TYPE_CHECKING:
    from myograph.live.decisions import Decisions
    from myograph.live.decoder import Decoder
    from myograph.live.log import LiveLog, LoggedSession
    from myograph.live.prompts import Prompts
    from myograph.live.publish import Publisher
    from myograph.live.session import Piece, Session
    from myograph.live.sources.base import Source

PAUSE_S = 0.001
KEPT = 2000  # decisions over which the view computes the latency
FORMS = "simulated, replay:RECORDING, lsl[:NAME], brainflow[:BOARD], udp:HOST:PORT, or any other registered source"


def live(
    file: Annotated[Path, typer.Argument(help="A decoder's file.")],
    source: Annotated[str, typer.Option(help=f"Where the samples come from: {FORMS}.")] = "simulated",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the source: key=value, for example speed=2 or subject=3."),
    ] = None,
    subjects: Annotated[str | None, typer.Option(help="With replay: subjects of the data set to play.")] = None,
    log: Annotated[Path | None, typer.Option("--out", help="Write the session to this new file, line by line.")] = None,
    publish: Annotated[
        list[str] | None, typer.Option(help="Send decisions: lsl, udp:HOST:PORT or websocket[:PORT]; may be repeated.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Stop after this many seconds; 0 runs until Ctrl-C or the end of the source.")
    ] = 0,
    prompt: Annotated[
        bool | None,
        typer.Option(
            "--prompt/--no-prompt",
            help="Prompt for the decoder's gestures in a seeded order; by default only if the source is simulated.",
        ),
    ] = None,
    hold: Annotated[float, typer.Option(help="Duration of each gesture prompt in s.")] = 3.0,
    pause: Annotated[float, typer.Option(help="Duration of the rest after each gesture in s.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Number of prompts per gesture; 0 repeats without end.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the order of prompts.")] = 0,
    post: Post = None,
    gaps: Annotated[str, typer.Option(help="How missing samples are handled: fill, restart or refuse.")] = "fill",
    reconnect: Annotated[float, typer.Option(help="Seconds during which a lost source is reconnected.")] = 30.0,
    rest: Annotated[str, typer.Option(help="Class to which rejected decisions are assigned.")] = "rest",
    as_json: Json = False,
) -> None:
    """Run a decoder live: show each decision with its confidence and latency, show gaps, and write a report at the end.

    The log holds every decision and prompt; `myograph report LOG` rewrites the report from it.
    """
    from myograph.live.decoder import Decoder
    from myograph.live.prompts import Prompts
    from myograph.live.publish import publisher
    from myograph.live.session import Session
    from myograph.live.sources.base import Gaps

    decoder = Decoder.load(file)
    if post:
        decoder = decoder.with_post(*parse_post(post))
    chosen = choose_source(source, decoder, settings or (), subjects)
    gestures = tuple(name for name in decoder.classes if name != rest)
    asks = hasattr(chosen, "perform") if prompt is None else prompt
    prompts = Prompts(gestures, rest, hold, pause, rounds, seed) if asks else None
    session = Session(decoder, chosen, Gaps(cast(Literal["fill", "restart", "refuse"], gaps)), reconnect_s=reconnect)
    run = LiveRun(session, decoder, prompts, [publisher(text) for text in publish or ()], rest)
    limit = min(seconds or math.inf, prompts.duration_s if prompts else math.inf)
    with run.opened(log, {"rest": rest}) as where, _view(run, where, as_json) as show:
        run.play(limit, show)
    finish(run, log, rest, as_json)


@dataclass
class LiveRun:
    """One live session: steps it, asks for gestures, writes the log and publishes the decisions."""

    session: Session
    decoder: Decoder
    prompts: Prompts | None
    publishers: list[Publisher]
    rest: str
    log: LiveLog | None = None
    last: Decisions | None = None
    asked: str = ""
    made: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    kept: list[Decisions] = field(default_factory=list)
    asked_at: list[tuple[float, str]] = field(default_factory=list)
    first: int | None = None
    interrupted: bool = False
    _counted: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def opened(self, log: Path | None, facts: dict[str, Any]) -> Iterator[list[str]]:
        """Open the source, the log and the publishers; yield the addresses at which decisions can be received."""
        from myograph.live.log import LiveLog

        info = self.session.open()
        try:
            if log is not None:
                self.log = LiveLog(log, self.decoder, info, facts)
            yield [p.open(self.decoder.classes, self.decoder.info["method"]) for p in self.publishers]
        finally:
            if self.log is not None:
                self.log.close(self.session.counts)
            for sender in self.publishers:
                sender.close()
            self.session.close()

    def play(self, seconds: float, show: Callable[[], None]) -> None:
        """Run until `seconds` of signal or of clock time have passed, whichever comes first, or until Ctrl-C."""
        ends = time.monotonic() + seconds
        with self._noting_interrupts():
            while time.monotonic() < ends and not self.interrupted:
                try:
                    piece = self.session.step()
                except SourceEnded:
                    return
                if piece is None:
                    show()
                    time.sleep(PAUSE_S)
                    continue
                self._take(piece)
                show()
                if self.time_s(piece.first + piece.samples.shape[1]) - self.time_s(self.first or 0) >= seconds:
                    return

    @contextlib.contextmanager
    def _noting_interrupts(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM only sets `interrupted`: Python drops an exception that is raised in a callback, for
        example while a loop is being compiled. A second one raises as usual.
        """

        def note(number: int, _: object) -> None:
            self.interrupted = True
            signal.signal(number, before[signal.Signals(number)])

        if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
            yield
            return
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def time_s(self, sample: int) -> float:
        """Return the time of a sample in seconds after the device's first sample."""
        return sample / self.decoder.rate_hz

    def _take(self, piece: Piece) -> None:
        begins = self.first is None
        if self.first is None:
            self.first = piece.first
        self._note_gap(piece, begins)
        if piece.decisions is not None and len(piece.decisions):
            self.last = piece.decisions
            self.made += len(piece.decisions)
            self.latencies.extend(piece.decisions.latency_ms.tolist())
            for sender in self.publishers:
                sender.send(piece.decisions)
            if self.log is not None:
                self.log.decisions(piece.decisions)
            else:
                self.kept.append(piece.decisions)
        self._ask(piece.first + piece.samples.shape[1])

    def _ask(self, sample: int) -> None:
        wanted = self._wanted(sample)
        if wanted == self.asked:
            return
        self.asked = wanted
        perform = getattr(self.session.source, "perform", None)
        if self.prompts is not None and perform is not None:
            perform(wanted, at=sample)
        # While rest is prompted, no decision of a decoder without a rest class is right or wrong.
        label = wanted if wanted in self.decoder.classes else ""
        self.asked_at.append((self.time_s(sample), label))
        if self.log is not None:
            self.log.prompt(self.time_s(sample), label)

    def _wanted(self, sample: int) -> str:
        """Return the prompt that applies from a sample on; in a replay, the recording's label at that sample."""
        if self.prompts is not None:
            return self.prompts.at(self.time_s(sample) - self.time_s(self.first or 0))
        recording = getattr(self.session.source, "recording", None)
        if recording is None:
            return ""
        label = int(recording.label[sample % recording.n_samples])
        return recording.label_names[label] if label >= 0 else ""

    def _note_gap(self, piece: Piece, begins: bool) -> None:
        counts, before = self.session.counts, self._counted
        new = {name: counts[name] - before.get(name, 0) for name in ("filled", "lost", "restarts")}
        self._counted = dict(counts)
        if self.log is None or begins or not any(new.values()):
            return
        done = "filled" if not new["restarts"] else "started again"
        missing = new["filled"] + new["lost"] if new["filled"] + new["lost"] else "unknown"
        self.log.event("gap", time_s=self.time_s(piece.first), missing=missing, done=done)

    def result(self) -> LoggedSession:
        """Return the session in the form in which `read_log` returns it, also if no log was written."""
        import numpy as np

        from myograph.live.decisions import Decisions
        from myograph.live.log import LoggedSession, read_log, start_facts

        if self.log is not None:
            return read_log(self.log.path)
        made = Decisions.concatenate(self.kept or [self.decoder.stream().push(np.zeros((self.decoder.n_channels, 0)))])
        counts = dict(self.session.counts)
        return LoggedSession(start_facts(self.decoder), made, tuple(self.asked_at), counts=counts)


def choose_source(text: str, decoder: Decoder, settings: Sequence[str] = (), subjects: str | None = None) -> Source:
    """Create a source from a text such as "udp:127.0.0.1:9000" and its settings.

    Every registered source can be named; those without a form of their own, such as udp:HOST:PORT, take all options
    from the settings.

    Raises
    ------
    UnknownNameError : no such source or setting. ConfigError : a text or value that does not fit.
    """
    from myograph.live.sources import SOURCES

    kind, _, where = text.partition(":")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r} is not key=value, as in speed=2")
        options[key] = parse_value(value)
    stated = {"n_channels": decoder.n_channels, "rate_hz": decoder.rate_hz}
    if kind == "simulated":
        return SOURCES.create(kind, **{**stated, **options})
    if kind == "replay":
        return SOURCES.create(kind, recording=_recording(where, subjects, decoder), **options)
    if kind == "lsl":
        return SOURCES.create(kind, **({"name": where} if where else {}), **options)
    if kind == "brainflow":
        return SOURCES.create(kind, **({"board": where} if where else {}), **options)
    if kind == "udp":
        host, _, port = where.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--source {text!r}: expected udp:HOST:PORT, such as udp:127.0.0.1:9000")
        return SOURCES.create(kind, **{**stated, "unit": decoder.unit, "host": host, "port": int(port), **options})
    if where and kind in SOURCES:
        raise ConfigError(f"--source {text!r}: nothing may follow the name {kind}; pass its options as --set key=value")
    return SOURCES.create(kind, **options)


def _recording(given: str, subjects: str | None, decoder: Decoder) -> Any:
    """Load the recordings of one data set or file, joined into one with a break between consecutive recordings."""
    from myograph.live.sources.replay import joined

    if not given:
        raise ConfigError("--source replay needs a recording: replay:NAME of a data set, a dataset.toml or a .npy file")
    with progress_bar() as progress:
        return joined(load_recordings(given, subjects, decoder, progress))


@contextlib.contextmanager
def _view(run: LiveRun, where: list[str], as_json: bool) -> Iterator[Callable[[], None]]:
    """Yield a function that shows the session's state a few times per second, and does nothing without a terminal."""
    if as_json:
        yield lambda: None
        return
    for text in where:
        out.print(f"publishing: {text}", markup=False, highlight=False)
    if not out.is_terminal:
        yield lambda: None
        return
    from rich.live import Live

    from myograph.cli.live_view import panel

    shown = 0.0
    with Live(panel(run), console=out, auto_refresh=False, transient=True) as screen:

        def show() -> None:
            nonlocal shown
            if time.monotonic() - shown > 0.1:
                screen.update(panel(run), refresh=True)
                shown = time.monotonic()

        yield show


def finish(run: LiveRun, log: Path | None, rest: str, as_json: bool) -> None:
    """Print the summary of a session, and write its report if there is a log."""
    from myograph._common.files import plain
    from myograph.evaluation.report.live import write_live_report

    session = run.result()
    summary = session.summary(rest)
    page = None if log is None else write_live_report(session, log.with_suffix(".html"), rest)
    if as_json:
        files = {"log": None if log is None else str(log), "report": None if page is None else str(page)}
        print_json(plain({"decoder": run.decoder.info["method"], **summary, **files}))
        return
    show_summary(summary)
    if log is not None:
        print_path("\nlog", log)
        print_path("report", page)


def show_summary(summary: dict[str, Any]) -> None:
    """Print the summary of a session."""
    from myograph.evaluation.report.decision_charts import decision_tiles

    counts, spent = summary["counts"], summary["latency"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in summary["shares"].items() if share > 0)
    facts = {
        "decisions": f"{summary['decisions']} in {summary['duration_s']:.0f} s, {summary['rejected']} rejected",
        "shares": shares or "none",
        "latency": f"median {spent['p50_ms']:.2f} ms, 99 % {spent['p99_ms']:.2f} ms, longest {spent['max_ms']:.1f} ms",
        "samples": ", ".join(f"{n} {name}" for name, n in counts.items()) or "unknown",
    }
    for tile in decision_tiles(summary["metrics"]) if "metrics" in summary else []:
        facts[tile["title"].lower()] = f"{tile['value']} ({tile['note']})"
    print_facts(facts)

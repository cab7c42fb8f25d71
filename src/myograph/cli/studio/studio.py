"""`Studio`: one source, and everything that uses its samples. All state is kept here; pages only show it."""

from __future__ import annotations

import inspect
import threading
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from myograph.cli.studio.decode import Decoding
from myograph.cli.studio.engine import Engine
from myograph.cli.studio.lamps import TITLES, Judge, Last
from myograph.cli.studio.plan import REST, PromptPlan
from myograph.cli.studio.record import Recorder
from myograph.cli.studio.train import Trainer, decoder_path
from myograph.cli.studio.trials import DIRECTIONS, CursorTest, LiveTest, MotionTest, RestTest, Results, make_targets
from myograph.cli.studio.view import View
from myograph.errors import ConfigError, unknown_name
from myograph.live.decoder import Decoder
from myograph.live.session import Piece
from myograph.live.sources.base import Gaps, Source

WRONG_S = 0.5  # of signal kept by "that was wrong"
# Gestures of a new session if the source is the simulator, which has more gestures.
GESTURES = ("hand_close", "hand_open", "wrist_flexion", "wrist_extension", "pinch_grip")
CATALOGUE = (
    *GESTURES,
    "pointing",
    "thumb_up",
    "chuck_grip",
    "radial_deviation",
    "ulnar_deviation",
    "pronation",
    "supination",
)

SLOW = ("train.start", "train.save", "decode.load")  # they read and write files, and hold the lock only while they must


class Studio:
    """The state and the commands behind the page.

    Parameters
    ----------
    source : where samples come from.
    root : the folder of sessions, decoders and tests.
    gaps : how missing samples are handled.

    Commands come from pages through `command`; samples come from the acquisition thread through the engine. Both run
    under the engine's lock, except for commands of `SLOW`.
    """

    def __init__(self, source: Source, root: Path, gaps: Gaps | None = None):
        self.root = Path(root)
        self.engine = Engine(source, gaps=gaps)
        info = self.engine.info
        self.view = View(info.n_channels, info.rate_hz)
        self.last = Last(info.n_channels, info.rate_hz)
        self.recorder = Recorder(self.root, info)
        self.trainer = Trainer(self.root, info.n_channels)
        self.decoding = Decoding(self.engine.session)
        self.results = Results(self.root)
        self.test: LiveTest | None = None
        self._judge = Judge(info.rate_hz, info.unit)
        self.lamps = ["good"] * info.n_channels
        self.gap_bins: list[int] = []  # of the newest gaps
        self.follow = True
        self.performing = REST
        self._next = 0  # number of the next sample
        self.exporting: threading.Thread | None = None
        self.engine.take = self.take
        self._commands: dict[str, Callable[..., Any]] = {
            "source.again": self.engine.again,
            "source.perform": self.perform,
            "source.follow": self.set_follow,
            "record.start": self.recorder.start,
            "record.again": self.recorder.again,
            "record.pause": self.recorder.pause,
            "record.resume": self.recorder.resume,
            "record.undo": self.recorder.undo,
            "record.stop": self.stop_recording,
            "train.start": self.train,
            "train.save": self.save,
            "decode.load": self.load,
            "decode.stop": self.stop_decoding,
            "decode.post": self.decoding.set_post,
            "decode.wrong": self.wrong,
            "test.motion": self.test_motion,
            "test.rest": self.test_rest,
            "test.fitts": self.test_fitts,
            "test.steer": self.steer,
            "test.stop": self.stop_test,
        }

    @property
    def performs(self) -> bool:
        """Whether the source is a simulated person, who can perform gestures."""
        return hasattr(self.engine.session.source, "perform")

    def take(self, piece: Piece) -> None:
        """Process samples and decisions: record, test, and keep what the pages draw."""
        samples, decisions = piece.samples, piece.decisions
        self._next = piece.first + samples.shape[1]
        restarted = (
            piece.restarted and self.engine.now > samples.shape[1]
        )  # the first piece begins, it does not restart
        if restarted:
            self.gap_bins = [*self.gap_bins[-19:], self.view.bins]
        finished = self.recorder.take(samples, restarted)
        if decisions is not None:
            self.decoding.take(decisions)
            if self.test is not None:
                self.test.take(piece, decisions)
                if self.test.over:
                    self.stop_test()
        self.view.push(samples)
        self.last.push(samples)
        if finished:
            self.stop_recording()
        if self.performs and self.follow:
            wanted = self.wanted
            if wanted is not None:
                self._ask(wanted)

    @property
    def wanted(self) -> str | None:
        """The gesture of the current prompt; None if there is no prompt."""
        return self.recorder.wanted if self.test is None else self.test.wanted

    def stop_recording(self) -> None:
        """End the recorded session, and write the data set in a thread, so that acquisition does not wait for it."""
        self.recorder.stop()
        self.exporting = threading.Thread(target=self.recorder.export, name="export", daemon=True)
        self.exporting.start()

    def _ask(self, gesture: str) -> None:
        if gesture != self.performing:
            # At the next sample, not at the present time: on a busy machine the clock is ahead of the samples.
            typing.cast(Any, self.engine.session.source).perform(gesture, at=self._next)
            self.performing = gesture

    def perform(self, gesture: str) -> None:
        """Let the simulated person perform a gesture.

        Raises
        ------
        ConfigError : the source is a device. UnknownNameError : the simulator does not know the gesture.
        """
        if not self.performs:
            raise ConfigError("the source is a device: perform the gesture yourself")
        self._ask(gesture)

    def set_follow(self, on: bool) -> None:
        """Let the simulated person follow the prompts, or only the calls of `perform`."""
        self.follow = on

    def train(
        self,
        method: str,
        length_ms: float = 200.0,
        step_ms: float = 50.0,
        band: bool = True,
        sessions: list | None = None,
    ) -> None:
        """Score and fit a method; see `Trainer.start`."""
        self.trainer.start(method, length_ms, step_ms, band, sessions)

    def save(self, name: str) -> None:
        """Save the trained decoder, and decode with it."""
        self.trainer.save(name)
        self.load(name)

    def load(self, name: str) -> None:
        """Decode with a saved decoder; a running test of another decoder is ended."""
        decoder = Decoder.load(decoder_path(self.root, name))
        with self.engine.lock:
            self.stop_test()
            self.decoding.use(decoder, name)

    def stop_decoding(self) -> None:
        """Stop decoding."""
        self.stop_test()
        self.decoding.stop()

    def wrong(self, label: str) -> None:
        """Keep the last half second as an example of `label`, which the decoder misclassified.

        Raises
        ------
        ConfigError : no decoder is in use, or the label is not one of its classes.
        """
        decoder, last = self.decoding.decoder, self.decoding.last
        if decoder is None or last is None:
            raise ConfigError("nothing has been decided yet")
        if label not in decoder.classes:
            raise ConfigError(f"the decoder knows {', '.join(decoder.classes)}, not {label!r}")
        n = round(WRONG_S * self.engine.info.rate_hz)
        self.recorder.correct(self.last.samples()[:, -n:], label, last["output"])

    def test_motion(self, repetitions: int = 2, hold_s: float = 3.0, rest_s: float = 2.0, seed: int = 0) -> None:
        """Prompt for every gesture of the decoder, and compare its decisions with the prompts."""
        decoder = self._ready()
        plan = PromptPlan(tuple(c for c in decoder.classes if c != REST), repetitions, hold_s, rest_s, seed=seed)
        self.test = MotionTest(self.results.next_path("motion"), decoder, self.engine.info, self._facts(), plan)

    def test_rest(self, seconds: float = 60.0) -> None:
        """Count activations while the person rests."""
        decoder = self._ready()
        if not 5 <= seconds <= 3600:
            raise ConfigError(f"seconds of a rest test must be 5 to 3600, got {seconds!r}")
        self.test = RestTest(self.results.next_path("rest"), decoder, self.engine.info, self._facts(), seconds)

    def test_fitts(
        self,
        directions: dict,
        targets: int = 8,
        dwell_s: float = 0.5,
        speed: float = 0.4,
        control: str = "decoder",
        seed: int = 0,
    ) -> None:
        """Start a Fitts' law test: move a cursor to targets at seeded positions.

        directions : gesture of the decoder for each of right, left, up and down. control : "decoder" or "hand".
        """
        decoder = self._ready()
        gestures = [g for g in directions.values() if isinstance(g, str) and g in decoder.classes and g != REST]
        if set(directions) != set(DIRECTIONS) or len(set(gestures)) != len(DIRECTIONS):
            raise ConfigError(
                f"directions must name different gestures of the decoder for {', '.join(DIRECTIONS)}, got "
                f"{directions!r}"
            )
        if control not in ("decoder", "hand") or not 0.05 <= speed <= 3:
            raise ConfigError(
                f"control must be 'decoder' or 'hand', and speed 0.05 to 3, got {control!r} and {speed!r}"
            )
        test = make_targets(targets, dwell_s, seed)
        path = self.results.next_path("fitts")
        facts = self._facts()
        self.test = CursorTest(path, decoder, self.engine.info, facts, directions, control, speed, test, seed)

    def steer(self, x: float, y: float) -> None:
        """Move the cursor of a Fitts' law test by hand: -1 to 1 times its speed on each axis."""
        if isinstance(self.test, CursorTest):
            self.test.steer(x, y)

    def _ready(self) -> Any:
        decoder = self.decoding.decoder
        if decoder is None:
            raise ConfigError("no decoder is in use; train one, or choose a saved one under Decode")
        if self.test is not None or self.recorder.running:
            raise ConfigError("a test or a recording is running; stop it first")
        return decoder

    def _facts(self) -> dict[str, Any]:
        return {"name": self.decoding.name, "post": self.decoding.part()["post"]}

    def stop_test(self) -> None:
        """End the test; an unfinished test is not added to the results."""
        test, self.test = self.test, None
        if test is not None:
            test.close(self.engine.counts)
            self.results.add(test.path)

    def command(self, name: str, args: dict[str, Any]) -> None:
        """Carry out a command of a page.

        Raises
        ------
        UnknownNameError : an unknown command. MyographError : the command failed; the message says why.
        """
        if name not in self._commands:
            raise unknown_name("command", name, self._commands)
        function = self._commands[name]
        _check_types(name, function, args)
        if name in SLOW:
            function(**args)
        else:
            with self.engine.lock:
                function(**args)

    def judge(self) -> None:
        """Update the signal quality of all channels."""
        with self.engine.lock:
            samples = self.last.samples()
        self.lamps = self._judge.judge(samples)

    def parts(self) -> dict[str, Any]:
        """Return the whole state in parts, as plain values; a part is sent to the pages when it has changed."""
        with self.engine.lock:
            return {
                "source": self._source_part(),
                "record": self.recorder.part(),
                "train": self.trainer.part(),
                "decode": self.decoding.part(),
                "test": {"running": None if self.test is None else self.test.kind, "results": list(self.results.kept)},
            }

    def _source_part(self) -> dict[str, Any]:
        engine, info = self.engine, self.engine.info
        layout = info.layout
        return {
            "name": info.name,
            "n_channels": info.n_channels,
            "rate_hz": info.rate_hz,
            "unit": info.unit,
            "channels": list(info.channels) or [f"{i + 1}" for i in range(info.n_channels)],
            "layout": None if layout is None else {"row": layout.row, "column": layout.column, "shape": layout.shape},
            "state": engine.state,
            "problem": engine.problem,
            "counts": {k: v for k, v in engine.counts.items() if k != "samples"},
            "gaps": self.gap_bins,
            "lamps": self.lamps,
            "titles": TITLES,
            "performs": self.performs,
            "follow": self.follow,
            "performing": self.performing,
            "gestures": list(CATALOGUE),
            "usual": list(GESTURES),
            "folder": str(self.root),
        }

    def tick(self) -> dict[str, Any]:
        """Return the values that change with every drawn frame."""
        with self.engine.lock:
            return {
                "seconds": self.engine.now / self.engine.info.rate_hz,
                "record": self.recorder.tick(),
                "decision": self.decoding.tick(),
                "test": None if self.test is None else self.test.tick(),
            }

    def close(self) -> None:
        """End the acquisition, and close all files."""
        self.engine.stop()
        if self.exporting is not None:
            self.exporting.join()
        with self.engine.lock:
            self.recorder.close()
            self.stop_test()


def _check_types(name: str, function: Callable[..., Any], args: dict[str, Any]) -> None:
    """Raise ConfigError if arguments do not fit the function's signature and types."""
    hints = typing.get_type_hints(function)
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from None
    for key, value in args.items():
        hint = hints[key]
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        fits = [k for k in kinds if _is(value, k)]
        if not fits:
            expected = " or ".join(getattr(k, "__name__", str(k)) for k in kinds)
            raise ConfigError(f"{name}: {key} must be {expected}, got {value!r}")


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool) and kind is not bool:
        return False
    if kind is float:
        return isinstance(value, (int, float)) and value == value and abs(value) < float("inf")
    return isinstance(value, kind)

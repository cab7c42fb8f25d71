"""Training: from recorded sessions to an audited score and a decoder, in a thread beside the acquisition."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import plain
from myograph.cli.studio.plan import REST
from myograph.cli.studio.sessions import NAME, read_session, sampled_sessions
from myograph.errors import ConfigError, MyographError
from myograph.evaluation.deploy import fit_decoder
from myograph.evaluation.recipe import DEFAULT_METHOD, Recipe
from myograph.evaluation.run import evaluate_all
from myograph.evaluation.scores import Scores
from myograph.live.decoder import Decoder
from myograph.methods import METHODS
from myograph.preprocessing import BandPass
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording
from myograph.windows import Windowing

CLASSICAL = ("lda", "smoothed", "lda_svm", "svm", "knn", "random_forest")
MOST_CHANNELS = 16  # up to which the package's default method is proposed
LOW_HZ, HIGH_HZ = 20.0, 450.0
ENDING = ".myo"


class Trainer:
    """Scores and fits one method at a time on the sessions below `root`, recorded with `n_channels` channels."""

    def __init__(self, root: Path, n_channels: int):
        self.root, self.default = root, default_method(n_channels)
        self.state, self.problem, self.saved = "idle", "", ""
        self.progress: tuple[str, int, int] = ("", 0, 0)
        self.settings: dict[str, Any] = {}
        self.scores: list[dict[str, Any]] = []
        self.skipped: dict[str, str] = {}
        self.decoder: Decoder | None = None
        self.methods = [{"name": n, "summary": METHODS.summaries()[n]} for n in CLASSICAL]
        self._thread: threading.Thread | None = None

    def start(
        self,
        method: str,
        length_ms: float = 200.0,
        step_ms: float = 50.0,
        band: bool = True,
        sessions: list | None = None,
        wait: bool = False,
    ) -> None:
        """Score a method on new repetitions, and on new sessions if there are several; then fit it on all chosen
        sessions.

        Parameters
        ----------
        band : whether to apply a band-pass of 20 to 450 Hz, or as much of it as the rate allows.
        sessions : [subject, session] pairs; None takes all.
        wait : whether to return only after training; otherwise return at once.

        Raises
        ------
        ConfigError : training is already running, the method is unknown, or there is nothing to train on.
        """
        if self.state == "working":
            raise ConfigError("training is running; wait until it is done")
        if method not in CLASSICAL:
            raise ConfigError(
                f"the studio trains {', '.join(CLASSICAL)}, got {method!r}; `myograph run` trains all methods"
            )
        recordings = self._recordings(sessions)
        filters = (_band(recordings[0].rate_hz),) if band else ()
        recipe = Recipe(
            "studio",
            "folder",
            KFoldRepetitions(),
            method,
            filters=filters,
            windowing=Windowing(length_ms, step_ms),
            rest="balance",
        )
        self.settings = {"method": method, "length_ms": length_ms, "step_ms": step_ms, "band": band}
        self.state, self.problem, self.saved, self.decoder = "working", "", "", None
        self.scores, self.skipped, self.progress = [], {}, ("reading", 0, 1)
        self._thread = threading.Thread(target=self._run, args=(recipe, recordings), name="training", daemon=True)
        self._thread.start()
        if wait:
            self._thread.join()

    def _recordings(self, chosen: list | None) -> list[Recording]:
        wanted = None if chosen is None else {tuple(map(str, pair)) for pair in chosen}
        found = []
        for folder in sampled_sessions(self.root):
            if wanted is None or (folder.parent.name, folder.name) in wanted:
                recording = read_session(folder)
                if (recording.label > 0).any():
                    found.append(recording)
        if not found:
            raise ConfigError("there is no finished repetition to train on; record a session first")
        return found

    def _run(self, recipe: Recipe, recordings: list[Recording]) -> None:
        def progress(what: str, done: int, total: int) -> None:
            self.progress = (what, done, total)

        try:
            found = evaluate_all(recipe, recordings, progress=progress)
            self.scores = [_shown(question, scores) for question, scores in found.scores.items()]
            self.skipped = found.skipped
            by_repetition = next(iter(found.scores.values()))
            self.decoder = fit_decoder(recipe, recordings, by_repetition, progress=progress)
            self.state = "done"
        except (MyographError, ValueError, ArithmeticError, MemoryError) as error:
            self.state, self.problem = "failed", str(error)

    def save(self, name: str) -> Path:
        """Write the decoder as `decoders/NAME.myo`.

        Raises
        ------
        ConfigError : nothing has been trained, or the name is not a valid file name.
        """
        if self.decoder is None:
            raise ConfigError("there is no trained decoder to save; train one first")
        path = decoder_path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.decoder.save(path)
        self.saved = name
        return path

    def part(self) -> dict[str, Any]:
        """Return the state that the page shows, as plain values."""
        what, done, total = self.progress
        return {
            "state": self.state,
            "problem": self.problem,
            "progress": {"what": what, "done": done, "total": total},
            "settings": self.settings,
            "scores": self.scores,
            "skipped": self.skipped,
            "methods": self.methods,
            "default": self.default,
            "ready": self.decoder is not None,
            "saved": self.saved,
            "decoders": list_decoders(self.root),
        }


def default_method(n_channels: int) -> str:
    """Return the method that the page proposes: the package's default for up to 16 channels, `lda` for more.

    The default is 0.4 to 6 percentage points more accurate than `lda` on the recordings of docs/default-method.md. With 15
    repetitions of 16 channels, scoring and fitting it takes 3 s of processor time, and a decision 3.5 ms; `lda` takes 1.5 s
    and 0.1 ms. But it has features of pairs of channels, so with 32 channels one fit takes 8 s.
    """
    return DEFAULT_METHOD if n_channels <= MOST_CHANNELS else "lda"


def warm_up(n_channels: int, rate_hz: float) -> None:
    """Fit and run a small decoder, so that kernels are compiled before samples arrive."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 0, 1], round(rate_hz))
    signal = rng.normal(size=(n_channels, len(label))) * (1 + label)
    recording = Recording(signal.astype(np.float32), rate_hz, label, "1")
    decoder = Decoder.fit(recording, default_method(n_channels), _band(rate_hz))
    decoder.stream().push(recording.signal[:, : round(rate_hz)])


def _band(rate_hz: float) -> BandPass:
    return BandPass(LOW_HZ, min(HIGH_HZ, 0.45 * rate_hz))


def decoder_path(root: Path, name: str) -> Path:
    """Return the path of a decoder.

    Raises
    ------
    ConfigError : the name is not a valid file name.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ConfigError(f"the name of a decoder must be 1 to 40 letters, digits, - and _, got {name!r}")
    return root / "decoders" / f"{name}{ENDING}"


def list_decoders(root: Path) -> list[str]:
    """Return the names of the saved decoders."""
    return sorted(path.stem for path in (root / "decoders").glob(f"*{ENDING}"))


def _shown(question: str, scores: Scores) -> dict[str, Any]:
    """Return the part of a score that the page shows."""
    counts = scores.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return plain(
        {
            "question": question,
            "words": scores.question,
            "accuracy": scores.summary["accuracy"],
            "balanced": scores.summary["balanced_accuracy"],
            "vote": scores.summary.get("trial_vote_accuracy"),
            "over": scores.over,
            "chance": scores.chance,
            "labels": scores.labels,
            "share": share.round(4).tolist(),
            "counts": counts.tolist(),
            "folds": len(scores.folds),
            "audit": all(a["passed"] for a in scores.info["audit"]),
            "notes": list(scores.notes),
            "seconds": scores.info["wall_s"],
            "rest": REST in scores.labels,
        }
    )

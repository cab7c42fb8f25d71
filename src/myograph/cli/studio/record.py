"""Screen-guided recording: prompts are synchronised with the samples, which are written as they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from myograph.cli.studio.plan import REST, Prompter, PromptPlan
from myograph.cli.studio.sessions import (
    SessionWriter,
    export,
    finished_attempts,
    list_sessions,
    n_samples,
    read_events,
    read_info,
    session_folder,
)
from myograph.errors import ConfigError, DataError, MyographError
from myograph.live.sources.base import StreamInfo

CORRECTIONS = "corrections"


class Recorder:
    """Records one session at a time below `root`."""

    def __init__(self, root: Path, info: StreamInfo):
        self.root, self.info = root, info
        self.prompter: Prompter | None = None
        self.subject = self.session = self.problem = ""
        self._writer: SessionWriter | None = None
        self.dataset: Path | None = None
        self.sessions = self._list()

    @property
    def running(self) -> bool:
        """Whether a session is being recorded, also while it is paused."""
        return self._writer is not None

    @property
    def wanted(self) -> str | None:
        """The gesture of the current prompt; None while nothing is recorded."""
        return None if self.prompter is None or not self.running else self.prompter.wanted

    def start(self, subject: str, session: str, plan: dict) -> None:
        """Record a new session.

        Raises
        ------
        ConfigError : a session is running, the name is taken, or the plan is invalid.
        """
        self._need_idle()
        chosen = PromptPlan.of(plan)
        folder = session_folder(self.root, subject, session)
        if folder.exists():
            raise ConfigError(
                f"there is already a session {session!r} of {subject!r}; resume it, or choose another name for this one"
            )
        self._writer = SessionWriter(self.root, subject, session, self.info, chosen.as_dict())
        self._begin(subject, session, Prompter(chosen, self.info.rate_hz))

    def again(self, subject: str, session: str) -> None:
        """Resume an interrupted session; only the prompts that are missing from its plan are shown.

        Raises
        ------
        ConfigError, DataError : a session is running, or the named session does not exist, has no plan, or was recorded
            with another device.
        """
        self._need_idle()
        folder = session_folder(self.root, subject, session)
        info, events = read_info(folder), read_events(folder)
        if not isinstance(info.get("plan"), dict):
            raise DataError(f"session {session!r} of {subject!r} was not recorded from a plan; record a new one")
        done = finished_attempts(events)
        number = max((e["attempt"] for e in events if isinstance(e.get("attempt"), int)), default=0)
        self._writer = SessionWriter(self.root, subject, session, self.info)
        self._begin(subject, session, Prompter(PromptPlan.of(info["plan"]), self.info.rate_hz, done, number))

    def _begin(self, subject: str, session: str, prompter: Prompter) -> None:
        self.subject, self.session, self.prompter, self.problem = subject, session, prompter, ""
        self._event("ready")
        self.sessions = self._list()
        if prompter.phase == "done":
            self.stop()

    def _need_idle(self) -> None:
        if self.running:
            raise ConfigError(f"session {self.session!r} is being recorded; stop it first")

    def _event(self, kind: str, **values: Any) -> None:
        if self._writer is not None:
            self._writer.event(kind, **values)

    def pause(self) -> None:
        """Stop the prompts; samples are still written, without a label."""
        if self.running and self.prompter is not None:
            broken = self.prompter.pause()
            if broken is not None:
                self._event("void", attempt=broken)
            self._event("pause")

    def resume(self) -> None:
        """Resume after a pause, with a countdown."""
        if self.running and self.prompter is not None:
            self.prompter.resume()
            self._event("ready")

    def undo(self) -> None:
        """Discard the running repetition, or else the last one, and prompt for it again."""
        if self.running and self.prompter is not None:
            number = self.prompter.undo()
            if number is not None:
                self._event("void", attempt=number)
                self._event("ready")

    def stop(self) -> None:
        """End the session."""
        if self._writer is not None:
            self._event("stop")
            self._writer.close()
            self._writer = None
        self.sessions = self._list()

    def export(self) -> None:
        """Write the data set of all sessions. This is slow and needs no lock."""
        try:
            self.dataset = export(self.root)
        except (MyographError, OSError) as error:
            self.problem = f"the data set could not be written: {error}"

    def take(self, samples: np.ndarray, restarted: bool) -> bool:
        """Write (channel, time) samples and advance the prompts; return True when the plan has just been finished."""
        if self._writer is None or self.prompter is None:
            return False
        before = self._writer.n_samples
        try:
            self._writer.append(samples, restarted)
            for event in self.prompter.advance(samples.shape[1]):
                self._note(event, before + event.offset)
        except OSError as error:
            self.problem = f"recording has stopped, the samples so far are kept: {error}"
            self._writer.close()
            self._writer = None
        return self.prompter.phase == "done"

    def _note(self, event: Any, sample: int) -> None:
        assert self._writer is not None
        assert self.prompter is not None
        values: dict[str, Any] = {}
        if event.kind != "done":
            values = {"attempt": event.attempt, "gesture": event.gesture, "repetition": event.repetition}
        if event.kind == "begin":
            values["labelled_s"] = list(self.prompter.plan.labelled_s)
        self._writer.event(event.kind, sample, **values)

    def correct(self, samples: np.ndarray, label: str, decided: str) -> None:
        """Keep the last samples as an example of `label` in a separate session.

        samples : (channel, time). decided : the class that the decoder gave.
        """
        subject = self.subject or "me"
        writer = SessionWriter(self.root, subject, CORRECTIONS, self.info)
        try:
            number = 1 + max((e.get("attempt", 0) for e in read_events(writer.folder)), default=0)
            seconds = samples.shape[1] / self.info.rate_hz
            values = {"attempt": number, "gesture": label, "repetition": number}
            writer.event("begin", **values, labelled_s=[0.0, seconds], decided=decided)
            writer.append(samples)
            writer.event("end", **values)
            writer.event("stop")
        finally:
            writer.close()
        self.sessions = self._list()

    def part(self) -> dict[str, Any]:
        """Return the state that the page shows, as plain values."""
        p = self.prompter
        return {
            "running": self.running,
            "subject": self.subject,
            "session": self.session,
            "phase": "idle" if p is None or not (self.running or p.phase == "done") else p.phase,
            "finished": 0 if p is None else p.finished,
            "total": 0 if p is None else p.total,
            "plan": None if p is None else p.plan.as_dict(),
            "problem": self.problem,
            "sessions": self.sessions,
            "dataset": None if self.dataset is None else str(self.dataset),
            "seconds": 0.0 if self._writer is None else self._writer.n_samples / self.info.rate_hz,
        }

    def tick(self) -> dict[str, Any] | None:
        """Return the values that change with every drawn frame while a session runs, or None."""
        p = self.prompter
        return None if p is None or not self.running else prompt(p)

    def close(self) -> None:
        """Close the files of the running session; it can be resumed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _list(self) -> list[dict[str, Any]]:
        found = []
        for folder in list_sessions(self.root):
            try:
                info, events = read_info(folder), read_events(folder)
                plan = None if info.get("plan") is None else PromptPlan.of(info["plan"])
                seconds = n_samples(folder, info["n_channels"]) / info["rate_hz"]
            except MyographError:
                continue
            done = finished_attempts(events)
            here = (info["subject"], info["session"]) == (self.subject, self.session) and self.running
            found.append(
                {
                    "subject": info["subject"],
                    "session": info["session"],
                    "seconds": seconds,
                    "finished": len(done),
                    "total": len(done) if plan is None else len(plan.trials()),
                    "gestures": list(dict.fromkeys(gesture for _, (gesture, _) in done)),
                    "running": here,
                }
            )
        return found


def prompt(p: Prompter) -> dict[str, Any]:
    """Return the state of a prompter as plain values."""
    coming = p.coming
    return {
        "phase": p.phase,
        "gesture": p.wanted,
        "coming": REST if coming is None else coming[0],
        "repetition": 0 if coming is None else coming[1],
        "share": p.share,
        "left_s": p.left / p.rate_hz,
        "level": p.plan.level(p.share) if p.phase == "hold" else 0.0,
        "shape": p.plan.shape,
        "finished": p.finished,
        "total": p.total,
    }

"""The question that a score answers, in words: from the run's audits and facts, not from the protocol's name."""

from __future__ import annotations

from typing import Any

from myograph.evaluation.metrics import MIN_FOR_INTERVAL


def in_words(info: dict[str, Any], chance: float, n_people: int) -> str:
    """Return one line: what is new in the test windows, sessions found, rest, chance level, people.

    Parameters
    ----------
    info : `Scores.info`.
    chance : `Scores.chance`.
    n_people : number of tested people.

    >>> audit = {"n_test": 10, "n_sharing_samples": 0, "n_sharing_repetition": 0}
    >>> facts = {"train_people": (1, 1), "sessions_per_person": (1, 1), "rest": {"found": 0, "kept": 0}}
    >>> in_words({"audit": [{**audit, "n_sharing_subject": 0, "n_sharing_session": 0}], "facts": facts}, 0.5, 2)
    'new people; 1 session per person; no rest in the data; chance 50.0 %; 2 people tested, each fold trained on 1'
    """
    facts = info["facts"]
    few, many = facts["train_people"]
    trained = f"each fold trained on {few if few == many else f'{few} to {many}'}"
    parts = [
        what_is_new(info["audit"]),
        sessions_in_words(*facts["sessions_per_person"]),
        rest_in_words(facts["rest"]),
        f"chance {100 * chance:.1f} %",
        f"{counted(n_people, 'person', 'people')} tested, {trained}",
    ]
    return "; ".join(parts)


def what_is_new(audits: list[dict[str, Any]]) -> str:
    """Return what the test windows have that the training windows do not have.

    audits : of every fold, as from `Audit.as_dict`.

    >>> same_people = {"n_sharing_samples": 0, "n_sharing_repetition": 0, "n_sharing_subject": 10}
    >>> what_is_new([{"n_test": 10, **same_people, "n_sharing_session": 0}])
    'new sessions of the same people'
    """
    test = sum(audit["n_test"] for audit in audits)
    samples, repetitions, people, sessions = (
        sum(audit[f"n_sharing_{what}"] for audit in audits) for what in ("samples", "repetition", "subject", "session")
    )
    if samples or repetitions:
        return "windows that share samples or repetitions with training (LEAKY)"
    if not people:
        return "new people"
    if people < test:
        return "new repetitions, of some people who are new"
    if not sessions:
        return "new sessions of the same people"
    if sessions < test:
        return "new repetitions of the same people, partly in new sessions"
    return "new repetitions of the same people and sessions"


def sessions_in_words(few: int, many: int) -> str:
    """
    >>> sessions_in_words(1, 3)
    '1 to 3 sessions per person'
    """
    return f"{counted(few, 'session')} per person" if few == many else f"{few} to {many} sessions per person"


def rest_in_words(rest: dict[str, Any]) -> str:
    """
    >>> rest_in_words({"found": 5012, "kept": 0})
    'rest left out (5,012 windows)'
    """
    found, kept = rest["found"], rest["kept"]
    if not found:
        return "no rest in the data"
    if not kept:
        return f"rest left out ({number(found)} windows)"
    if kept == found:
        return f"rest is a class ({number(found)} windows)"
    return f"rest is a class ({number(kept)} of {number(found)} windows kept)"


def interval_in_words(over: str, n_people: int) -> str:
    """
    >>> interval_in_words("subject", 5)
    'no interval: 5 people, and six are needed'
    """
    if n_people < MIN_FOR_INTERVAL:
        folds = "; folds share their training windows" if over == "fold" else ""
        return f"no interval: {counted(n_people, 'person', 'people')}, and six are needed{folds}"
    return f"bootstrap percentile 95 % interval of the mean over {n_people} people"


def notes(info: dict[str, Any]) -> list[str]:
    """Return what a reader must know besides the scores, one sentence each.

    info : `Scores.info`.

    >>> facts = {"missing_classes": [], "fitted_before": ["a network, on unknown data"], "not_resumable": []}
    >>> notes({"facts": facts, "settings": {}, "audit": []})
    ['Part of the method was fitted before this run, and the audit cannot tell on what: a network, on unknown data.']
    """
    facts = info["facts"]
    found = []
    settings = info["settings"]
    if settings.get("transfer") == "adapt":
        seconds = settings.get("adapt_seconds")
        found.append(
            f"Before the test windows were predicted, the method adapted to {'them' if seconds is None else 'some of them'} "
            f"without labels: {settings.get('adapt_on', 'each session')}"
            f"{'' if seconds is None else f', the first {seconds:g} s'}."
        )
    if past := facts.get("past_ms"):
        found.append(
            f"Each decision also uses the windows of the {past:g} ms before it, so its score is not "
            "comparable with that of methods that decide from single windows."
        )
    if lacking := facts["missing_classes"]:
        first = lacking[0]
        found.append(
            f"In {len(lacking)} of {counted(len(info['audit']), 'fold')} training lacks a class that is tested, and "
            f"which therefore cannot be recognised; the first is {first['fold']}: {', '.join(first['labels'])}."
        )
    if before := facts["fitted_before"]:
        found.append(
            f"Part of the method was fitted before this run, and the audit cannot tell on what: {'; '.join(before)}."
        )
    if unknown := facts["not_resumable"]:
        found.append(f"The run cannot resume, because parts of its recipe cannot be compared: {', '.join(unknown)}.")
    return found


def counted(n: int, one: str, several: str = "") -> str:
    """
    >>> counted(1, "person", "people"), counted(2, "fold")
    ('1 person', '2 folds')
    """
    return f"{number(n)} {one if n == 1 else several or one + 's'}"


def number(n: int) -> str:
    """
    >>> number(5012)
    '5,012'
    """
    return f"{n:,}"

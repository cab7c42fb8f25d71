"""Finds subject, session, label and repetition in the paths of files, and the `files` pattern that fits them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from myograph.datasets._guess.notes import Notes
from myograph.datasets._guess.words import GESTURES, PARTS, REST, SESSIONS
from myograph.datasets._names import natural

SEPARATORS = r"([_\-. ]+)"


@dataclass
class Slot:
    """A part of the paths that varies.

    values : text of the part in each path.
    before : the letters directly before it, in lower case.
    folder : whether it is in the name of the topmost folder.
    fact : subject, session, label, repetition, or None for a part without a meaning.
    sure : whether a whole word states the fact.
    """

    values: tuple[str, ...]
    before: str
    folder: bool
    fact: str | None = None
    sure: bool = True

    @property
    def digits(self) -> bool:
        return all(v.isdecimal() for v in self.values)

    @property
    def n(self) -> int:
        return len(set(self.values))

    def examples(self) -> str:
        some = sorted(set(self.values), key=natural)
        return ", ".join(some[:4]) + (f", … ({len(some)} values)" if len(some) > 4 else "")


def guess_pattern(paths: Sequence[str], label_inside: bool, given: set[str], notes: Notes) -> str:
    """Return the `files` pattern of paths without their ending, all of one depth; questions are added to `notes`.

    label_inside : whether columns or variables give the label.
    given : other facts that columns give; a subject or session in the paths takes precedence.

    >>> guess_pattern(["s1/S1_fist_r1", "s1/S1_fist_r2", "s2/S2_point_r1"], False, set(), Notes())
    's{subject}/S{subject}_{label}_r{repetition}'
    """
    rows = [p.split("/") for p in paths]
    items: list[str | Slot] = []
    for level, names in enumerate(zip(*rows)):
        items += ["/"] if level else []
        items += _component(names, folder=level == 0 and len(rows[0]) > 1)
    slots = [i for i in items if isinstance(i, Slot)]
    _by_hint(items, label_inside, given)
    _by_content(slots, label_inside, given)
    if len(paths) == 1:
        return paths[0].replace("{", "*").replace("}", "*")
    for slot in {(s.values, s.fact): s for s in slots}.values():
        what = f"the part {slot.examples()} of the paths" + (f" (after {slot.before!r})" if slot.before else "")
        if slot.fact is None:
            notes.unsure.append(f"{what} varies and is ignored: is it a subject, session, label or repetition?")
        elif not slot.sure:
            notes.unsure.append(f"{what} is taken for the {slot.fact}: is that right?")
        else:
            notes.found.append(f"{what} gives the {slot.fact}")
    texts = [(f"{{{i.fact}}}" if i.fact else "*") if isinstance(i, Slot) else re.sub(r"[{}*]", "*", i) for i in items]
    return re.sub(r"\*+", "*", "".join(texts))


def _component(names: Sequence[str], folder: bool) -> list[str | Slot]:
    """Return one level of the paths as literal text and slots."""
    cells = [re.split(SEPARATORS, n) for n in names]
    if len({len(c) for c in cells}) > 1:
        cells = _joined(cells)
    found: list[str | Slot] = []
    if cells is None or any(len({c[i] for c in cells}) > 1 for i in range(1, len(cells[0]), 2)):
        return _column(names, folder, "")
    before = ""
    for i, values in enumerate(zip(*cells)):
        found += [values[0]] if i % 2 else _column(values, folder, before)
        before = values[0] if i % 2 == 0 and len(set(values)) == 1 else before if i % 2 else ""
    return [f for f in found if f != ""]


def _joined(cells: list[list[str]]) -> list[list[str]] | None:
    """Return names with equal numbers of cells, in which one run of words ("thumb_up") is joined into one cell."""
    least = min(map(len, cells))
    for at in range(0, least, 2):
        after = least - at - 1
        joined = [[*c[:at], "".join(c[at : len(c) - after]), *c[len(c) - after :]] for c in cells]
        others = [i for i in range(0, least, 2) if i != at]
        if all(_regular([j[i] for j in joined]) for i in others) and not any(j[at].isdecimal() for j in joined):
            return joined
    return None


def _regular(values: Sequence[str]) -> bool:
    """Return whether the values differ only in their numbers."""
    return len({re.sub(r"\d+", "0", v) for v in values}) == 1


def _column(values: Sequence[str], folder: bool, before: str) -> list[str | Slot]:
    """Return one cell of the names; letters and numbers that vary are separate slots."""
    if len(set(values)) == 1:
        return [values[0]]
    tokens = [re.findall(r"\d+|\D+", v) for v in values]
    kinds = {tuple(t[:1].isdecimal() for t in row) for row in tokens}
    if len(kinds) != 1 or () in kinds:
        return [Slot(tuple(values), before.lower(), folder)]
    found: list[str | Slot] = []
    for column in zip(*tokens):
        if len(set(column)) == 1:
            found.append(column[0])
            before = column[0]
        else:
            found.append(Slot(tuple(column), before.lower(), folder))
            before = ""
    return found


def _by_hint(items: list[str | Slot], label_inside: bool, given: set[str]) -> None:
    """Assign facts by the word before a slot ("subject", "rep"), whole words first."""
    slots = [i for i in items if isinstance(i, Slot)]
    inside = (given & {"repetition"}) | ({"label"} if label_inside else set())
    for whole in (True, False):
        for slot in slots:
            word = re.sub(r"[^a-z]", "", slot.before)
            fact = next((f for f, words in PARTS.items() if word in words and (len(word) > 2) == whole), None)
            if slot.fact is None and fact and fact not in inside and slot.digits and _free(fact, slot, slots):
                slot.fact, slot.sure = fact, whole and not _shared(slot, items)


def _shared(slot: Slot, items: list[str | Slot]) -> bool:
    """Return whether a number without its own word follows, so that the word could apply to either ("gesture_1_3")."""
    at = items.index(slot)
    after = items[at + 1 : at + 3]
    return (
        len(after) == 2
        and isinstance(after[1], Slot)
        and after[1].digits
        and not re.search(r"[a-zA-Z/]", str(after[0]))
    )


def _free(fact: str, slot: Slot, slots: list[Slot]) -> bool:
    """Return whether no other slot gives the fact, except one with the same text in every path."""
    return all(s.fact != fact or s.values == slot.values for s in slots)


def _by_content(slots: list[Slot], label_inside: bool, given: set[str]) -> None:
    """Assign facts to the other slots by their contents, then by their position."""
    for slot in (s for s in slots if s.fact is None):
        words = {re.sub(r"[^a-z]", "", v.lower()) for v in slot.values}
        if words & (GESTURES | REST) and not label_inside and _free("label", slot, slots):
            slot.fact = "label"
        elif words & SESSIONS and _free("session", slot, slots):
            slot.fact = "session"
        _repeat(slots)
    rest = [s for s in slots if s.fact is None]
    for fact in ("label", "subject", "repetition", "session"):
        if fact in given or any(s.fact == fact for s in slots) or (fact == "label" and label_inside):
            continue
        chosen = _by_place(fact, [s for s in rest if s.fact is None], slots, label_inside, "subject" not in given)
        if chosen is not None:
            chosen.fact, chosen.sure = fact, False
            _repeat(slots)


def _repeat(slots: list[Slot]) -> None:
    """Assign the same fact to slots that have the same text in every path."""
    for slot in (s for s in slots if s.fact is None):
        same = next((s for s in slots if s.fact and s.values == slot.values), None)
        if same is not None:
            slot.fact, slot.sure = same.fact, same.sure


def _by_place(fact: str, rest: list[Slot], slots: list[Slot], label_inside: bool, subject_wanted: bool) -> Slot | None:
    """Return the slot without a fact that gives this fact according to the usual order: subject, label, repetition."""
    if not rest:
        return None
    words = [s for s in rest if not s.digits and not s.folder]
    numbers = [s for s in rest if s.digits]
    if fact == "label":
        if words:
            return words[-1]
        subject_wanted = subject_wanted and all(s.fact != "subject" for s in slots)
        if not subject_wanted:
            return rest[0]
        if rest[0].folder or len(rest) > 2:
            return rest[1] if len(rest) > 1 else None
        return numbers[0] if len(numbers) == 2 else None
    in_path = any(s.fact == "label" for s in slots)
    if fact == "subject":
        alone = len(rest) == 1 and rest[0].digits and not rest[0].folder
        return None if in_path and alone else rest[0]
    if fact == "repetition":
        return numbers[-1] if in_path and numbers and not numbers[-1].folder else None
    return rest[0] if label_inside or rest[0].folder else None


def name_gestures(paths: Sequence[str]) -> bool:
    """Return whether the paths differ in words that name gestures.

    >>> name_gestures(["s1/fist_1", "s1/open_1"]), name_gestures(["grip/s1", "grip/s2"])
    (True, False)
    """
    words = [{w for w in re.split(r"[^a-z]+", p.lower()) if w in GESTURES | REST} for p in paths]
    return len({frozenset(w) for w in words}) > 1 and all(words)


def usual(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths of the most frequent depth, and the others."""
    depth = Counter(p.count("/") for p in paths).most_common(1)[0][0]
    return [p for p in paths if p.count("/") == depth], [p for p in paths if p.count("/") != depth]

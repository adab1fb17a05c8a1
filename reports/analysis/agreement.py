"""Where nobody knows the cameras: how far those of the methods' answers to one question agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.agreement import SAME_DEG, Agreement, agreements, consensus
from bench.record import read_cameras
from bench.task import Pose, ViewId
from reports.analysis.entries import Entry

MOST = 12  # methods held against each other
MOST_SEEDS = 8  # of one method held against each other

_Answer = tuple[Entry, dict[ViewId, Pose]]
_Pairs = Mapping[tuple[int, int], Agreement]


@dataclass(frozen=True, kw_only=True)
class AgreementTable:
    """One answer a method against that of each other; `rows[i][j]` is empty on the diagonal and below."""

    entries: tuple[Entry, ...]
    labels: tuple[str, ...]  # a method, with the seed that stands for it where it has several
    rows: tuple[tuple[str, ...], ...]
    finding: str  # the consensus of methods, in a sentence
    notes: tuple[str, ...]  # how far the seeds of each method agree, and what was left out


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What stands for a method."""

    answer: _Answer
    label: str
    notes: tuple[str, ...] = ()


def of_question(entries: Sequence[Entry]) -> AgreementTable | None:
    """None where the cameras are known, or fewer than two answers have some.

    A consensus is one of methods: seeds of one method are no answers of their own, and how far they agree is a note.
    """
    if not entries or entries[0].question.reference != "none":
        return None
    by_method: dict[str, list[_Answer]] = {}
    for entry in entries:
        if entry.done and (poses := _poses(entry)):
            by_method.setdefault(entry.cell.method, []).append((entry, poses))
    if sum(map(len, by_method.values())) < 2:
        return None
    chosen = [_chosen(method, answers) for method, answers in by_method.items()]
    shown, rest = chosen[:MOST], chosen[MOST:]
    left_out = [f"{MOST} methods are compared; left out: {', '.join(each.label for each in rest)}."] if rest else []
    labels = tuple(each.label for each in shown)
    pairs = agreements([each.answer[1] for each in shown])
    places = range(len(shown))
    return AgreementTable(
        entries=tuple(each.answer[0] for each in shown),
        labels=labels,
        rows=tuple(tuple(_text(pairs[i, j]) if j > i else "" for j in places) for i in places),
        finding=_finding([labels[k] for k in consensus(len(shown), pairs)], labels),
        notes=(*(note for each in chosen for note in each.notes), *left_out),
    )


def _chosen(method: str, answers: Sequence[_Answer]) -> _Chosen:
    """The seed nearest to the method's others; the first where several are as near."""
    if len(answers) == 1:
        return _Chosen(answer=answers[0], label=method)
    answers = sorted(answers, key=lambda answer: answer[0].cell.seed)
    held, rest = answers[:MOST_SEEDS], answers[MOST_SEEDS:]
    pairs = agreements([poses for _, poses in held])
    best = min(range(len(held)), key=lambda k: round(sum(_angle(pairs[pair]) for pair in pairs if k in pair), 9))
    label = f"{method}, seed {held[best][0].cell.seed}"
    left_out = f" {len(rest)} more are left out: seeds {_seeds(rest)}." if rest else ""
    return _Chosen(answer=held[best], label=label, notes=(_spread(label, held, pairs) + left_out,))


def _spread(label: str, held: Sequence[_Answer], pairs: _Pairs) -> str:
    """How far the seeds of one method agree among themselves."""
    angles = np.array([found.rotation_deg for found in pairs.values() if not found.reason])
    said = f"{label} stands for seeds {_seeds(held)}, being nearest to the others: "
    said = said if len(held) > 2 else f"{label} stands for seeds {_seeds(held)}: "
    if not len(angles):
        return f"{said}no similarity takes the cameras of one to those of another."
    far = f"{angles.min():.2f} to {angles.max():.2f}" if len(angles) > 1 else f"{angles[0]:.2f}"
    failed = len(pairs) - len(angles)
    without = f"; of {failed} of {len(pairs)} pairs no similarity takes one to the other" if failed else ""
    alike = consensus(len(held), pairs)
    many = f"{len(alike)} of {len(held)}" if alike else f"no two of {len(held)}"
    return f"{said}two of them are {far} deg apart{without}; {many} have the same cameras, within {SAME_DEG:g} deg."


def _angle(found: Agreement) -> float:
    """Degrees; as far as can be where no similarity takes one to the other."""
    return 180.0 if found.reason else found.rotation_deg


def _seeds(answers: Sequence[_Answer]) -> str:
    return ", ".join(str(entry.cell.seed) for entry, _ in answers)


def _poses(entry: Entry) -> dict[ViewId, Pose]:
    held = read_cameras(entry.folder)
    return {ViewId(view): np.array(pose) for view, pose in held["estimate"].items()} if held else {}


def _text(found: Agreement) -> str:
    if found.reason:
        return f"{found.views} views: no similarity takes one to the other"
    return f"{found.rotation_deg:.2f} deg, {100 * found.centre:.1f} %, {found.views} views"


def _finding(agreed: Sequence[str], labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return f"{labels[0]} alone has cameras: there is no other method to hold them against."
    if not agreed:
        return f"No two of {len(labels)} methods have the same cameras, within {SAME_DEG:g} deg."
    return (
        f"{' and '.join(agreed)}: {len(agreed)} of {len(labels)} methods have the same cameras, within "
        f"{SAME_DEG:g} deg; that they are right is not known."
    )

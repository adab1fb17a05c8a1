"""Where nobody knows the cameras: how far those of the answers to one question agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.agreement import SAME_DEG, Agreement, agreements, consensus
from bench.record import read_cameras
from bench.task import Pose, ViewId
from reports.analysis.entries import Entry

MOST = 12  # answers held against each other


@dataclass(frozen=True, kw_only=True)
class AgreementTable:
    """Answers against answers; `rows[i][j]` is empty on the diagonal and below."""

    entries: tuple[Entry, ...]
    labels: tuple[str, ...]  # a method, with its seed where it has several
    rows: tuple[tuple[str, ...], ...]
    finding: str  # the consensus, in a sentence


def of_question(entries: Sequence[Entry]) -> AgreementTable | None:
    """None where the cameras are known, or fewer than two answers have some."""
    if not entries or entries[0].question.reference != "none":
        return None
    answers = [(entry, poses) for entry in entries if entry.done and (poses := _poses(entry))][:MOST]
    if len(answers) < 2:
        return None
    seeds = Counter(entry.cell.method for entry, _ in answers)
    labels = tuple(
        entry.cell.method + (f", seed {entry.cell.seed}" if seeds[entry.cell.method] > 1 else "")
        for entry, _ in answers
    )
    pairs = agreements([poses for _, poses in answers])
    places = range(len(answers))
    return AgreementTable(
        entries=tuple(entry for entry, _ in answers),
        labels=labels,
        rows=tuple(tuple(_text(pairs[i, j]) if j > i else "" for j in places) for i in places),
        finding=_finding([labels[k] for k in consensus(len(answers), pairs)], len(answers)),
    )


def _poses(entry: Entry) -> dict[ViewId, Pose]:
    held = read_cameras(entry.folder)
    return {ViewId(view): np.array(pose) for view, pose in held["estimate"].items()} if held else {}


def _text(found: Agreement) -> str:
    if found.reason:
        return f"{found.views} views: no similarity takes one to the other"
    return f"{found.rotation_deg:.2f} deg, {100 * found.centre:.1f} %, {found.views} views"


def _finding(agreed: Sequence[str], count: int) -> str:
    if not agreed:
        return f"No two of {count} answers have the same cameras, within {SAME_DEG:g} deg."
    return (
        f"{' and '.join(agreed)}: {len(agreed)} of {count} answers have the same cameras, within {SAME_DEG:g} deg; "
        "that they are right is not known."
    )

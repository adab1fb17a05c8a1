"""What was found, in sentences made from the results: the part of a report that is read first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reports import scores, stats
from reports.columns import HEADLINE, column
from reports.scores import IOU, PSNR, ROTATION, STATUSES, Entry, Question


class Part(NamedTuple):
    """A piece of a sentence; `anchor` makes it a link to a cell of the page."""

    text: str
    strong: bool = False
    anchor: str = ""


Sentence = tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    findings: tuple[Sentence, ...]
    failures: tuple[Entry, ...]
    failed_of: str  # "2 of 9 cells gave no answer (1 failed, 1 timeout); 1 was skipped."
    caveats: tuple[Sentence, ...]


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """How a method did on one question: `quality` is PSNR, or IoU for silhouettes."""

    method: str
    entries: tuple[Entry, ...]
    rate: float
    rotation: float
    quality: float
    low: float
    high: float
    quality_name: str

    @property
    def rank(self) -> tuple[float, float]:
        return self.rate, -math.inf if math.isnan(self.quality) else self.quality

    @property
    def words(self) -> str:
        rotation = "is not a number" if math.isnan(self.rotation) else f"{column(ROTATION).show(self.rotation)} deg"
        return f"median rotation {rotation}" + (
            f", {self.quality_words} on held-out views" if self.quality_words else ""
        )

    @property
    def quality_words(self) -> str:
        shown = column(self.quality_name)
        return "" if math.isnan(self.quality) else f"{shown.show(self.quality)} {shown.unit or shown.label}"


def verdict(entries: Sequence[Entry]) -> Verdict:
    return Verdict(
        findings=tuple(_finding(question, each) for question, each in scores.by_question(entries).items()),
        failures=tuple(entry for entry in entries if entry.failed),
        failed_of=_tally(entries),
        caveats=tuple(_caveats(entries)),
    )


def _finding(question: Question, entries: Sequence[Entry]) -> Sentence:
    """Methods blind to the poses are ranked by success rate, then by quality on held-out views."""
    standings = [_standing(method, each) for method, each in scores.by_method(entries).items() if scores.tried(each)]
    blind = [each for each in standings if not scores.is_oracle(each.entries)]
    oracles = [each for each in standings if scores.is_oracle(each.entries) and any(e.done for e in each.entries)]
    answered = sorted((each for each in blind if any(e.done for e in each.entries)), key=lambda e: e.rank, reverse=True)
    against = " (agreement with COLMAP)" if question.agreement else ""
    head = [Part(question.title, strong=True), Part(f"{against}: ")]
    tail = _against_oracle(answered[0] if answered and answered[0].rate else None, oracles)
    if not blind:
        return (*head, Part("only methods that were given the true poses were run."), *tail)
    if not answered:
        ended = Counter(f"{e.method} {STATUSES[e.result.status]}" for each in blind for e in each.entries if e.failed)
        what = ", ".join(text + (f" ({n} times)" if n > 1 else "") for text, n in sorted(ended.items()))
        return (*head, Part(f"no method that sees no poses gave an answer ({what})."), *tail)
    first = answered[0]
    if first.rate == 0:
        closest = min(answered, key=lambda each: (math.isnan(each.rotation), each.rotation))
        none = f"no method that sees no poses recovered the cameras to {stats.SOLVED_BELOW_DEG:g} deg"
        if math.isnan(closest.rotation):
            return (*head, Part(f"{none}, or has a rotation error that is a number."), *tail)
        name = Part(closest.method, strong=True)
        return (*head, Part(f"{none}; closest is "), name, Part(f" ({closest.words})."), *tail)
    alone = " is the only method tried that sees no poses"
    role = alone if len(blind) == 1 else f" leads the {len(blind)} methods that see no poses"
    made = " (submitted)" if any(entry.submitted for entry in first.entries) else ""
    return (*head, Part(first.method, strong=True), Part(f"{made}{role}: {first.words}{_second(answered)}."), *tail)


def _standing(method: str, entries: Sequence[Entry]) -> _Standing:
    tried = scores.tried(entries)
    done = [entry for entry in tried if entry.done]
    name = IOU if any(scores.value(entry.result, IOU) is not None for entry in done) else PSNR
    quality, rotation = _finite(done, name), _finite(done, ROTATION)
    return _Standing(
        method=method, entries=tuple(entries), rate=float(scores.success(tried).mean()), quality_name=name,
        rotation=float(stats.median(rotation)) if len(rotation) else math.nan,
        quality=float(stats.median(quality)) if len(quality) else math.nan,
        low=float(quality.min(initial=math.inf)), high=float(quality.max(initial=-math.inf)),
    )  # fmt: skip


def _finite(entries: Sequence[Entry], name: str) -> stats.Scores:
    values = scores.array(entries, name)
    return values[np.isfinite(values)]


def _second(answered: Sequence[_Standing]) -> str:
    if len(answered) < 2 or not answered[1].quality_words:
        return ""
    first, second = answered[:2]
    overlap = second.high >= first.low and len(first.entries) > 1
    return f"; {second.method} follows with {second.quality_words}" + (" (their ranges overlap)" if overlap else "")


def _against_oracle(first: _Standing | None, oracles: Sequence[_Standing]) -> Sentence:
    best = max(oracles, key=lambda each: each.rank, default=None)
    if best is None or not best.quality_words:
        return ()
    text = f" Given the true poses, {best.method} reaches {best.quality_words}"
    if first is None or math.isnan(first.quality) or first.quality_name != best.quality_name:
        return (Part(text + "."),)
    gap, shown = best.quality - first.quality, column(best.quality_name)
    side = "above" if gap >= 0 else "below"
    return (Part(f"{text}, {shown.show(abs(gap))} {shown.unit or shown.label} {side}."),)


def _tally(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.result.status for entry in entries)
    kinds = [f"{counts[status]} {name}" for status, name in STATUSES.items() if status not in ("done", "skipped")]
    gone, skipped = sum(entry.failed for entry in entries), counts["skipped"]
    text = f"{counts['done']} of {len(entries)} {_plural(len(entries), 'cell')} gave an answer"
    text += f"; {gone} did not ({', '.join(kind for kind in kinds if kind[0] != '0')})" if gone else "; none failed"
    return text + (f"; {skipped} {'was' if skipped == 1 else 'were'} skipped." if skipped else ".")


def _caveats(entries: Sequence[Entry]) -> list[Sentence]:
    found: list[Sentence] = []
    done = [entry for entry in entries if entry.done]
    flagged = [entry for entry in entries if entry.result.flags]
    if flagged:
        links = [
            Part(("" if k == 0 else ", ") + entry.result.cell.id, anchor=entry.anchor)
            for k, entry in enumerate(flagged[:8])
        ]
        more = f" and {len(flagged) - 8} more" if len(flagged) > 8 else ""
        found.append(
            (
                Part(f"Flags stand beside numbers of {len(flagged)} {_plural(len(flagged), 'cell')}: "),
                *links,
                Part(more + "."),
            )
        )
    if brought := sorted({entry.method for entry in entries if entry.submitted}):
        text = f"Submitted, not run here: {', '.join(brought)}. Who found these poses, from what and at what cost, is"
        found.append((Part(f"{text} not known to the suite, which only judged them."),))
    seeds = Counter((entry.question, entry.method) for entry in done)
    if seeds and min(seeds.values()) < 5:
        low, high = min(seeds.values()), max(seeds.values())
        count = f"{low} {_plural(low, 'seed')}" if low == high else f"{low} to {high} seeds"
        found.append((Part(f"A number here rests on {count}: small differences may be chance."),))
    reasons: dict[str, set[str]] = {}
    for entry in done:
        for name, reason in entry.result.absent.items():
            if any(each == name or each.startswith(name + "/") for each in HEADLINE):
                reasons.setdefault(reason, set()).add(name)
    for reason, names in sorted(reasons.items()):
        found.append((Part(f"Absent, not faked: {', '.join(sorted(names))} ({reason})."),))
    for what, values in (
        ("protocols", {entry.result.protocol for entry in entries}),
        ("efforts", {entry.result.cell.effort for entry in entries}),
    ):
        if len(values) > 1:
            found.append(
                (Part(f"This suite mixes {what} ({', '.join(sorted(values))}); they are never in one table."),)
            )
    if any(entry.question.agreement for entry in entries):
        text = "Where the reference is COLMAP's own estimate, scores are agreement with COLMAP, in tables of their own."
        found.append((Part(text),))
    return found


def _plural(n: int, word: str) -> str:
    return word if n == 1 else word + "s"

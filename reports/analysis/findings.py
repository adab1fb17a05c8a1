"""What the results say of methods, in sentences: who leads on a question, who bears a degradation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reports.analysis import scores, severities, stats
from reports.analysis.columns import column
from reports.analysis.scores import IOU, PSNR, REGISTERED, ROTATION, STATUSES, Entry, Question


class Part(NamedTuple):
    """A piece of a sentence; `page` makes it a link, from the site's root."""

    text: str
    strong: bool = False
    page: str = ""


Sentence = tuple[Part, ...]


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
    def ceiling(self) -> bool:
        return any(entry.ceiling for entry in self.entries)

    @property
    def rank(self) -> tuple[float, float]:
        return self.rate, -math.inf if math.isnan(self.quality) else self.quality

    @property
    def solved(self) -> str:
        """`succeeds in 5 of 6 cells, `; nothing for one cell."""
        return f"succeeds in {self.solved_of} cells, " if len(scores.tried(self.entries)) > 1 else ""

    @property
    def solved_of(self) -> str:
        tried = scores.tried(self.entries)
        return f"{round(self.rate * len(tried))} of {len(tried)}"

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


def of_question(question: Question, entries: Sequence[Entry]) -> Sentence:
    return finding(question.title, entries, agreement=question.agreement)


def finding(title: str, entries: Sequence[Entry], *, agreement: bool) -> Sentence:
    """Methods blind to the poses are ranked by success rate, then by quality on held-out views, over shared scenes."""
    shared, scenes = scores.scenes_of_the_blind(entries)
    if scenes and not shared:
        return Part(title, strong=True), Part(": methods that see no poses share no scene, so none leads.")
    if shared != scenes:
        entries = [entry for entry in entries if entry.result.cell.scene in shared]
        title += f" (the {len(shared)} of {len(scenes)} scenes that all were tried in)"
    standings = [_standing(method, each) for method, each in scores.by_method(entries).items() if scores.tried(each)]
    blind = [each for each in standings if not scores.is_told(each.entries)]
    told = [each for each in standings if scores.is_told(each.entries) and any(e.done for e in each.entries)]
    answered = sorted((each for each in blind if any(e.done for e in each.entries)), key=lambda e: e.rank, reverse=True)
    against = " (agreement with COLMAP)" if agreement else ""
    head = [Part(title, strong=True), Part(f"{against}: ")]
    oracles = [each for each in told if each.ceiling]
    tail = _against_oracle(answered[0] if answered and answered[0].rate else None, oracles)
    tail = (*tail, *_unranked([each for each in told if not each.ceiling]))
    if not blind:
        return (*head, Part("only methods that were given poses, true or rough, were run."), *tail)
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
    name = Part(first.method, strong=True)
    return (*head, name, Part(f"{role}: {first.solved}{first.words}{_second(answered)}."), *tail)


def bearing(curves: Sequence[severities.Curve]) -> Sentence:
    """Which methods break under one kind of degradation, and at which severity."""
    blind = [curve for curve in curves if not curve.told] or list(curves)
    top = max(level.severity for curve in curves for level in curve.levels)
    against = " (agreement with COLMAP)" if curves[0].setting.agreement else ""
    head = [Part(f"{curves[0].kind}, severity to {top:g}", strong=True), Part(f"{against}: ")]
    hold = [curve for curve in blind if curve.breaking is None]
    lost = [curve for curve in blind if curve.breaking == curve.levels[0].severity]
    broken = [curve for curve in blind if curve not in hold and curve not in lost]
    said: list[list[Part]] = []
    if hold:
        verb = "holds" if len(hold) == 1 else "hold"
        said.append([*_names(hold), Part(f" {verb} to the highest severity tried ({_area(hold)})")])
    for curve in sorted(broken, key=lambda curve: (-(curve.breaking or 0), curve.method)):
        said.append([*_names([curve]), Part(f" breaks at severity {curve.breaking:g}{_views_left(curve)}")])
    if lost:
        where = "already on the clean capture" if lost[0].levels[0].severity == 0 else "at the lowest severity tried"
        said.append([*_names(lost), Part(f" succeeded in fewer than half of the cells {where}")])
    parts = [part for k, each in enumerate(said) for part in ([Part("; ")] if k else []) + each]
    return (*head, *parts, Part("."))


def _views_left(curve: severities.Curve) -> str:
    """How many views were registered where a method broke, if not all."""
    level = next(level for level in curve.levels if level.severity == curve.breaking)
    held = level.points.get(REGISTERED)
    if held is None or held.value == 1:
        return ""
    return f", where it registers {100 * held.value:.0f} % of the views" if held.value else ", where it gives no answer"


def _names(curves: Sequence[severities.Curve]) -> list[Part]:
    parts = []
    for k, curve in enumerate(curves):
        if k:
            parts.append(Part(" and " if k == len(curves) - 1 else ", "))
        parts.append(Part(curve.method, strong=True))
    return parts


def _area(curves: Sequence[severities.Curve]) -> str:
    areas = sorted({curve.shown_area for curve in curves})
    return "area under the success curve " + (areas[0] if len(areas) == 1 else f"{areas[0]} to {areas[-1]}")


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
    solved = f"{second.solved_of} cells solved and " if first.rate != second.rate else ""
    return f"; {second.method} follows with {solved}{second.quality_words}" + (
        " (their ranges overlap)" if overlap else ""
    )


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


def _unranked(standings: Sequence[_Standing]) -> Sentence:
    """What those reach that were given some poses, rough ones, or all of an answer: no ceiling, and no competitors."""
    parts = [Part(" Given poses, so not ranked: ")] if standings else []
    for k, each in enumerate(standings):
        made = "submitted; " if any(entry.submitted for entry in each.entries) else ""
        end = "." if k == len(standings) - 1 else "; "
        parts += [Part(each.method, strong=True), Part(f" ({made}{each.words}){end}")]
    return tuple(parts)

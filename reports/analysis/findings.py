"""What the results say of methods, in sentences: who leads on a question, who bears a degradation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.record import OUTCOMES, ROTATION, SOLVED_BELOW_DEG
from reports.analysis import entries as cells
from reports.analysis import paired, stats
from reports.analysis.columns import column
from reports.analysis.entries import HALF, REGISTERED, Entry
from reports.analysis.leaderboard import quality_column, ranking
from reports.analysis.robustness import SUCCESS, Curve, show_area
from reports.analysis.scorebook import Scorebook, Scored


class Part(NamedTuple):
    """A piece of a sentence; `page` makes it a link, from the site's root."""

    text: str
    strong: bool = False
    page: str = ""


Sentence = tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """How a method did on one question, failures charged: `quality` is IoU, PSNR or rotation, what leaders lead in."""

    method: str
    entries: tuple[Entry, ...]
    rotation: Scored
    quality: Scored
    quality_name: str

    @property
    def answered(self) -> bool:
        return any(entry.done for entry in self.entries)

    @property
    def scenes(self) -> frozenset[str]:
        """In which it was tried."""
        return frozenset(entry.cell.scene for entry in cells.tried(self.entries))

    @property
    def rendered(self) -> bool:
        """Whether any of its quality is its own, and not what a failure is charged."""
        return any(entry.done and cells.value(entry.result, self.quality_name) is not None for entry in self.entries)

    def among(self, scenes: Set[str], book: Scorebook) -> _Standing:
        """The same over some scenes alone."""
        entries = tuple(entry for entry in self.entries if entry.cell.scene in scenes)
        return _Standing(
            method=self.method, entries=entries, rotation=book.penalised(entries, ROTATION),
            quality=book.penalised(entries, self.quality_name), quality_name=self.quality_name,
        )  # fmt: skip

    @property
    def success(self) -> str:
        held = cells.tried(self.entries)
        return f"{sum(entry.solved for entry in held)} of {len(held)}"

    @property
    def words(self) -> str:
        """`median rotation 0.12 deg, 31.20 dB on held-out views`."""
        rotation = self.rotation.at(stats.median)
        error = "is not known" if math.isnan(rotation) else f"{column(ROTATION).show(rotation)} deg"
        return f"median rotation {error}" + (f", {self.render} on held-out views" if self.render else "")

    @property
    def render(self) -> str:
        """`31.20 dB`, the IQM; nothing where it renders nothing."""
        middle, shown = self.quality.at(stats.iqm), column(self.quality_name)
        known = not math.isnan(middle) and self.quality_name != ROTATION
        return shown.said(middle) if known else ""


def finding(title: str, entries: Sequence[Entry], book: Scorebook) -> Sentence:
    """Methods blind to the poses are ranked as the leaderboard ranks them, over the scenes that all were tried in."""
    agreement = entries[0].question.agreement
    shared, scenes = cells.scenes_of_the_blind(entries)
    if scenes and not shared:
        return Part(title, strong=True), Part(": methods that see no poses share no scene, so none leads.")
    if shared != scenes:
        entries = [entry for entry in entries if entry.cell.scene in shared]
        title += f" (the {len(shared)} of {len(scenes)} scenes that all were tried in)"
    name = quality_column(entries)
    standings = {
        method: _Standing(method=method, entries=tuple(each), rotation=book.penalised(each, ROTATION),
                          quality=book.penalised(each, name), quality_name=name)
        for method, each in cells.by_method(entries).items() if cells.tried(each)
    }  # fmt: skip
    blind = [each for each in standings.values() if not each.entries[0].given_poses]
    helped = [each for each in standings.values() if each.entries[0].given_poses and each.answered]
    leaders = [standings[method] for method in ranking(entries, book) if method in standings]
    head = [Part(title, strong=True), Part(f" ({agreement}): " if agreement else ": ")]
    if all(entry.question.reference == "none" for entry in entries):
        return (*head, *_by_views(entries))
    oracles = [each for each in helped if any(entry.is_oracle for entry in each.entries)]
    others = [each for each in helped if each not in oracles]
    compared = shared or {entry.cell.scene for entry in cells.tried(entries)}
    tail = (*_against_oracle(leaders, oracles, book), *_unranked(others, compared))
    if not blind:
        return (*head, Part("only methods that were given poses, true or rough, were run."), *tail)
    if not leaders:
        return (*head, *_none_leads(blind), *tail)
    ahead = _ahead(leaders[0], leaders[1], entries, book) if len(leaders) > 1 and leaders[1].render else ()
    return (*head, *_leading(leaders[0], len(blind)), *ahead, *tail)


def _by_views(entries: Sequence[Entry]) -> Sentence:
    """Who shows the held-out views best, where that is all that can be asked."""
    held = {method: cells.array(each, HALF) for method, each in cells.by_method(entries).items()}
    shown = [(float(values[np.isfinite(values)].mean()), m) for m, values in held.items() if np.isfinite(values).any()]
    if not shown:
        return (Part("no method rendered the held-out views."),)
    (best, first), *others = sorted(shown, reverse=True)
    rest = "; then " + ", ".join(f"{method} {column(HALF).show(value)}" for value, method in others) if others else ""
    said = f" shows the held-out views best ({column(HALF).show(best)} dB on their unseen halves){rest}."
    return Part(first, strong=True), Part(said)


def _leading(first: _Standing, blind: int) -> Sentence:
    alone = " is the only method tried that sees no poses"
    role = alone if blind == 1 else f" leads the {blind} methods that see no poses"
    solved = f"solves {first.success} cells, " if len(cells.tried(first.entries)) > 1 else ""
    return Part(first.method, strong=True), Part(f"{role}: {solved}{first.words}.")


def _ahead(first: _Standing, second: _Standing, entries: Sequence[Entry], book: Scorebook) -> Sentence:
    """By how much the first leads the second, and whether that may be chance: seeds within scenes, then the test."""
    shown, sign = column(first.quality_name), -1 if column(first.quality_name).better == "low" else 1
    gap = shown.said(abs(first.quality.at(stats.iqm) - second.quality.at(stats.iqm)))
    mine, theirs = (
        cells.grouped(zip(each.quality.entries, sign * each.quality.values, strict=True), lambda p: p[0].cell.scene)
        for each in (first, second)
    )
    shared = mine.keys() & theirs.keys()
    apart = sum(min(value for _, value in mine[s]) > max(value for _, value in theirs[s]) for s in shared)
    seeds = first.quality.n > len(mine) or second.quality.n > len(theirs)
    if len(shared) > 1:
        sure = f"in {apart} of {len(shared)} scenes " + (
            "its worst seed beats the other's best" if seeds else "it is better"
        )
        sure += _tested(first.method, second.method, paired.comparisons(entries, book), shown.name)
    elif seeds and apart:
        sure = "its worst seed beats the other's best"
    else:
        sure = ("their seeds overlap" if seeds else "with one seed each") + ", it may be chance"
    solved = f", which solves {second.success}" if first.success != second.success else ""
    return Part(f" It is {gap} ahead of "), Part(second.method, strong=True), Part(f"{solved}: {sure}.")


def _tested(first: str, second: str, compared: Sequence[paired.Comparison], name: str) -> str:
    """What the paired test over scenes says of two methods."""
    tests = [(each, len(c.differences)) for c in compared if c.column.name == name for each in c.differences]
    for each, pairs in tests:
        if {each.first, each.second} == {first, second}:
            if paired.least(each.n) > paired.ALPHA / pairs:
                return "; too few scenes for a test"
            chance = "not by chance" if each.holm < paired.ALPHA else "it may be chance"
            return f"; {chance} (p = {each.holm:.2g}, Wilcoxon's test over {each.n} scenes)"
    return ""


def _none_leads(blind: Sequence[_Standing]) -> Sentence:
    """No method that sees no poses solved enough to lead; what came closest."""
    answered = [each for each in blind if each.answered]
    if not answered:
        ended = Counter(f"{e.cell.method} {OUTCOMES[e.outcome]}" for each in blind for e in each.entries if e.failed)
        what = ", ".join(text + (f" ({n} times)" if n > 1 else "") for text, n in sorted(ended.items()))
        return (Part(f"no method that sees no poses gave an answer ({what})."),)
    if any(entry.solved for each in answered for entry in each.entries):
        said = ", ".join(f"{each.method} in {each.success} cells" for each in answered)
        return (Part(f"no method that sees no poses answered in half of its cells; solved: {said}."),)
    closest = min(
        answered, key=lambda each: (math.isnan(each.rotation.at(stats.median)), each.rotation.at(stats.median))
    )
    none = f"no method that sees no poses recovered the cameras to {SOLVED_BELOW_DEG:g} deg"
    if any(entry.outcome == "short" for entry in closest.entries):
        return (Part(f"{none}; this effort is too short for {closest.method} to converge."),)
    return Part(f"{none}; closest is "), Part(closest.method, strong=True), Part(f" ({closest.words}).")


def bearing(curves: Sequence[Curve]) -> Sentence:
    """Which methods break under one kind of degradation, and between which severities."""
    blind = [curve for curve in curves if not curve.given_poses] or list(curves)
    top = max(level.severity for curve in curves for level in curve.levels)
    against = f" ({curves[0].setting.agreement})" if curves[0].setting.agreement else ""
    hold = [curve for curve in blind if curve.broken.breaks is None]
    lost = [curve for curve in blind if curve.broken.holds is None]
    said: list[list[Part]] = []
    if hold:
        verb = "holds" if len(hold) == 1 else "hold"
        areas = sorted({show_area(curve, SUCCESS) for curve in hold})
        area = areas[0] if len(areas) == 1 else f"{areas[0]} to {areas[-1]}"
        said.append(
            [*_names(hold), Part(f" {verb} to the highest severity tried (area under the success curve {area})")]
        )
    broken = [curve for curve in blind if curve not in hold and curve not in lost]
    for curve in sorted(broken, key=lambda curve: (-(curve.broken.breaks or 0), curve.method)):
        between = f" breaks between severity {curve.broken.holds:g} and {curve.broken.breaks:g}"
        said.append([*_names([curve]), Part(between + _views_left(curve))])
    if lost:
        where = "already on the clean capture" if lost[0].levels[0].severity == 0 else "at the lowest severity tried"
        said.append([*_names(lost), Part(f" succeeded in fewer than half of the cells {where}")])
    parts = [part for k, each in enumerate(said) for part in ([Part("; ")] if k else []) + each]
    return Part(f"{curves[0].kind}, severity to {top:g}", strong=True), Part(f"{against}: "), *parts, Part(".")


def _views_left(curve: Curve) -> str:
    """How many views were registered where a method broke, if not all."""
    held = dict(curve.points(REGISTERED)).get(curve.broken.breaks or 0)
    if held is None or held.value == 1:
        return ""
    return f", where it registers {100 * held.value:.0f} % of the views" if held.value else ", where it gives no answer"


def _names(curves: Sequence[Curve]) -> list[Part]:
    parts = []
    for k, curve in enumerate(curves):
        if k:
            parts.append(Part(" and " if k == len(curves) - 1 else ", "))
        parts.append(Part(curve.method, strong=True))
    return parts


def _against_oracle(leaders: Sequence[_Standing], oracles: Sequence[_Standing], book: Scorebook) -> Sentence:
    """What true poses are worth, and how far the leader is from it, over the scenes that both were tried in."""
    leader = leaders[0] if leaders and leaders[0].render else None
    ours = leader.scenes if leader else frozenset()
    there = [part for each in oracles if (part := each.among(ours, book)).rendered and part.render]
    if leader is None or not there:
        apart = (each.among(each.scenes - ours, book) for each in oracles)
        known = (each for each in apart if each.rendered and each.render)
        best = max(known, key=lambda each: each.quality.at(stats.iqm), default=None)
        if best is None:
            return ()
        return (Part(f" Given the true poses, {best.method} reaches {best.render}{' elsewhere' if ours else ''}."),)
    best = max(there, key=lambda each: (len(each.scenes), each.quality.at(stats.iqm)))
    here = leader.among(best.scenes, book)
    gap, shown = best.quality.at(stats.iqm) - here.quality.at(stats.iqm), column(best.quality_name)
    among = f" in {len(best.scenes)} of these {len(ours)} scenes" if best.scenes != ours else ""
    side = ("above" if gap >= 0 else "below") + (" there" if among else "")
    return (Part(f" Given the true poses, {best.method} reaches {best.render}{among}, {shown.said(abs(gap))} {side}."),)


def _unranked(standings: Sequence[_Standing], scenes: Set[str]) -> Sentence:
    """What those reach that bring an estimator which other data taught, and those that were given some poses, rough
    ones, or all of an answer: no ceiling, and no competitors. Who was not tried in all `scenes` is said to be."""
    learnt = [each for each in standings if cells.tier(each.entries) == 1]
    given = [each for each in standings if each not in learnt]
    parts: list[Part] = []
    for title, held in (
        (" Poses by a pretrained estimator, so not ranked: ", learnt), (" Given poses, so not ranked: ", given),
    ):  # fmt: skip
        for k, each in enumerate(held):
            made = "submitted; " if any(entry.submitted for entry in each.entries) else ""
            end = "." if k == len(held) - 1 else "; "
            parts += [] if k else [Part(title)]
            both = len(each.scenes & scenes)
            among = "" if both == len(scenes) else f"{both} of {len(scenes)} scenes; " if both else "elsewhere; "
            parts += [Part(each.method, strong=True), Part(f" ({made}{among}{each.words}){end}")]
    return tuple(parts)

"""What was found in a whole suite: the part of a report that is read first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.record import OUTCOMES
from reports.analysis import entries as cells
from reports.analysis.columns import CORRECTED, HEADLINE
from reports.analysis.entries import Entry, counted
from reports.analysis.findings import Part, Sentence, bearing, finding
from reports.analysis.questions import split_degradation
from reports.analysis.robustness import Curve, by_kind
from reports.analysis.scorebook import Scorebook

OPTIONAL = frozenset(name for name in HEADLINE if name.split("/")[1] in CORRECTED)
"""Columns that a method may lack by its nature: footnotes of the tables say why."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Cells that ended alike."""

    status: str
    stage: str
    reason: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    findings: tuple[Sentence, ...]
    failures: tuple[Failures, ...]  # the commonest first
    tally: str  # "6 of 9 cells solved, 1 answered, not solved; 2 gave no answer (1 failed, 1 timeout)."
    caveats: tuple[Sentence, ...]


def verdict(entries: Sequence[Entry], book: Scorebook, curves: Sequence[Curve]) -> Verdict:
    """Of a whole suite: who leads on captures as they are, who bears which degradation, and what to beware of."""
    findings: list[Sentence] = []
    kinds = by_kind(curves)
    for setting, each in cells.by_setting(entries).items():
        for degradation, held in cells.by_degradation(each).items():
            kind, severity = split_degradation(degradation)
            if not severity or (setting, kind) not in kinds:
                scenes = cells.by_scene(held)
                where = next(iter(scenes)) if len(scenes) == 1 else f"{len(scenes)} scenes"
                findings.append(finding(f"{where} · {degradation}", held, book))
        findings += [bearing(held) for (other, _), held in kinds.items() if other == setting]
    return Verdict(
        findings=tuple(findings), failures=tuple(_failures(entries)), tally=_tally(entries),
        caveats=tuple(_caveats(entries)),
    )  # fmt: skip


def _failures(entries: Sequence[Entry]) -> list[Failures]:
    """Reasons that differ in their numbers alone are one."""
    failed = [entry for entry in entries if entry.failed]
    groups = cells.grouped(failed, lambda e: (e.outcome, e.result.stage or "", _numberless(cells.reason(e))))
    found = []
    for (status, stage, _), each in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        reasons = list(dict.fromkeys(map(cells.reason, each)))
        reason = reasons[0] + (", or the like" if len(reasons) > 1 else "")
        found.append(Failures(status=status, stage=stage, reason=reason, entries=tuple(each)))
    return found


def _tally(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.outcome for entry in entries)
    skipped = counts.pop("skipped", 0)
    said = {name: f"{counts[name]} {title}" for name, title in OUTCOMES.items() if counts[name]}
    answers = [said.pop(name) for name in ("solved", "answered", "short", "done") if name in said]
    gone, kinds = sum(entry.failed for entry in entries), ", ".join(said.values())
    text = f"Of {counted(len(entries), 'cell')}: " + (", ".join(answers) or "none gave an answer")
    if gone:
        text += f"; {gone} gave no answer ({kinds})" if answers else f" ({kinds})"
    return text + (f"; {skipped} {'was' if skipped == 1 else 'were'} skipped." if skipped else ".")


def _caveats(entries: Sequence[Entry]) -> list[Sentence]:
    found: list[Sentence] = []
    done = [entry for entry in entries if entry.done]

    def say(*parts: str | Part) -> None:
        found.append(tuple(Part(part) if isinstance(part, str) else part for part in parts))

    if flagged := [entry for entry in entries if entry.result.flags]:
        which = Part(counted(len(flagged), "cell"), page="cells.html#status=flagged")
        kinds = Counter(_numberless(flag) for entry in flagged for flag in entry.result.flags)
        commonest = re.sub(r" in # of # views", "", kinds.most_common(1)[0][0])
        verb = "carries a flag: a doubt" if len(flagged) == 1 else "carry flags: doubts"
        say(which, f" {verb} about a number, most often “{commonest}”.")
    if tuned := sorted({f"{entry.cell.method} on {entry.cell.scene}" for entry in entries if entry.result.tuned_here}):
        say(f"Tuned with the truth of the scene in view: {', '.join(tuned)} (marked †). Those rows flatter.")
    if learnt := sorted({entry.cell.method for entry in entries if entry.result.pretrained_on}):
        say(f"Trained on other data before: {', '.join(learnt)}.")
    if short := sorted({entry.cell.method for entry in entries if entry.outcome == "short"}):
        say(f"Too short to converge at this effort: {', '.join(short)}. Those rows say that it runs.")
    if brought := sorted({entry.cell.method for entry in entries if entry.submitted}):
        text = f"Submitted, not run here: {', '.join(brought)}. Who found these poses, from what and at what cost, is"
        say(f"{text} not known to the suite, which only judged them.")
    seeds = Counter((entry.question, entry.cell.method) for entry in done)
    if seeds and min(seeds.values()) < 5:
        low, high = min(seeds.values()), max(seeds.values())
        count = counted(low, "seed") if low == high else f"{low} to {high} seeds"
        say(f"A number here rests on {count}: small differences may be chance.")
    if len({entry.machine for entry in done}) > 1:
        say("Fits ran with different numbers of CPU threads or kinds of device: their times are not ranked together.")
    reasons: dict[str, set[str]] = {}
    for entry in done:
        for name, reason in entry.result.absent.items():
            if any(f"{each}/".startswith(name + "/") for each in HEADLINE if each not in OPTIONAL):
                reasons.setdefault(reason, set()).add(name)
    for reason, names in sorted(reasons.items()):
        say(f"Not measured: {', '.join(sorted(names))} ({reason}).")
    for what, values in (
        ("protocols", {entry.result.protocol for entry in entries}),
        ("efforts", {entry.cell.effort for entry in entries}),
    ):
        if len(values) > 1:
            say(f"This suite mixes {what} ({', '.join(sorted(values))}); they are never in one table.")
    references = {entry.question.reference for entry in entries}
    if "none" in references:
        say(
            "Where nobody knows the cameras, view synthesis alone is judged, in tables of its own: held-out views are "
            "looked for from a method's own cameras of the views beside them."
        )
    if "colmap" in references:
        say("Where the reference is COLMAP's own estimate, scores are agreement with COLMAP, in tables of their own.")
    return found


def _numberless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", text)

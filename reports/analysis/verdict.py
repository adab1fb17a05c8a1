"""What was found in a whole suite: the part of a report that is read first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.record import OUTCOMES
from reports.analysis import entries as cells
from reports.analysis.columns import CORRECTED, HEADLINE
from reports.analysis.entries import PSNR, Entry, counted
from reports.analysis.findings import Part, Sentence, bearing, finding
from reports.analysis.leaderboard import TILT
from reports.analysis.questions import split_degradation
from reports.analysis.robustness import Curve, by_kind
from reports.analysis.scorebook import Scorebook

MISALIGNED = 3.0
"""dB by which aligned views may stand below refined ones before it is said why."""

MISALIGNED_MEANS = (
    "Aligned views far below refined ones: the field is better than its aligned views, which are rendered where the "
    "method's own cameras, aligned with the true ones, place the held-out cameras, and that place is off"
)

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
        caveats=tuple(caveats(entries)),
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


def poorly_aligned(entries: Sequence[Entry]) -> str:
    """Who renders far worse where the alignment puts the held-out cameras than where their own pixels do."""
    found = []
    for entry in entries:
        aligned, refined, tilt = (cells.value(entry.result, name) for name in (PSNR, "nvs/refined/psnr", TILT))
        if aligned and refined and refined - aligned > MISALIGNED:
            frame = f"; frame tilt {tilt:.1f} deg" if (tilt or 0) > 0.1 else ""
            who = f"{entry.cell.method} on {entry.cell.scene}"
            found.append((aligned - refined, who, f"{who} ({aligned:.1f}, then {refined:.1f} dB{frame})"))
    worst = {who: text for _, who, text in sorted(found, reverse=True)}  # of several seeds, the worst
    return "; ".join(list(worst.values())[::-1][:4]) + (f"; and {len(worst) - 4} more" if len(worst) > 4 else "")


def caveats(entries: Sequence[Entry]) -> list[Sentence]:
    """What to beware of in the numbers of these cells."""
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
    if gaps := poorly_aligned(done):
        say(f"{MISALIGNED_MEANS}: {gaps}.")
    if tuned := sorted({f"{entry.cell.method} on {entry.cell.scene}" for entry in entries if entry.result.tuned_here}):
        say(f"Tuned with the truth of the scene in view: {', '.join(tuned)} (marked †): their numbers are optimistic.")
    if learnt := sorted({entry.cell.method for entry in entries if entry.result.pretrained_on}):
        say(f"Trained on other data before: {', '.join(learnt)}.")
    if short := sorted({entry.cell.method for entry in entries if entry.outcome == "short"}):
        say(f"This effort is too short for {', '.join(short)} to converge: their rows show only that they run.")
    if brought := sorted({entry.cell.method for entry in entries if entry.submitted}):
        text = f"Submitted, not run here: {', '.join(brought)}. Who found these poses, from what and at what cost, is"
        say(f"{text} not known to the suite, which only judged them.")
    seeds = Counter((entry.question, entry.cell.method) for entry in done)
    if seeds and min(seeds.values()) < 5:
        low, high = min(seeds.values()), max(seeds.values())
        count = counted(low, "seed") if low == high else f"{low} to {high} seeds"
        say(f"Each number is from {count}: small differences may be chance.")
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
            say(f"This suite mixes {what} ({', '.join(sorted(values))}); they are never put in one table.")
    references = {entry.question.reference for entry in entries}
    if "none" in references:
        say(
            "Without reference poses only view synthesis is judged, in separate tables: each held-out pose is searched "
            "for, starting from the method's own cameras of the neighbouring views."
        )
    if "colmap" in references:
        say(
            "Where COLMAP made the reference poses, scores are agreement with COLMAP, not accuracy: in separate tables."
        )
    return found


def _numberless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", text)

"""What was found in a whole suite: the part of a report that is read first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reports.analysis import scores, severities
from reports.analysis.columns import CORRECTED, HEADLINE
from reports.analysis.findings import Part, Sentence, bearing, finding
from reports.analysis.scores import STATUSES, Entry, Setting

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
    failed_of: str  # "2 of 9 cells gave no answer (1 failed, 1 timeout); 1 was skipped."
    caveats: tuple[Sentence, ...]


def verdict(entries: Sequence[Entry]) -> Verdict:
    """Of a whole suite: who leads on captures as they are, who bears which degradation, and what to beware of."""
    findings: list[Sentence] = []
    curves = severities.curves(entries)
    for setting, each in scores.by_setting(entries).items():
        for degradation, held in scores.by_degradation(each).items():
            kind, severity = scores.split_degradation(degradation)
            if not severity or not any(curve.setting == setting and curve.kind == kind for curve in curves):
                findings.append(finding(_title(setting, degradation, held), held, agreement=setting.agreement))
        kinds = dict.fromkeys(curve.kind for curve in curves if curve.setting == setting)
        for kind in kinds:
            findings.append(bearing([curve for curve in curves if curve.setting == setting and curve.kind == kind]))
    return Verdict(
        findings=tuple(findings),
        failures=tuple(_failures(entries)),
        failed_of=_tally(entries),
        caveats=tuple(_caveats(entries)),
    )


def _title(setting: Setting, degradation: str, entries: Sequence[Entry]) -> str:
    scenes = list(scores.by_scene(entries))
    where = scenes[0] if len(scenes) == 1 else f"{len(scenes)} scenes"
    return f"{where} · {degradation}"


def _failures(entries: Sequence[Entry]) -> list[Failures]:
    """Reasons that differ in their numbers alone are one."""
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        if entry.failed:
            alike = re.sub(r"\d+(\.\d+)?", "#", scores.reason(entry))
            groups.setdefault((entry.result.status, entry.result.stage or "", alike), []).append(entry)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    found = []
    for (status, stage, _), each in ordered:
        reasons = list(dict.fromkeys(scores.reason(entry) for entry in each))
        reason = reasons[0] + (", or the like" if len(reasons) > 1 else "")
        found.append(Failures(status=status, stage=stage, reason=reason, entries=tuple(each)))
    return found


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
        counted = Part(f"{len(flagged)} {_plural(len(flagged), 'cell')}", page="cells.html#status=flagged")
        kinds = Counter(re.sub(r"\d+", "#", flag) for entry in flagged for flag in entry.result.flags)
        commonest = re.sub(r" in # of # views", "", kinds.most_common(1)[0][0])
        found.append((Part("Flags stand beside numbers of "), counted, Part(f", most often “{commonest}”.")))
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
            if any(each == name or each.startswith(name + "/") for each in HEADLINE if each not in OPTIONAL):
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

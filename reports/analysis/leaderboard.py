"""Leaderboards: a line a method over all scenes of a degradation, or over the seeds of one scene."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.record import OUTCOMES, ROTATION
from reports import parallel
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import COLUMNS, HEADLINE, SHORT, Column, column
from reports.analysis.entries import IOU, PSNR, REGISTERED, TWO_FRAMES, Entry, ranges
from reports.analysis.marks import marked, may_lead
from reports.analysis.questions import Question, Setting
from reports.analysis.scorebook import CHARGED, Scorebook, Scored
from reports.analysis.table import Figure, Footnotes, Head, Number, Row, Table

STATISTICS = {"iqm": stats.iqm, "median": stats.median, "mean": stats.mean}
"""By name, the first being the protocol's. What stands below each: bootstrap interval; range; standard deviation."""

INTERVAL_FROM = 5
"""Seeds of a scene from which a spread is shown as a bootstrap interval of the median; below, as the range."""

TILT = "pose/frame_tilt_deg"
"""A column of those tables in which a frame is in doubt: it explains poor aligned views beside good refined ones."""

RANKED_BY = (IOU, PSNR, ROTATION)
"""The first of these that the cells have decides, failures charged."""


@dataclass(frozen=True, kw_only=True)
class Board(Table):
    """A leaderboard. Methods that may lead are ranked and come first, the best on top."""

    setting: Setting
    degradation: str
    scenes: tuple[str, ...]


def across_scenes(entries: Sequence[Entry], book: Scorebook) -> list[Board]:
    """A leaderboard for each setting and degradation present, over scenes and seeds; clean first."""
    groups = [held for each in cells.by_setting(entries).values() for held in cells.by_degradation(each).values()]

    def board(held: Sequence[Entry]) -> Board:
        return _leaderboard(held, book, HEADLINE, tuple(STATISTICS))

    return list(parallel.each(board, groups, len(entries)))


def of_questions(entries: Sequence[Entry], book: Scorebook) -> list[tuple[Question, Board]]:
    """Each question's own table."""
    questions = cells.by_question(entries)
    boards = parallel.each(lambda held: of_question(held, book), list(questions.values()), len(entries))
    return list(zip(questions, boards, strict=True))


def of_question(entries: Sequence[Entry], book: Scorebook, names: Sequence[str] = HEADLINE) -> Board:
    """Of one scene: medians over seeds, with a note for each flag and each number that is missing."""
    return _leaderboard(entries, book, names, ("seeds",))


def ranking(entries: Sequence[Entry], book: Scorebook) -> list[str]:
    """Methods that see no poses and may lead, the best first, by penalised IQM; none where not all of those that see
    no poses were tried in the same scenes, for means over other scenes say nothing."""
    shared, scenes = cells.scenes_of_the_blind(entries)
    if shared != scenes:
        return []
    name = quality_column(entries)
    better = -1 if column(name).better == "high" else 1
    leading = {method: each for method, each in cells.by_method(entries).items() if may_lead(each)}
    scores = {method: better * book.penalised(each, name).at(stats.iqm) for method, each in leading.items()}
    return sorted((method for method in scores if not math.isnan(scores[method])), key=scores.__getitem__)


def quality_column(entries: Sequence[Entry]) -> str:
    """What decides who leads: IoU of silhouettes, PSNR of images; rotation where nothing was rendered."""
    held = {name for entry in entries if entry.done for name in entry.result.metrics}
    return next((name for name in RANKED_BY if name in held), PSNR)


def _leaderboard(entries: Sequence[Entry], book: Scorebook, names: Sequence[str], statistics: Sequence[str]) -> Board:
    notes, heads, methods = Footnotes(), _heads(entries, names), cells.by_method(entries)
    ranked = {method: k for k, method in enumerate(ranking(entries, book), 1)}
    placed = sorted(methods, key=lambda m: (cells.tier(methods[m]), ranked.get(m, len(methods)), m))
    rows = [replace(_row(methods[m], heads, book, statistics, notes), rank=ranked.get(m)) for m in placed]
    rows = marked(rows, heads, [methods[m] if m in ranked else () for m in placed])
    first = next((k for k, row in enumerate(rows) if row.given_poses), 0)
    setting, degradation = entries[0].question.setting, entries[0].cell.degradation
    return Board(
        name=f"{degradation} · {setting.title}", setting=setting, degradation=degradation,
        scenes=tuple(cells.by_scene(entries)), heads=heads, notes=notes.lines,
        rows=tuple(replace(row, apart=0 < k == first) for k, row in enumerate(rows)),
    )  # fmt: skip


def _heads(entries: Sequence[Entry], names: Sequence[str]) -> tuple[Head, ...]:
    """Columns that some result has, or says it lacks. Those in which a failure has a price stand twice wherever a cell
    did not succeed; registered views once, for of the successes it says little."""
    heads: list[Head] = []
    twice = any(not entry.solved for entry in cells.tried(entries))
    tilted = any(TWO_FRAMES in flag for entry in entries for flag in entry.result.flags)
    for name in names:
        if not any(_spoken_of(entry, name) for entry in entries) or (name == TILT and not tilted):
            continue
        if name in CHARGED and twice:
            heads.append(Head.of(COLUMNS[name], "penalised"))
            heads += [Head.of(COLUMNS[name], "successes")] if name != REGISTERED else []
        else:
            heads.append(Head.of(COLUMNS[name]))
    return tuple(heads)


def _spoken_of(entry: Entry, name: str) -> bool:
    """Of a stage that is wholly absent, its PSNR."""
    stage, _, metric = name.rpartition("/")
    absent = entry.result.absent
    return cells.value(entry.result, name) is not None or name in absent or (metric == "psnr" and stage in absent)


def _row(
    entries: Sequence[Entry], heads: Sequence[Head], book: Scorebook, statistics: Sequence[str], notes: Footnotes
) -> Row:
    first, held = entries[0], cells.tried(entries)
    counts = Counter(entry.outcome for entry in entries)
    solved, single = counts["solved"], len(entries) == 1
    return Row(
        label=first.cell.method,
        given=cells.describe_given(entries),
        given_poses=first.given_poses,
        tuned_on=tuple(sorted({entry.cell.scene for entry in entries if entry.result.tuned_here})),
        page=first.page,
        seeds=ranges([entry.cell.seed for entry in entries]),
        tally=tuple((o, name if single else f"{counts[o]} {name}") for o, name in OUTCOMES.items() if counts[o]),
        reasons=_reasons(entries),
        n=len(held), solved=solved, failed=sum(entry.failed for entry in held), skipped=counts["skipped"],
        success=stats.wilson(solved, len(held)) if held and first.question.reference != "none" else None,
        numbers=tuple(_number(entries, head, book, statistics, notes) for head in heads) if held else (),
    )  # fmt: skip


def _reasons(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Why cells of a row are not done; seeds that ended alike share a line."""
    if len(entries) == 1:
        return () if entries[0].done else (cells.ended(entries[0]),)
    endings = cells.grouped([entry for entry in entries if not entry.done], cells.ended)
    return tuple(f"seed {ranges([entry.cell.seed for entry in each])} {text}" for text, each in endings.items())


def _number(
    entries: Sequence[Entry], head: Head, book: Scorebook, statistics: Sequence[str], notes: Footnotes
) -> Number:
    assert head.column
    name, shown = head.column.name, head.column
    scored = book.scores(entries, name, head.population)
    doubtful = [entry for entry in scored.entries if cells.flags_of(entry.result, name) or _is_odd(entry, name)]
    return Number(
        n=scored.n, why=scored.why, flagged=len(doubtful),
        notes=_notes(entries, scored, head, notes) if statistics == ("seeds",) else (),
        figures={kind: _figure(kind, scored, shown) for kind in statistics} if scored.n else {},
    )  # fmt: skip


def _is_odd(entry: Entry, name: str) -> bool:
    """Whether an answer has a number that is none."""
    found = cells.value(entry.result, name)
    return found is not None and not math.isfinite(found)


def _notes(entries: Sequence[Entry], scored: Scored, head: Head, notes: Footnotes) -> tuple[str, ...]:
    """Of flags, of numbers that are not finite, and of those that are missing: these once, not for both populations."""
    assert head.column
    name, shown, method = head.column.name, head.column, entries[0].cell.method
    label = f"{SHORT[shown.group]} {shown.label}" if shown.group in SHORT else shown.label
    texts = []
    for flag in sorted({flag for entry in scored.entries for flag in cells.flags_of(entry.result, name)}):
        seeds = ranges([entry.cell.seed for entry in entries if flag in entry.result.flags])
        texts.append(f"{method}{f' (seed {seeds})' if len(entries) > 1 else ''} flagged: {flag}")
    if not any("finite" in text for text in texts) and any(_is_odd(entry, name) for entry in scored.entries):
        texts.append(f"{label} is not finite for {method}")
    if head.population != "successes":
        lacking = [entry for entry in entries if entry.done and cells.value(entry.result, name) is None]
        texts += sorted({f"no {label}: {cells.absence(entry.result, name)}" for entry in lacking})
    return tuple(sorted(map(notes.letter, texts), key=lambda letter: (len(letter), letter)))


def _figure(kind: str, scored: Scored, shown: Column) -> Figure:
    values, statistic = scored.values, STATISTICS.get(kind, stats.median)
    if scored.n < 2:
        spread = ""
    elif odd := int((~np.isfinite(values)).sum()):
        spread = f"{odd} of {scored.n} not finite"
    elif kind == "mean":
        spread = f"± {shown.show(float(np.std(values, ddof=1)))}"
    elif kind == "iqm" or (kind == "seeds" and scored.n >= INTERVAL_FROM):
        spread = show_interval(scored.interval(statistic), shown)
    else:
        spread = show_interval(stats.Interval(float(values.min()), float(values.max())), shown, " … ")
    middle = scored.at(statistic)
    return Figure(text=shown.show(middle), spread=spread, sort=middle if math.isfinite(middle) else None)


def show_interval(found: stats.Interval | None, shown: Column, between: str = ", ") -> str:
    """`[22.00, 31.50] over scenes`: seeds are resampled within scenes where nothing is said."""
    if found is None:
        return ""
    low, high = shown.show(found.low), shown.show(found.high)
    if low == high:
        return "all equal"
    return f"[{low}{between}{high}]" + (" over scenes" if found.over == "scenes" else "")

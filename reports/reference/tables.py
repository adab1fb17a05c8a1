"""Markdown tables of the reference, one function a kind; `KINDS` says what a page may ask for."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

from bench.degrade import CLEAN
from bench.record import ROTATION
from bench.regime import parse_regime
from reports.analysis.questions import degradation_order
from reports.reference import coverage
from reports.reference.lines import Line, Row, angle, decimals, lines, method_order, percent, rotation, share
from reports.reference.published import beside

Wanted = Mapping[str, Sequence[str]]
"""scenes, methods (`gnerf*`: with all its variants), kinds (of degradation), effort; what is absent is not asked."""

PSNR, REFINED, REGISTERED, IOU = "nvs/aligned/psnr", "nvs/refined/psnr", "pose/registered", "nvs/aligned/iou"
COLUMNS: Mapping[str, Callable[[Line], str]] = {
    "registered": lambda line: line.said(REGISTERED, share, " %"),
    "rotation, median": rotation,
    "rotation, mean": lambda line: line.said("pose/rotation_deg_mean", angle, "°"),
    "focal length off by": lambda line: line.said("camera/focal_relative_error", percent, " %"),
    "aligned IoU": lambda line: line.said(IOU, decimals(3)),
    "aligned PSNR": lambda line: line.said(PSNR, unit=" dB"),
    "refined PSNR": lambda line: line.said(REFINED, unit=" dB"),
    "registered PSNR": lambda line: line.said("nvs/registered/psnr", unit=" dB"),
    "fit": lambda line: line.said("fit_seconds", decimals(0), " s"),
}


def chosen(rows: Sequence[Row], wanted: Wanted) -> list[Line]:
    """Raises ValueError where the reference has none."""
    kinds = {CLEAN, *wanted.get("kinds", ())}
    found = [
        line for line in lines(rows)
        if line.scene in wanted.get("scenes", [line.scene])
        and any(_is(line.method, pattern) for pattern in wanted.get("methods", [line.method]))
        and line.degradation.partition("@")[0] in kinds
        and line.effort == wanted.get("effort", ["quick"])[0]
    ]  # fmt: skip
    if not found:
        asked = "; ".join(f"{name} = {' '.join(values)}" for name, values in wanted.items())
        raise ValueError(f"the reference has no cell of {asked}")
    if len(protocols := {line.protocol for line in found}) > 1:
        raise ValueError(f"rows of {' and '.join(sorted(protocols))} meet in one table; keep those of one protocol")
    return found


def by_method(found: Sequence[Line]) -> list[str]:
    """A method a row, a scene a column: rotation, aligned / refined PSNR, n."""
    scenes = sorted({line.scene for line in found})
    methods = sorted({line.method for line in found}, key=method_order)
    held = {(line.method, line.scene): line for line in found if line.degradation == CLEAN}
    rows = [["", *(part for scene in scenes for part in (f"`{scene}`", "n"))]]
    for method in methods:
        cells = [held.get((method, scene)) for scene in scenes]
        rows.append([f"`{method}`", *(part for line in cells for part in (_whole(line), str(line.n) if line else ""))])
    return [*table(rows), "", caption(found, "median rotation error, PSNR of held-out views aligned / refined; ")]


def by_row(found: Sequence[Line]) -> list[str]:
    """A question a row, with what of scene, degradation and method differs, and the columns that any has."""
    names = [name for name in ("scene", "degradation", "method") if len({getattr(line, name) for line in found}) > 1]
    names = names or ["scene"]
    columns = {name: show for name, show in COLUMNS.items() if any(show(line) != "—" for line in found)}
    rows = [[*names, "n", "ended", *columns]]
    for line in found:
        said = [f"`{getattr(line, name)}`" for name in names]
        said[0] += " †" if line.tuned else ""
        rows.append([*said, str(line.n), line.ended, *(show(line) for show in columns.values())])
    busy = " The machines had other work too, so that seconds say little." if "fit" in columns else ""
    return [*table(rows), "", caption(found, after=busy)]


def sweep(found: Sequence[Line]) -> list[str]:
    """A scene and severity a row, a method that was degraded a column: rotation error, share of views registered, n."""
    degraded = {(line.scene, line.method) for line in found if line.degradation != CLEAN}
    if not degraded:
        raise ValueError("the reference has no degraded cell of these")
    methods = sorted({method for _, method in degraded}, key=method_order)
    held = {(line.scene, line.degradation, line.method): line for line in found}
    rows = [["scene", "degradation", *(f"`{method}`" for method in methods)]]
    for scene in sorted({scene for scene, _ in degraded}):
        shown = {degradation for where, degradation, method in held if where == scene and method in methods}
        for degradation in sorted(shown, key=degradation_order):
            cells = [held.get((scene, degradation, method)) for method in methods]
            rows.append([f"`{scene}`", f"`{degradation}`", *(_survived(line) for line in cells)])
    return [*table(rows), "", caption(found, "median rotation error, share of views registered; ")]


def published(found: Sequence[Line]) -> list[str]:
    """What others have published of these methods and scenes, ours beside, and the gap where one means something."""
    rows, notes = beside(found)
    if not rows:
        raise ValueError("nothing is published of these scenes and methods: reports/paper/published.toml")
    head = ["scene", "published", "", "theirs", "ours", "n", "gap, ours minus theirs"]
    return [*table([head, *rows]), "", _filled(" ".join(notes)), "", caption(found)]


def covered(found: Sequence[Line]) -> list[str]:
    """How much of a whole record is measured."""
    return [*table(coverage.clean(found)), "", *table(coverage.swept(found))]


KINDS: Mapping[str, Callable[[Sequence[Line]], list[str]]] = {
    "methods": by_method, "rows": by_row, "sweep": sweep, "published": published,
    "coverage": covered,
}  # fmt: skip


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown: the first row is the head. Methods' names may hold a `|` no more than scenes' do."""
    head, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *rest]


def caption(found: Sequence[Line], what: str = "", after: str = "") -> str:
    """What the numbers above rest on."""
    rows = [row for line in found for row in line.rows]
    efforts = sorted({line.effort for line in found})
    sizes = ", ".join(f"`{effort}` ({parse_regime(effort).words})" for effort in efforts)
    machines = sorted({f"{row['device']} ({row['processor']}; threads: {row['threads']})" for row in rows})
    most = max(line.n for line in found)
    statistic = f"{what}{'median of n seeds [lowest, highest]' if most > 1 else 'one seed (n = 1)'}"
    dagger = "† Its defaults were chosen on this scene with the truth in view: the number flatters."
    return _filled(
        f"From `bench/reference/cells.csv` (`make tables`): {statistic}; {_listed(rows, 'protocol')}, {sizes}; "
        f"{', '.join(machines)}; torch {_listed(rows, 'torch')}."
        + after
        + (f" {dagger}" if any(line.tuned for line in found) else "")
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _listed(rows: Sequence[Row], name: str) -> str:
    return ", ".join(sorted({row[name] for row in rows}))


def _is(method: str, pattern: str) -> bool:
    return method.startswith(pattern[:-1]) if pattern.endswith("*") else method == pattern


def _whole(line: Line | None) -> str:
    if line is None:
        return "not measured"
    known = [line.said(column).removesuffix(" dB") for column in (PSNR, REFINED) if line.values(column)]
    told = ([] if _is_oracle(line) or not line.values(ROTATION) else [rotation(line)]) + (
        [" / ".join(known) + " dB"] if known else []
    )
    return ("† " if line.tuned else "") + (", ".join(told) or line.ended) + _unsolved(line)


def _survived(line: Line | None) -> str:
    if line is None:
        return "not measured"
    if not line.values(ROTATION):
        return f"{line.ended} (n = {line.n})"
    seen = f", {line.said(REGISTERED, share, ' %')}" if line.values(REGISTERED) else ""
    dagger = "† " if line.tuned else ""
    return f"{dagger}{rotation(line)}{seen}{_unsolved(line)} (n = {line.n})"


def _unsolved(line: Line) -> str:
    answered = bool(line.values(ROTATION)) and not _is_oracle(line)
    return f"; {line.ended}" if answered and line.solved < line.n else ""


def _is_oracle(line: Line) -> bool:
    """Whether it was given the true poses; `rough_start` and `some_start` are less than they."""
    return "start" in line.rows[0]["given"].split("; ")

"""Selections (`all`, globs, commas, `method[option=value]`) -> the cells of a run, and why some are skipped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from bench.cell import Cell
from bench.degrade import CLEAN, KINDS, Degradation, parse
from bench.matrix.registry import (
    BrokenMethod,
    ConfiguredMethod,
    UnknownName,
    find_method,
    find_scene,
    method_refs,
    scene_sources,
)
from bench.poses_io.submission import HANDED_OUT, Submission
from bench.scene import SceneSource
from bench.task import Effort, Gift

RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A cell with all that is needed to run it; `skip` says why it will not be."""

    cell: Cell
    source: SceneSource
    degradation: Degradation
    method: ConfiguredMethod
    skip: str | None = None
    submission: Submission | None = None  # the estimate, for a method that lives on one made elsewhere


@dataclass(frozen=True, kw_only=True)
class Plan:
    cells: tuple[Planned, ...]
    absent: tuple[str, ...] = ()  # what `all` or a pattern named and cannot be had: "name: why", a line each


def split_list(text: str) -> list[str]:
    """`nerf,colmap_nerf[mapper=global,field=grid]` -> its parts; commas within brackets belong to the part."""
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    return [part for part in parts if part]


def parse_seeds(text: str) -> list[int]:
    """`0-2,7` -> [0, 1, 2, 7]. Raises ValueError."""
    seeds: list[int] = []
    for part in split_list(text):
        if (found := _range(part)) is None:
            raise ValueError(f"seeds {text!r}: {part!r} is neither a number nor a range such as 0-4")
        if not found:
            raise ValueError(f"seeds {text!r}: the range {part!r} runs backwards")
        seeds += [seed for seed in found if seed not in seeds]
    if not seeds:
        raise ValueError("seeds: none given")
    return seeds


def select_scenes(text: str, roots: Sequence[Path]) -> tuple[list[SceneSource], list[SceneSource]]:
    """Scenes present, and scenes named by a pattern but absent. A scene named outright must be present."""
    present: dict[str, SceneSource] = {}
    absent: dict[str, SceneSource] = {}
    for part in split_list(text):
        if part == "all" or _is_pattern(part):
            known = scene_sources(tuple(roots)).values()
            matching = [source for source in known if part == "all" or fnmatchcase(source.name, part)]
            if not matching:
                raise UnknownName(f"no scene matches {part!r}; `unposed list scenes` shows what is known")
            for source in matching:
                (absent if source.missing else present)[source.name] = source
        else:
            source = find_scene(part, roots)
            if source.missing:
                raise UnknownName(f"scene {source.name!r} is not here: {source.missing}")
            present[source.name] = source
    if not present:
        raise UnknownName(f"no scene that {text!r} names is present; `unposed list scenes` says how to get each")
    return list(present.values()), list(absent.values())


def select_methods(text: str) -> tuple[list[ConfiguredMethod], dict[str, str]]:
    """Methods, and those named by a pattern that cannot be imported, with why. One named outright must be whole."""
    chosen: dict[str, ConfiguredMethod] = {}
    broken: dict[str, str] = {}
    for part in split_list(text):
        if part == "all" or (_is_pattern(part.partition("[")[0]) and "/" not in part):
            name, bracket, options = part.partition("[")
            names = [known for known in method_refs() if name == "all" or fnmatchcase(known, name)]
            if not names:
                raise UnknownName(f"no method matches {part!r}; known are {', '.join(method_refs())}")
            found = []
            for known in names:
                try:
                    each = find_method(known + bracket + options)
                except BrokenMethod as error:
                    broken[known] = str(error)
                    continue
                if "estimate" not in each.method.traits.needs:  # a pattern does not know what was submitted
                    found.append(each)
            if not found and not broken:
                raise UnknownName(f"{part!r} matches submitted rows alone; name each outright, as poses[name=NAME]")
        else:
            found = [find_method(part)]
        for method in found:
            other = chosen.setdefault(method.label, method)
            if other.ref.file != method.ref.file:
                places = " and ".join(str(ref.file or ref.target) for ref in (other.ref, method.ref))
                raise ValueError(f"two methods are called {method.label!r}: {places}; rename one")
    if not chosen:
        raise ValueError("; ".join(broken.values()) or "no method is named")
    return list(chosen.values()), broken


def select_kinds(text: str) -> list[str]:
    """`noise,low_texture` -> names of kinds: families, globs and `all` stand for theirs. Raises ValueError."""
    chosen: list[str] = []
    for part in split_list(text):
        if part == CLEAN:
            raise ValueError(f"{CLEAN} is no kind of degradation but the scene as it is, severity 0 of every kind")
        matching = [name for name, kind in KINDS.items() if part in ("all", kind.family) or fnmatchcase(name, part)]
        if not matching and _is_pattern(part):
            raise UnknownName(f"no degradation matches {part!r}; `unposed list degradations` shows what is known")
        chosen += matching or [Degradation(kind=part, severity=1).kind]  # which says what is near
    return list(dict.fromkeys(chosen))


def select_degradations(text: str) -> list[Degradation]:
    """`clean,noise@1-5` -> degradations: kinds as `select_kinds` has them, each at a severity or a range of them."""
    chosen: dict[str, Degradation] = {}
    for part in split_list(text):
        names, at, severities = (word.strip() for word in part.partition("@"))
        span = _range(severities)
        if span is not None and not span:
            raise ValueError(f"degradation {part!r}: the range {severities!r} runs backwards")
        for kind in [CLEAN] if names == CLEAN else select_kinds(names):
            for severity in span or [severities]:
                try:
                    degradation = parse(f"{kind}{at}{severity}")
                except ValueError as error:
                    raise ValueError(f"{error}; a range is of whole severities, as in {kind}@1-5") from error
                chosen[degradation.label] = degradation
    if not chosen:
        raise ValueError("no degradation is named; `clean` is the scene as it is")
    return list(chosen.values())


def plan(
    *,
    scenes: str,
    methods: str,
    degradations: str,
    seeds: str,
    effort: Effort,
    roots: Sequence[Path],
) -> Plan:
    """The matrix, scene by scene. Raises ValueError (UnknownName, SceneError) for what it cannot read."""
    chosen_seeds = parse_seeds(seeds)
    chosen_degradations = select_degradations(degradations)
    present, absent = select_scenes(scenes, roots)
    chosen_methods, broken = select_methods(methods)
    cells = []
    for source in present:
        for degradation in chosen_degradations:
            for method in chosen_methods:
                skip = skip_reason(source, degradation, method)
                for seed in chosen_seeds:
                    cell = Cell(
                        scene=source.name, degradation=degradation.label, method=method.label, seed=seed, effort=effort
                    )
                    cells.append(Planned(cell=cell, source=source, degradation=degradation, method=method, skip=skip))
    missing = {source.name: source.missing for source in absent} | broken
    return Plan(cells=tuple(cells), absent=tuple(f"{name}: {reason}" for name, reason in missing.items()))


def at(planned: Planned, degradation: Degradation) -> Planned:
    """The same cell under another degradation."""
    return replace(
        planned,
        cell=replace(planned.cell, degradation=degradation.label),
        degradation=degradation,
        skip=skip_reason(planned.source, degradation, planned.method),
    )


def skip_reason(
    source: SceneSource, degradation: Degradation, method: ConfiguredMethod, *, submitted: bool = False
) -> str | None:
    """Why this method will not run here, as far as can be known without reading the scene."""
    always: set[Gift] = {"start", "estimate"} if submitted else {"start"}  # the truth is known, so it can be given
    gifts = source.gifts | always
    traits = method.method.traits
    if lacking := traits.lack(gifts):
        return lacking
    if degradation.is_identity:
        return None
    kind = KINDS[degradation.kind]
    if missing := kind.needs - gifts:
        return f"{kind.name} needs " + " and ".join(sorted(missing))
    if kind.changes_scene and not traits.silhouettes:
        return "needs colour images, not silhouettes"
    if "start" in kind.touches and traits.start.exact > 0:
        return f"needs true poses of some views, and {kind.name} moves all of them"
    taken = traits.needs | traits.uses | (HANDED_OUT if submitted else set())
    if kind.touches <= set(get_args(Gift)) and not kind.touches & taken:
        return f"{kind.name} spoils the {' and '.join(sorted(kind.touches))}, which it is not given"
    return None


def estimate_seconds(planned: Planned, history: Iterable[tuple[str, str, float]]) -> float | None:
    """Expected seconds of a fit: the median of this method's earlier fits at this effort, or its own word."""
    import statistics

    earlier = [s for label, effort, s in history if label == planned.cell.method and effort == planned.cell.effort]
    if earlier:
        return statistics.median(earlier)
    return planned.method.method.traits.seconds.get(planned.cell.effort)


def _range(text: str) -> range | None:
    """`3` or `1-5`, both ends included; empty where it runs backwards; None for anything else."""
    match = RANGE.fullmatch(text)
    return match and range(int(match[1]), int(match[2] or match[1]) + 1)


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?")

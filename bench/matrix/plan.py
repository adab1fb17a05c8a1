"""A selection -> the cells of a run, and why some of them are skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from bench.cell import Cell
from bench.degrade import KINDS, Degradation
from bench.matrix.registry import ConfiguredMethod
from bench.matrix.restated import read_as
from bench.matrix.selection import Selection, parse_seeds, select_degradations, select_methods, select_scenes
from bench.regime import parse_regime
from bench.scene import SceneSource
from bench.submission import HANDED_OUT, Submission
from bench.task import Input

MOST_CELLS = 100_000
"""Of one matrix: ten times what a report is measured with."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A cell with all that is needed to run it; `skip` says why it will not be."""

    cell: Cell
    source: SceneSource
    degradation: Degradation  # by the draw of the cell's seed, unless its label fixes one
    method: ConfiguredMethod
    skip: str | None = None
    submission: Submission | None = None  # the estimate, for a method that lives on one made elsewhere


@dataclass(frozen=True, kw_only=True)
class Plan:
    cells: tuple[Planned, ...]
    absent: tuple[str, ...] = ()  # what `all` or a pattern named and cannot be had: "name: why", a line each
    assumed: tuple[str, ...] = ()  # of scenes, when they are read: "name: what", a line each


def plan(asked: Selection) -> Plan:
    """The matrix, scene by scene. Raises ValueError (UnknownName, SceneError) for what it cannot read."""
    seeds, regime = parse_seeds(asked.seeds), parse_regime(asked.effort)
    chosen_degradations = select_degradations(asked.degradations)
    present, absent = select_scenes(asked.scenes, asked.roots, asked.suite)
    present = [read_as(source, regime) for source in present]
    chosen_methods, broken = select_methods(asked.methods, asked.python)
    count = len(present) * len(chosen_degradations) * len(chosen_methods) * len(seeds)
    if count > MOST_CELLS:
        raise ValueError(f"this matrix has {count:,} cells, and {MOST_CELLS:,} is the most: make several suites of it")
    cells = []
    for source in present:
        for degradation in chosen_degradations:
            for method in chosen_methods:
                skip = skip_reason(source, degradation, method)
                for seed in seeds:
                    cell = Cell(
                        scene=source.name,
                        degradation=degradation.label,
                        method=method.label,
                        seed=seed,
                        effort=regime.label,
                    )
                    drawn = degradation.at(seed)
                    cells.append(Planned(cell=cell, source=source, degradation=drawn, method=method, skip=skip))
    missing = {source.name: source.missing for source in absent} | broken
    return Plan(
        cells=tuple(cells),
        absent=tuple(f"{name}: {reason}" for name, reason in missing.items()),
        assumed=tuple(f"{source.name}: {note}" for source in present for note in getattr(source, "notes", ())),
    )


def at(planned: Planned, degradation: Degradation) -> Planned:
    """The same cell under another degradation."""
    return replace(
        planned,
        cell=replace(planned.cell, degradation=degradation.label),
        degradation=degradation.at(planned.cell.seed),
        skip=skip_reason(planned.source, degradation, planned.method),
    )


def skip_reason(
    source: SceneSource, degradation: Degradation, method: ConfiguredMethod, *, submitted: bool = False
) -> str | None:
    """Why this method will not run here, as far as can be known without reading the scene."""
    if method.lacking:
        return method.lacking
    true: set[Input] = set() if source.reference == "none" else {"start"}  # a truth that is known can be given
    brought: set[Input] = {"estimate"} if submitted else set()
    inputs = source.inputs | true | brought
    traits = method.method.traits
    if lacking := traits.lack(inputs):
        said = ["nobody knows the cameras of this scene"] if "start" in traits.needs - inputs else []
        remedies: Mapping[Input, str] = getattr(source, "remedies", {})
        said += [] if said else [how for name, how in remedies.items() if name in traits.needs - inputs]
        return "; ".join([lacking, *said])
    if degradation.is_identity:
        return None
    kind = KINDS[degradation.kind]
    if missing := kind.needs - inputs:
        return f"{kind.name} needs " + " and ".join(sorted(missing))
    if kind.shows_outlines and not traits.silhouettes:
        return "needs colour images, not silhouettes"
    if "start" in kind.touches and traits.start.exact > 0:
        return f"needs true poses of some views, and {kind.name} moves all of them"
    taken = traits.needs | traits.uses | (HANDED_OUT if submitted else set())
    if kind.touches <= set(get_args(Input)) and not kind.touches & taken:
        return f"{kind.name} spoils the {' and '.join(sorted(kind.touches))}, which it is not given"
    return None

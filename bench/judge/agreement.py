"""How far cameras of several answers agree, where nobody knows the true ones: pairwise alignment, and a consensus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.judge.align import Rules, align
from bench.judge.similarity import radius, rotation_angle
from bench.task import Collapsed, Pose, ViewId

SAME_DEG = 5.0
"""Median rotation up to which two answers are one: what the protocol calls solved."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of two answers, after the protocol's similarity from one to the other. Medians over the views of both."""

    views: int  # with a pose in both
    rotation_deg: float  # NaN where no similarity can be found
    centre: float  # distance of centres over their RMS radius
    reason: str | None = None  # why no similarity can be found

    @property
    def same(self) -> bool:
        return self.rotation_deg < SAME_DEG  # NaN is not


def between(a: Mapping[ViewId, Pose], b: Mapping[ViewId, Pose], rules: Rules | None = None) -> Agreement:
    """Of poses (4, 4) world_from_camera, each set in a frame of its own."""
    rules = rules or Rules()
    shared = [view for view in b if view in a]
    if len(shared) < rules.min_views:
        return _none(len(shared), f"{len(shared)} views have a pose in both, and {rules.min_views} are the fewest")
    try:
        found = align({view: a[view] for view in shared}, {view: b[view] for view in shared}, rules)
    except Collapsed as error:
        return _none(len(shared), str(error))
    moved = found.similarity.apply(np.stack([a[view] for view in found.registered]))
    fixed = np.stack([b[view] for view in found.registered])
    angles = np.degrees(rotation_angle(moved[:, :3, :3], fixed[:, :3, :3]))
    distances = np.linalg.norm(moved[:, :3, 3] - fixed[:, :3, 3], axis=1) / radius(fixed[:, :3, 3])
    return Agreement(
        views=len(found.registered), rotation_deg=float(np.median(angles)), centre=float(np.median(distances))
    )


def _none(views: int, reason: str) -> Agreement:
    return Agreement(views=views, rotation_deg=float("nan"), centre=float("nan"), reason=reason)


def agreements(answers: Sequence[Mapping[ViewId, Pose]]) -> dict[tuple[int, int], Agreement]:
    """Of every two answers, by their places."""
    return {(i, j): between(answers[i], answers[j]) for i, j in combinations(range(len(answers)), 2)}


def consensus(count: int, pairs: Mapping[tuple[int, int], Agreement]) -> tuple[int, ...]:
    """Places of the largest set of answers of which every two are the same; of several such the one that agrees best.

    Empty where no two agree. Answers that are wrong in the same way agree too: a consensus is no truth.
    """
    grown: list[tuple[int, ...]] = [(k,) for k in range(count)]
    best: list[tuple[int, ...]] = []
    while grown:
        grown = [
            (*held, k)
            for held in grown
            for k in range(held[-1] + 1, count)
            if all(pairs[each, k].same for each in held)
        ]  # fmt: skip
        best = grown or best
    apart = {held: sum(pairs[pair].rotation_deg for pair in combinations(held, 2)) for held in best}
    return min(apart, key=lambda held: apart[held], default=())

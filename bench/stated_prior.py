"""A prior over viewpoints in words that people have: how they walked round the thing, how high, how far."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.camera import PosePrior

Walk = Literal["orbit", "dome", "ring", "forward"]
WALKS: tuple[Walk, ...] = get_args(Walk)

SPOKEN: Mapping[Walk, str] = {
    "orbit": "walked all the way round it, at one or several heights",
    "dome": "from all sides and from above",
    "ring": "a turntable, or a rig: one height, one distance",
    "forward": "from the front alone, within an arm's length or a few steps",
}
DISTANCE = 4.0
"""Scene units from the camera to what it looks at, where nobody says another: the unit is free."""


@dataclass(frozen=True, kw_only=True)
class StatedPrior(PosePrior):
    """A prior made of nothing but a family that somebody stated. Its frame and its unit are its own, not those of any
    true poses: a method that is given poses of the scene's frame has no use for it, and is not given it."""

    walk: Walk


@dataclass(frozen=True, kw_only=True)
class _Habit:
    """What is usual of a walk; lengths are in distances."""

    azimuth: tuple[float, float] = (0.0, 360.0)
    elevation: tuple[float, float]
    elevation_by: Literal["angle", "area"] = "angle"
    distance: tuple[float, float]
    look_at_std: float = 0.0


_HABITS: Mapping[Walk, _Habit] = {
    "orbit": _Habit(elevation=(0, 45), distance=(0.85, 1.15), look_at_std=0.03),
    "dome": _Habit(elevation=(0, 90), elevation_by="area", distance=(1, 1)),
    "ring": _Habit(elevation=(5, 35), distance=(1, 1)),
    "forward": _Habit(azimuth=(-45, 45), elevation=(-30, 30), distance=(0.8, 1.2), look_at_std=0.05),
}


def prior_of(walk: Walk, elevation: str | None = None, distance: str | None = None) -> StatedPrior:
    """The family of viewpoints of a walk; `elevation` in degrees and `distance` in scene units, each a number or a
    range, `10..60`. Raises ValueError."""
    prior = usual(walk, None if distance is None else span(distance, "--distance"))
    return prior if elevation is None else replace(prior, elevation=span(elevation, "--elevation"))


def usual(walk: Walk, radius: tuple[float, float] | None = None) -> StatedPrior:
    """What is usual of a walk, all lengths by its radius (least and most, in scene units): rays begin at half of the
    one, and end one and a half of the other away."""
    habit = _HABITS[walk]
    low, high = radius or (DISTANCE * habit.distance[0], DISTANCE * habit.distance[1])
    return StatedPrior(
        walk=walk,
        family="sphere+jitter" if habit.look_at_std else "sphere",
        azimuth=habit.azimuth,
        elevation=habit.elevation,
        elevation_by=habit.elevation_by,
        radius=(low, high),
        look_at_std=habit.look_at_std * (low + high) / 2,
        near=0.5 * low,
        far=1.5 * high,
    )


def span(text: str, what: str) -> tuple[float, float]:
    """`10..60`, `10-60` or `30` -> a range. Raises ValueError."""
    number = r"([+-]?\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"\s*{number}\s*(?:(?:\.\.|-)\s*{number}\s*)?", text)
    if not match:
        raise ValueError(f"{what} {text!r}: write a number, or a range as 10..60")
    low = float(match[1])
    high = float(match[2]) if match[2] else low
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError(f"{what}: a number of so many digits is none")
    if low > high:
        raise ValueError(f"{what} {text!r}: the range runs backwards")
    return low, high


def table(prior: StatedPrior) -> str:
    """The `[prior]` of a card, ready to paste."""
    said = next(f"  # {words}" for walk, words in SPOKEN.items() if walk == prior.walk)
    rows = [
        f'walk = "{prior.walk}"  # all that was stated: its unit and its axes are its own, not those of any poses',
        f'family = "{prior.family}"',
        f"azimuth = {_range(prior.azimuth)}  # degrees, counter-clockwise about up",
        f"elevation = {_range(prior.elevation)}  # degrees, above the level of what is looked at",
        f'elevation_by = "{prior.elevation_by}"',
        f"radius = {_range(prior.radius)}  # to what is looked at, in scene units: any unit will do",
        f"look_at_std = {prior.look_at_std:g}  # how far past the middle cameras look, a standard deviation",
        f"near = {prior.near:g}  # along a ray, where the scene begins, ...",
        f"far = {prior.far:g}  # ... and ends",
    ]
    return "\n".join([f"[prior]{said}", *rows])


def inline(prior: StatedPrior) -> str:
    """What a person can say of it, in one line of a card: the rest follows."""
    return f'prior = {{walk = "{prior.walk}", elevation = {_range(prior.elevation)}, radius = {_range(prior.radius)}}}'


def _range(values: tuple[float, float]) -> str:
    return f"[{values[0]:g}, {values[1]:g}]"

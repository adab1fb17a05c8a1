"""Where does it break? Bisection on a grid of severities, one question at a time.

It is taken for granted that what breaks at a severity is broken at all higher ones (monotonicity): of n severities no
more than 2 + ceil(log2(n - 1)) are looked at, and a method that recovers beyond its breaking point is not noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

HIGHEST = 5.0
"""Of all severities (bench.degrade)."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is known of one breaking point."""

    grid: tuple[float, ...]  # ascending, from 0 to HIGHEST
    holds: float | None = None  # the highest severity known to hold
    breaks: float | None = None  # the lowest severity known to break
    given_up: bool = False

    @property
    def next(self) -> float | None:
        """The severity to look at: both ends first, then the middle of what is left; None once nothing is."""
        if self.given_up or self.breaks == self.grid[0] or self.holds == self.grid[-1]:
            return None
        if self.holds is None:
            return self.grid[0]
        if self.breaks is None:
            return self.grid[-1]
        low, high = self.grid.index(self.holds), self.grid.index(self.breaks)
        return self.grid[(low + high) // 2] if high - low > 1 else None

    @property
    def most_left(self) -> int:
        """How many more severities have to be looked at, at most."""
        if self.next is None:
            return 0
        if self.breaks is None:  # `next` is one of the ends
            return (self.holds is None) + 1 + _halvings(len(self.grid) - 1)
        low, high = self.grid.index(self.holds or 0.0), self.grid.index(self.breaks)
        return _halvings(high - low)

    def after(self, severity: float, holds: bool | None) -> Search:
        """This search with one more answer; None: there is none to be had, here or elsewhere."""
        if holds is None:
            return replace(self, given_up=True)
        return replace(self, holds=severity) if holds else replace(self, breaks=severity)

    @property
    def verdict(self) -> str:
        """`2.25-2.5`, `> 5`, `fails when clean`, or `-` where the search was given up."""
        if self.given_up:
            return "-"
        if self.holds is None:
            return "fails when clean"
        return f"> {HIGHEST:g}" if self.breaks is None else f"{self.holds:g}-{self.breaks:g}"


def _halvings(steps: int) -> int:
    """Questions that leave one of so many steps."""
    return math.ceil(math.log2(steps)) if steps > 1 else 0


def grid(tolerance: float) -> tuple[float, ...]:
    """0, tolerance, 2 tolerance, ..., and HIGHEST. Raises ValueError."""
    if not 0.01 <= tolerance <= HIGHEST:
        raise ValueError(f"tolerance {tolerance:g}: it is a step of the severity, from 0.01 to {HIGHEST:g}")
    steps = math.ceil(round(HIGHEST / tolerance, 9))
    return tuple(min(round(k * tolerance, 9), HIGHEST) for k in range(steps + 1))


def bisect(
    keys: Iterable[Key], tolerance: float, evaluate: Callable[[Mapping[Key, float]], Mapping[Key, bool | None]],
    tell: Callable[[Mapping[Key, Search]], None] = lambda searches: None,
) -> dict[Key, Search]:  # fmt: skip
    """Find every key's breaking point, all at one pace: `evaluate` is asked once a round, for one severity of each key
    that is not settled yet, and answers whether it holds there (None: give it up). `tell` is told of all searches
    before each round."""
    searches = {key: Search(grid=grid(tolerance)) for key in keys}
    while asked := {key: severity for key, search in searches.items() if (severity := search.next) is not None}:
        tell(searches)
        answers = evaluate(asked)
        searches |= {key: searches[key].after(severity, answers[key]) for key, severity in asked.items()}
    return searches

"""When what happens: GNeRF's phases A -> AB -> B (sec. 3.4, fig. 3), and what grows and fades with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

Phase = Literal["A", "AB", "B"]

SIDE = 16
"""Pixels along the edge of a patch (sec. 4)."""


class Growing(Protocol):
    """What of a preset grows and fades over A and AB."""

    @property
    def side_start(self) -> int: ...
    @property
    def side_a(self) -> int: ...
    @property
    def side_ab(self) -> int: ...
    @property
    def anneal(self) -> float: ...
    @property
    def noise(self) -> float: ...
    @property
    def noise_until(self) -> float: ...


def halved(rate: float, number: int, every: int | None) -> float:
    """A rate that halves after every so many iterations (None: never), at iteration `number`."""
    return rate * 0.5 ** (number // every) if every else rate


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One iteration, `index` of the phase's nominal `length`; AB may outlast its length or end before it."""

    preset: Growing
    phase: Phase
    index: int
    length: int
    before: int  # iterations of the phases before this one, as they ran
    early: int  # nominal iterations of A and AB together

    @property
    def number(self) -> int:
        """Of all iterations so far, those of the phases before included."""
        return self.before + self.index

    @property
    def share(self) -> float:
        """How much of the phase is over, at most 1."""
        return min(1.0, self.index / self.length)

    @property
    def progress(self) -> float:
        """How much of A and AB together is over, at most 1."""
        return min(1.0, self.number / max(1, self.early))

    @property
    def side(self) -> int:
        """Longest side of the real images in A and AB, px, in steps of 4."""
        start, end = self.preset.side_a, self.preset.side_ab
        if self.phase == "A":
            start, end = self.preset.side_start, self.preset.side_a
        return max(SIDE, round(start + (end - start) * self.share) // 4 * 4)

    @property
    def smallest_scale(self) -> float:
        """Least share of the image in a patch: from 0.8 down to one sample a pixel (GNeRF sec. 4)."""
        return min(0.8, max(math.exp(-self.preset.anneal * self.progress), SIDE / self.side))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on the raw density."""
        fading = self.preset.noise_until
        return self.preset.noise * max(0.0, 1 - self.progress / fading) if fading and self.phase != "B" else 0.0

    def halved(self, rate: float, every: int | None) -> float:
        """A rate at this iteration, halved after every so many (None: never)."""
        return halved(rate, self.number, every)

"""When what happens: GNeRF's phases A -> AB -> B (sec. 3.4, fig. 3), and what grows and fades with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Phase = Literal["A", "AB", "B"]

SIDE = 16
"""Pixels along the edge of a patch (sec. 4)."""


class Growing(Protocol):
    """What of a preset grows and fades."""

    @property
    def side_start(self) -> int: ...
    @property
    def side_a(self) -> int: ...
    @property
    def side_ab(self) -> int: ...
    @property
    def side_step(self) -> int: ...
    @property
    def sharp_at(self) -> float: ...
    @property
    def noise(self) -> float: ...
    @property
    def noise_until(self) -> float: ...
    @property
    def noise_left(self) -> float: ...

    def least_scale(self, progress: float, side: int) -> float:
        """Least share of the image in a patch, `progress` of A and AB being over, on images of `side` px."""
        ...


def halved(rate: float, number: int, every: int | None) -> float:
    """A rate that halves after every so many iterations (None: never), at iteration `number`."""
    return rate * 0.5 ** (number // every) if every else rate


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the iterations of an effort are dealt out to phases: every schedule has the same number of them.

    Images, field and rates depend on how many iterations are over: the field becomes fine after as many as A and AB
    take by default, or with the first of a B whose AB ended earlier or later because of re-seeding. So ablations end
    on the same field after the same iterations.
    """

    phases: Mapping[Phase, int]  # nominal iterations, in order
    a: int  # after so many, images are as large as at the end of A ...
    early: int  # ... and the field becomes fine
    soft: int  # what fades in A and AB is gone by then, and images are as large as at the end of AB
    total: int

    @staticmethod
    def of(schedule: str, a: int, ab: int, b: int, *, photometric: bool = True, soft: int | None = None) -> Plan:
        """Of `schedule` ("A-AB-B", ...), whose last phase takes what is left of a + ab + b; B needs `photometric`. What
        fades is gone after `soft` iterations; None: with A and AB."""
        total = a + ab + b
        lengths: dict[Phase, int] = {"A": a, "AB": ab, "B": b}
        wanted: list[Phase] = [name for name in lengths if name in schedule.split("-") and lengths[name] > 0]
        if not photometric:
            wanted = [name for name in wanted if name != "B"]
        phases: dict[Phase, int] = {name: lengths[name] for name in wanted}
        if wanted:
            phases[wanted[-1]] = total - sum(phases[name] for name in wanted[:-1])
        return Plan(phases=phases, a=a, early=a + ab, soft=a + ab if soft is None else soft, total=total)

    @property
    def coarse_ab(self) -> int:
        """Iterations of AB while the field is coarse, where it does not end early or late."""
        return self.early - self.a if "A" in self.phases else self.early

    def length(self, phase: Phase, before: int) -> int:
        """Iterations of a phase that begins after `before` others: the last phase takes all that are left."""
        return self.total - before if phase == list(self.phases)[-1] else self.phases[phase]


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One iteration, `index` of its phase; AB may outlast its nominal length or end before it."""

    preset: Growing
    plan: Plan
    phase: Phase
    index: int
    before: int  # iterations of the phases before this one, as they ran

    @property
    def length(self) -> int:
        return self.plan.length(self.phase, self.before)

    @property
    def number(self) -> int:
        """Of all iterations so far, those of the phases before included."""
        return self.before + self.index

    @property
    def progress(self) -> float:
        """How much of A and AB is over, at most 1; of an AB before a real background, as if it were no longer."""
        return min(1.0, self.number / max(1, self.plan.soft))

    @property
    def coarse_share(self) -> float:
        """How much of A and AB together is over, at most 1."""
        return min(1.0, self.number / max(1, self.plan.early))

    @property
    def fine_from(self) -> int:
        """The number of the first iteration on the fine field: the first of a B that follows AB; in schedules without
        both, where that would be by default."""
        if not {"AB", "B"} <= self.plan.phases.keys():
            return self.plan.early
        return self.before if self.phase == "B" else self.plan.total

    @property
    def fine(self) -> float | None:
        """How much of the training of the fine field is over; None while it is coarse."""
        first = self.fine_from
        return None if self.number < first else (self.number - first) / max(1, self.plan.total - first)

    def side(self, full: int) -> int:
        """Longest side of the real images, px; `full` is their own."""
        preset, plan = self.preset, self.plan
        if self.fine is not None:
            if self.fine >= preset.sharp_at:
                return full
            start = min(preset.side_ab, full)
            return int(start + (full - start) * self.fine / preset.sharp_at) // 8 * 8
        if self.number < plan.a:
            start, end, share = preset.side_start, preset.side_a, self.number / plan.a
        else:
            start, end = preset.side_a, preset.side_ab
            share = min(1.0, (self.number - plan.a) / max(1, plan.soft - plan.a))
        return max(SIDE, int(start + (end - start) * share) // preset.side_step * preset.side_step)

    def smallest_scale(self, full: int) -> float:
        """Least share of the image in a patch (GNeRF sec. 4)."""
        return self.preset.least_scale(self.progress, self.side(full))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on the raw density."""
        fading = self.preset.noise_until
        left = max(self.preset.noise_left, 1 - self.progress / fading) if fading else self.preset.noise_left
        return self.preset.noise * left

    def halved(self, rate: float, every: int | None) -> float:
        """A rate at this iteration, halved after every so many (None: never)."""
        return halved(rate, self.number, every)

"""Seeded degradations of what a method is shown: `gaussian_noise@3` is a kind and a severity from 1 to 5.

What is drawn at random is drawn by the cell's seed, the same for all methods at a seed and another at the next; so the
draw is one of the things that an interval over seeds is about. `gaussian_noise@3#7` is draw 7 at every seed.

Severity 0 of every kind is the identity, bit for bit, and is called `clean`. A severity need not be whole: a
kind's parameters are linear in between, so that a breaking point can be bracketed. The same pixels go to every
method: a view's generator is keyed by (scene, view, kind, severity, seed) and by nothing else; where a kind draws
no noise but a thing (which views, which way a camera shook), the severity is left out of the key, and a stronger
one is the same accident made worse. A kind is one short function in the file of its family.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bench.cell import split_degradation
from bench.degrade import backgrounds, blur, camera, digital, light, masks, noise, priors, start, texture, views
from bench.degrade.kind import Family, Kind
from bench.scene import Truth
from bench.task import Capture, ViewId

__all__ = ["CLEAN", "HOMES", "KINDS", "Degradation", "Family", "Kind", "degrade", "degrade_truth", "is_random", "parse"]

CLEAN = "clean"

_FILES = (texture, noise, blur, light, digital, masks, backgrounds, views, priors, start, camera)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for file in _FILES for kind in file.KINDS})
"""Every kind by name, in the order of the families. `clean` is not one of them: it is severity 0 of each."""

HOMES: Mapping[str, str] = MappingProxyType({kind.name: file.__name__ for file in _FILES for kind in file.KINDS})
"""The module that defines a kind: its pixels depend on that one, and on none of the others."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What to spoil, how much, and by which draw. Raises ValueError for a kind, severity or draw there is not."""

    kind: str = CLEAN
    severity: float = 0.0
    seed: int = 0  # of the draw
    fixed: bool = False  # one draw for all seeds of the matrix: it is part of the label

    def __post_init__(self) -> None:
        if self.kind != CLEAN and self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, [CLEAN, *KINDS], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join([CLEAN, *KINDS])}"
            raise ValueError(f"no degradation is called {self.kind!r}: {hint}")
        if not 0 <= self.severity <= (0 if self.kind == CLEAN else 5):
            allowed = "clean has no severity" if self.kind == CLEAN else "a severity is a number from 0 to 5"
            raise ValueError(f"degradation {self.kind}@{self.severity:g}: {allowed}")
        if self.fixed and not self.is_random:
            raise ValueError(f"degradation {self.kind}#{self.seed}: it draws nothing at random; leave out #{self.seed}")

    @property
    def is_identity(self) -> bool:
        return self.severity == 0

    @property
    def is_random(self) -> bool:
        """Whether another seed makes other pixels, views or poses."""
        return self.kind != CLEAN and is_random(KINDS[self.kind])

    @property
    def label(self) -> str:
        """The one way to write it: `clean`, `gaussian_noise@3`, `gaussian_noise@2.5`, `gaussian_noise@3#7`."""
        if self.is_identity:
            return CLEAN
        severity = int(self.severity) if self.severity == int(self.severity) else float(self.severity)
        return f"{self.kind}@{severity!r}" + (f"#{self.seed}" if self.fixed else "")

    def at(self, seed: int) -> Degradation:
        """As the cells of this seed have it: by the seed's own draw, unless one is fixed, or nothing is drawn."""
        return self if self.fixed or self.is_identity or not self.is_random else replace(self, seed=seed)

    def parameters(self) -> dict[str, Any]:
        """All that decides its effect, for fingerprints and listings."""
        if self.is_identity:
            return {"kind": CLEAN}
        kind = KINDS[self.kind]
        return {
            "kind": kind.name,
            "severity": float(self.severity),
            "seed": self.seed,
            **kind.parameters(self.severity),
        }


def parse(text: str) -> Degradation:
    """`clean`, `kind@severity`, `kind@severity#draw`, or `kind` alone for its severity 1. Raises ValueError."""
    name, severity, draw = split_degradation(text)
    if name == CLEAN and severity is None and draw is None:
        return Degradation()
    degradation = Degradation(
        kind=name, severity=1.0 if severity is None else severity, seed=draw or 0, fixed=draw is not None
    )
    return Degradation() if degradation.is_identity else degradation


def is_random(kind: Kind) -> bool:
    """Whether something of it is drawn: in each view, or once."""
    return kind.once or not kind.view_consistent


def degrade(capture: Capture, degradation: Degradation, scene: str) -> Capture:
    """What the method is shown instead of `capture`. Pure: the same arguments, the same pixels.

    Raises ValueError when the capture lacks what the kind works on.
    """
    if degradation.is_identity:
        return capture
    kind = KINDS[degradation.kind]
    if missing := sorted(kind.needs - capture.inputs):
        raise ValueError(f"{degradation.label}: scene {scene!r} has no {' and no '.join(missing)}; leave it out here")

    def rng_of(view: ViewId) -> np.random.Generator:
        return _generator(scene, view, degradation)

    return kind.apply(capture, kind.parameters(degradation.severity), rng_of)


def degrade_truth(truth: Truth, degradation: Degradation) -> Truth:
    """What the answer is judged against: the clean truth, unless the degradation changes what the scene *is*."""
    if degradation.is_identity:
        return truth
    kind = KINDS[degradation.kind]
    return kind.apply_truth(truth, kind.parameters(degradation.severity))


def _generator(scene: str, view: ViewId, degradation: Degradation) -> np.random.Generator:
    """Keyed by a stable hash: `hash()` of a string differs from one process to the next."""
    severity = None if KINDS[degradation.kind].once else float(degradation.severity)
    key = json.dumps([scene, view, degradation.kind, severity, degradation.seed])
    entropy = int.from_bytes(hashlib.sha256(key.encode()).digest())
    return np.random.default_rng(np.random.SeedSequence(entropy))

"""Seeded degradations of what a method is shown: `gaussian_noise@3` is a kind and a severity from 1 to 5.

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
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bench.degrade import blur, camera, digital, light, masks, noise, priors, start, texture, views
from bench.degrade.kind import Family, Kind
from bench.scene import Truth
from bench.task import Capture, ViewId

__all__ = ["CLEAN", "HOMES", "KINDS", "Degradation", "Family", "Kind", "degrade", "degrade_truth", "parse"]

CLEAN = "clean"

_FILES = (texture, noise, blur, light, digital, masks, views, priors, start, camera)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for file in _FILES for kind in file.KINDS})
"""Every kind by name, in the order of the families. `clean` is not one of them: it is severity 0 of each."""

HOMES: Mapping[str, str] = MappingProxyType({kind.name: file.__name__ for file in _FILES for kind in file.KINDS})
"""The module that defines a kind: its pixels depend on that one, and on none of the others."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What to spoil, how much, and by which draw. Raises ValueError for a kind or severity there is not."""

    kind: str = CLEAN
    severity: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind != CLEAN and self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, [CLEAN, *KINDS], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join([CLEAN, *KINDS])}"
            raise ValueError(f"no degradation is called {self.kind!r}: {hint}")
        if not 0 <= self.severity <= (0 if self.kind == CLEAN else 5):
            allowed = "clean has no severity" if self.kind == CLEAN else "a severity is a number from 0 to 5"
            raise ValueError(f"degradation {self.kind}@{self.severity:g}: {allowed}")

    @property
    def is_identity(self) -> bool:
        return self.severity == 0

    @property
    def label(self) -> str:
        """The one way to write it: `clean`, `gaussian_noise@3`, `gaussian_noise@2.5`."""
        if self.is_identity:
            return CLEAN
        return f"{self.kind}@{int(self.severity) if self.severity == int(self.severity) else float(self.severity)!r}"

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
    """`clean`, `kind@severity`, or `kind` alone for its severity 1. Raises ValueError."""
    name, at, number = (part.strip() for part in text.partition("@"))
    if name == CLEAN and not at:
        return Degradation()
    try:
        severity = float(number) if at else 1.0
    except ValueError:
        severity = math.nan
    if math.isnan(severity):
        raise ValueError(f"degradation {text!r}: write it as kind@severity, the severity a number from 0 to 5")
    degradation = Degradation(kind=name, severity=severity)
    return Degradation() if degradation.is_identity else degradation


def degrade(capture: Capture, degradation: Degradation, scene: str) -> Capture:
    """What the method is shown instead of `capture`. Pure: the same arguments, the same pixels.

    Raises ValueError when the capture lacks what the kind works on.
    """
    if degradation.is_identity:
        return capture
    kind = KINDS[degradation.kind]
    if missing := sorted(kind.needs - capture.gifts):
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

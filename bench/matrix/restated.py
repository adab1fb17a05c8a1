"""Scenes as a regime has them: fewer views, another split, another background, another prior."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from bench.regime import Regime
from bench.scene import Reference, Scene, SceneError, SceneSource
from bench.stated_prior import prior_of
from bench.task import Input


def read_as(source: SceneSource, regime: Regime) -> SceneSource:
    """The scene as a regime asks for it, but for its size, which is told when it is loaded. Raises SceneError.

    A source that can restate itself does; of any other, the views are thinned out and the prior is replaced.
    """
    source = source.source if isinstance(source, Restated) else source
    restated = getattr(source, "restated", None)
    if restated is not None:
        return restated(regime)
    if not regime.restates:
        return source
    if regime.heldout or regime.background:
        raise SceneError(
            f"{source.name}: its split and its background are as it is made; --heldout and --background are for scenes "
            "in folders"
        )
    return Restated(source=source, regime=regime)


@dataclass(frozen=True, kw_only=True)
class Restated:
    """A `bench.scene.SceneSource` made of another one."""

    source: SceneSource
    regime: Regime

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def summary(self) -> str:
        return self.source.summary

    @property
    def reference(self) -> Reference:
        return self.source.reference

    @property
    def missing(self) -> str | None:
        return self.source.missing

    @property
    def inputs(self) -> frozenset[Input]:
        return self.source.inputs | frozenset[Input]({"prior"} if self.regime.prior else ())

    def digest(self, side: int) -> str:
        """Of the other one's, and of what is changed."""
        said = replace(self.regime, effort="quick", side=None).label  # a budget is no part of a scene
        return hashlib.sha256(f"{self.source.digest(side)} {said}".encode()).hexdigest()

    def load(self, side: int) -> Scene:
        """The other one's, with fewer training views or another prior. Raises SceneError."""
        scene = self.source.load(side)
        capture, truth = scene.capture, scene.truth
        if self.regime.prior:
            capture = replace(capture, prior=prior_of(self.regime.prior))
        if self.regime.views and self.regime.views < len(truth.order):
            step = (len(truth.order) - 1) / (self.regime.views - 1)
            chosen = {truth.order[round(k * step)] for k in range(self.regime.views)}
            truth = truth.only(chosen)
            capture = replace(capture, images=_of(capture.images, chosen), masks=_of(capture.masks, chosen))
        return replace(scene, capture=capture, truth=truth)


def _of(held: Any, chosen: set[Any]) -> Any:
    return held and {view: value for view, value in held.items() if view in chosen}

"""Scenes that are known but not here."""

from __future__ import annotations

from dataclasses import dataclass

from bench.scene import Reference, Scene, SceneError
from bench.task import Input
from datasets.card import Card


@dataclass(frozen=True, kw_only=True)
class AbsentScene:
    """A `bench.scene.SceneSource` that is known but not here."""

    name: str
    card: Card
    missing: str

    @property
    def summary(self) -> str:
        return self.card.summary

    @property
    def reference(self) -> Reference:
        return self.card.reference or "colmap"

    @property
    def inputs(self) -> frozenset[Input]:
        return frozenset({"camera", "prior"} if self.card.prior else {"camera"})

    def digest(self, side: int) -> str:
        raise SceneError(f"{self.name}: {self.missing}")

    def load(self, side: int) -> Scene:
        raise SceneError(f"{self.name}: {self.missing}")

"""The embedded scenes: exact poses, made in code, no download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.scene import HeldOut, Reference, Scene, Truth, shuffled_ids
from bench.task import Capture, Input, ViewId
from datasets import cache
from datasets.fingerprint import code_digest, digest_of
from datasets.procedural import rig
from datasets.procedural.casting import picture
from datasets.procedural.scenes import SCENES

VERSION = 1
BACKGROUND = (1.0, 1.0, 1.0)


def sources(roots: Sequence[Path]) -> Iterable[EmbeddedScene]:
    """The embedded scenes; they need no data root."""
    return [EmbeddedScene(name=name) for name in SCENES]


@dataclass(frozen=True, kw_only=True)
class EmbeddedScene:
    """A `bench.scene.SceneSource` made in code and kept in the cache folder after its first use."""

    name: str

    @property
    def summary(self) -> str:
        return SCENES[self.name][1]

    @property
    def reference(self) -> Reference:
        return "exact"

    @property
    def missing(self) -> None:
        return None

    @property
    def inputs(self) -> frozenset[Input]:
        return frozenset({"camera", "prior", "masks"})

    def digest(self, side: int) -> str:
        """sha256 over the generator: its version, its code, the scene's name and the side."""
        return digest_of("procedural", VERSION, code_digest(Path(__file__).parent.glob("*.py")), self.name, side)

    def load(self, side: int) -> Scene:
        """Render it with square images of exactly `side` pixels, or take it from the cache."""
        total = rig.TRAIN + rig.HELDOUT
        shapes = {"images": (total, side, side, 3), "masks": (total, side, side), "poses": (total, 4, 4)}
        made = cache.kept(f"{self.name}-{side}-{self.digest(side)[:16]}", shapes, lambda: self._render(side))
        images, masks, poses = made["images"], made["masks"], made["poses"]
        order = tuple(shuffled_ids(self.name, rig.TRAIN))
        rank = {view: k for k, view in enumerate(order)}
        camera = rig.camera(side)
        return Scene(
            name=self.name,
            capture=Capture(
                images={view: images[rank[view]] for view in sorted(order)},
                masks={view: masks[rank[view]] for view in sorted(order)},
                camera=camera,
                prior=rig.PRIOR,
                background=BACKGROUND,
            ),
            truth=Truth(
                poses={view: poses[rank[view]] for view in sorted(order)},
                camera=camera,
                heldout=HeldOut(
                    ids=tuple(ViewId(f"h{k:03d}") for k in range(rig.HELDOUT)),
                    poses=poses[rig.TRAIN :],
                    images=images[rig.TRAIN :],
                    masks=masks[rig.TRAIN :],
                ),
                reference=self.reference,
                order=order,
            ),
        )

    def _render(self, side: int) -> cache.Arrays:
        solids = SCENES[self.name][0]()
        train, heldout = (np.random.default_rng([VERSION, k]) for k in range(2))
        poses = np.concatenate([rig.viewpoints(train, rig.TRAIN), rig.viewpoints(heldout, rig.HELDOUT)])
        views = [picture(solids, pose, rig.camera(side), BACKGROUND) for pose in poses]
        return {
            "images": np.stack([view.rgb for view in views]),
            "masks": np.stack([view.coverage for view in views]),
            "poses": poses,
        }

"""A scene is what is shown (`Capture`) and what is true (`Truth`); only the judge ever holds both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.files import one_line
from bench.task import Camera, Capture, Image, Input, Pose, ViewId

Reference = Literal["exact", "measured", "colmap", "device", "unknown", "none"]
"""Where true poses come from: a renderer, a measurement, COLMAP, a phone's own tracking (ARKit, ARCore), or nobody
says. Where they are themselves estimates (ESTIMATED), a score is *agreement*, and has a table of its own. `none`: there
are no true poses, and view synthesis alone is judged."""

ESTIMATED: frozenset[Reference] = frozenset({"colmap", "device", "unknown"})


class SceneError(ValueError):
    """A scene cannot be read: one sentence that says what is wrong, where, and what to do. It is one line, whatever
    names it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Views that no method ever sees: clean images and true cameras."""

    ids: tuple[ViewId, ...]  # "h000", ...
    poses: Pose  # (N, 4, 4) world_from_camera, in the truth's frame; (0, 4, 4) where nobody knows them
    images: NDArray[np.uint8]  # (N, H, W, 3) sRGB on the capture's background; (N, H, W, 1) for silhouettes
    masks: NDArray[np.uint8] | None = None  # (N, H, W), 255 on the object
    after: tuple[int, ...] = ()  # how many training views were taken before each; empty: not known


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The answer: true cameras of the training views, and the held-out views."""

    poses: Mapping[ViewId, Pose]  # empty where nobody knows them: the reference is `none`
    camera: Camera  # where no intrinsics are given: a guess, which counts for nothing but its size
    heldout: HeldOut
    reference: Reference
    order: tuple[ViewId, ...]  # training views as they were taken; the capture shuffles them

    def only(self, views: Collection[ViewId]) -> Truth:
        """The answer where these training views alone are asked for; the held-out views stay."""
        return replace(
            self,
            poses={view: pose for view, pose in self.poses.items() if view in views},
            order=tuple(view for view in self.order if view in views),
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    name: str
    capture: Capture  # everything there is to give, but never `start`
    truth: Truth
    notes: tuple[str, ...] = ()  # what was assumed or left out when it was read, a sentence each


class SceneSource(Protocol):
    """A scene that can be listed without being read. It may have `notes` too, sentences that say what is assumed of it,
    which a run begins with; `remedies`, by input how a person gives what it lacks; and `restated(regime)`, the same
    scene as a regime has it (views, split, background, prior), which raises SceneError."""

    @property
    def name(self) -> str:
        """`blocks`, `nerf_synthetic/chair`"""
        ...

    @property
    def summary(self) -> str:
        """One line."""
        ...

    @property
    def reference(self) -> Reference: ...

    @property
    def missing(self) -> str | None:
        """Why it cannot be loaded here and how to get it, in one sentence; None when it can."""
        ...

    @property
    def inputs(self) -> frozenset[Input]:
        """What its capture can give, known without reading it; `start` is no part of it: it can be given where there
        are true poses."""
        ...

    def digest(self, side: int) -> str:
        """sha256 over all that decides the pixels and poses at this longest side; fast, no decoding."""
        ...

    def load(self, side: int) -> Scene:
        """Read it with its longest side resampled to at most `side` pixels. Raises SceneError."""
        ...


class SceneProvider(Protocol):
    """What an entry point of the group `unposed.scenes` names: an object (or module) with this function."""

    def sources(self, roots: Sequence[Path]) -> Iterable[SceneSource]:
        """All scenes known to this provider, present under the data roots or not."""
        ...


def shuffled_ids(name: str, count: int) -> list[ViewId]:
    """Opaque ids for views in file order: the i-th entry is the id of the i-th file.

    The order is shuffled by a seed taken from the scene's name, because a video's order is a pose prior too.
    """
    seed = np.random.SeedSequence(list(name.encode()))
    order = np.random.default_rng(seed).permutation(count)
    return [ViewId(f"v{k:03d}") for k in order]


def stack(images: Mapping[ViewId, Image]) -> NDArray[np.uint8]:
    """(N, H, W, C) in the mapping's order."""
    return np.stack(list(images.values()))

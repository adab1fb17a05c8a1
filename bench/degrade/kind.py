"""What a kind of degradation is, and what all kinds share: levels, pixel sizes, float and byte images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.scene import Truth
from bench.task import Capture, Image, Input, ViewId

Family = Literal["texture", "noise", "blur", "light", "digital", "masks", "background", "views", "pose", "camera"]
"""Reports group by family: some families (blur, digital) move edges, and so spoil the pose signal itself."""

Part = Literal["images", "masks", "camera", "prior", "start", "background", "views"]
"""What of a capture a kind changes: its fields, and which views there are."""

Levels = tuple[float, float, float, float, float, float]
"""A parameter's value at severities 0 (where it has no effect), 1, 2, 3, 4, 5."""

RngOf = Callable[[ViewId], np.random.Generator]
"""The view's own generator: what happens to one view never depends on the others or on their order."""

Apply = Callable[[Capture, Mapping[str, float], RngOf], Capture]
"""`apply(capture, parameters, rng_of) -> capture`, pure."""

Floats = NDArray[np.floating[Any]]
"""float32 throughout: wide enough, and a whole capture passes in a second or two."""


def _unchanged(truth: Truth, parameters: Mapping[str, float]) -> Truth:
    return truth


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to spoil what a method is shown. `apply` is pure; the mechanism never calls it at severity 0."""

    name: str
    family: Family
    summary: str  # one line for `unposed list degradations`
    view_consistent: bool  # the same rule in every view, no chance of its own in each
    levels: Mapping[str, Levels]
    apply: Apply
    apply_truth: Callable[[Truth, Mapping[str, float]], Truth] = _unchanged  # only where the scene itself changes
    needs: frozenset[Input] = frozenset()  # what the capture must hold
    touches: frozenset[Part] = frozenset({"images"})  # all else is passed on as it is
    once: bool = False  # drawn once for all severities: the same accident, made worse; else anew for each

    @property
    def changes_scene(self) -> bool:
        """Whether what is judged is another thing than the clean scene."""
        return self.apply_truth is not _unchanged

    @property
    def shows_outlines(self) -> bool:
        """Whether what is shown are the masks alone."""
        return "masks" in self.touches

    def parameters(self, severity: float) -> dict[str, float]:
        """Every parameter at `severity` in [0, 5], linear between the whole ones."""
        return {name: float(np.interp(severity, range(6), values)) for name, values in self.levels.items()}


def per_image(change: Callable[..., Floats]) -> Apply:
    """`change(image (H, W, C) float32 in [0, 1], rng, **parameters) -> image` as the `apply` of a kind."""

    def apply(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
        images = {
            view: to_bytes(change(to_floats(image), rng_of(view), **parameters))
            for view, image in capture.images.items()
        }
        return replace(capture, images=images)

    return apply


def pixels(size: float, shape: tuple[int, ...]) -> float:
    """A size given for 224-pixel images, in pixels of an image of this (H, W, ...) shape."""
    return size * min(shape[:2]) / 224


def to_floats(image: Image) -> Floats:
    """[0, 255] -> [0, 1] float32."""
    return np.divide(image, 255, dtype=np.float32)


def to_bytes(image: NDArray[Any]) -> Image:
    """[0, 1], clipped -> [0, 255] uint8, rounded to the nearest."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def coverage(image: Image, mask: NDArray[np.uint8] | None, background: tuple[float, float, float] | None) -> Floats:
    """How much of each pixel the object covers, (H, W) in [0, 1]: from the mask, or by the background's colour; all
    of it where neither tells."""
    if mask is not None:
        return to_floats(mask)
    if background is None:
        return np.ones(image.shape[:2], np.float32)
    return (image != to_bytes(np.array(background)[: image.shape[2]])).any(axis=-1).astype(np.float32)

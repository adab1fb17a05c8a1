"""Less to hold on to: surfaces lose their texture, outlines and shading stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.degrade.kind import Floats, Kind, RngOf, pixels, to_bytes, to_floats
from bench.degrade.smoothing import smooth
from bench.task import Capture, Image

SOLID = 0.5
"""Coverage from which a pixel's own colour can be told from the background's."""


def low_texture(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Smooth every image by total variation. In front of a plain background only the object is smoothed: its
    outline, that is where colour and background mix, is taken apart before and put together again after."""
    weight = pixels(parameters["weight"], capture.shape)
    behind = None if capture.background is None else np.array(capture.background, np.float32)[: capture.shape[2]]

    def smoothed(image: Image, mask: NDArray[np.uint8] | None) -> Image:
        colours = to_floats(image)
        if behind is None:
            return to_bytes(smooth(colours, weight, np.ones(image.shape[:2], np.float32)))
        cover = _coverage(image, mask, behind)
        solid = cover >= SOLID
        mixed = cover[..., None]
        own = np.where(solid[..., None], (colours - (1 - mixed) * behind) / np.maximum(mixed, SOLID), 0)
        flat = smooth(np.clip(own, 0, 1), weight, solid.astype(np.float32))
        return np.where(solid[..., None], to_bytes(mixed * flat + (1 - mixed) * behind), image)

    masks = capture.masks or {}
    return replace(capture, images={view: smoothed(image, masks.get(view)) for view, image in capture.images.items()})


def _coverage(image: Image, mask: NDArray[np.uint8] | None, behind: Floats) -> Floats:
    """How much of each pixel the object covers, (H, W) in [0, 1]: from the mask, or by the background's colour."""
    if mask is not None:
        return to_floats(mask)
    return (image != to_bytes(behind)).any(axis=-1).astype(np.float32)


KINDS = (
    Kind(
        name="low_texture",
        family="texture",
        summary="edge-preserving smoothing until few keypoints are left",
        view_consistent=True,
        levels={"weight": (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)},
        apply=low_texture,
    ),
)

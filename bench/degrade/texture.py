"""Less to hold on to: surfaces lose their texture, outlines and shading stay.

Repetition is no filter, for an image does not know which surface a pixel is of: it is an axis of scenes. `blocks`,
`blocks-plain` and `blocks-repeat` are its three settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.degrade.kind import Floats, Kind, RngOf, coverage, pixels, to_bytes, to_floats
from bench.degrade.smoothing import smooth
from bench.task import Capture, Image

SOLID = 0.5
"""Coverage from which a pixel's own colour can be told from the background's."""


def low_texture(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Smooth every surface by total variation."""
    weight = pixels(parameters["weight"], capture.shape)
    return _on_surfaces(capture, lambda colours, domain: smooth(colours, weight, domain))


def flat(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Smooth, then leave each channel `tones` levels: the middles of as many equal parts of [0, 1], so that no
    surface turns into a background of white or black."""
    weight, tones = pixels(parameters["weight"], capture.shape), round(parameters["tones"])

    def posterised(colours: Floats, domain: Floats) -> Floats:
        part = np.floor(smooth(colours, weight, domain) * tones)
        return (np.minimum(part, tones - 1) + 0.5) / tones

    return _on_surfaces(capture, posterised)


def _on_surfaces(capture: Capture, change: Callable[[Floats, Floats], Floats]) -> Capture:
    """`change(colours (H, W, C), domain (H, W))` of every image. In front of a plain background only the object is
    changed: its outline, that is where colour and background mix, is taken apart before and put together after."""
    behind = None if capture.background is None else np.array(capture.background, np.float32)[: capture.shape[2]]

    def changed(image: Image, mask: NDArray[np.uint8] | None) -> Image:
        colours = to_floats(image)
        if behind is None:
            return to_bytes(change(colours, np.ones(image.shape[:2], np.float32)))
        cover = coverage(image, mask, capture.background)
        solid = cover >= SOLID
        mixed = cover[..., None]
        own = np.where(solid[..., None], (colours - (1 - mixed) * behind) / np.maximum(mixed, SOLID), 0)
        bare = change(np.clip(own, 0, 1), solid.astype(np.float32))
        return np.where(solid[..., None], to_bytes(mixed * bare + (1 - mixed) * behind), image)

    masks = capture.masks or {}
    return replace(capture, images={view: changed(image, masks.get(view)) for view, image in capture.images.items()})


KINDS = (
    Kind(
        name="low_texture",
        family="texture",
        summary="edge-preserving smoothing until few keypoints are left",
        view_consistent=True,
        levels={"weight": (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)},
        apply=low_texture,
    ),
    Kind(
        name="flat",
        family="texture",
        summary="a few flat tones in place of shading and texture",
        view_consistent=True,
        levels={"weight": (0.0, 0.2, 0.3, 0.5, 0.7, 1.0), "tones": (256.0, 24.0, 12.0, 6.0, 3.0, 2.0)},
        apply=flat,
    ),
)

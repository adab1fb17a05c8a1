"""What hides the object: outlines alone, outlines that are themselves uncertain, and things in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.degrade.kind import Floats, Kind, RngOf, coverage, pixels, to_bytes
from bench.scene import Truth
from bench.task import Capture, Image

WAVELENGTH = 12.0
"""Distance along the outline over which its jitter is correlated, in pixels of a 224-pixel image."""

PATCHES = 6
"""Opaque patches in each view."""


def silhouette(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Show the masks alone: (H, W, 1), white object on black. Severity 1 shows them exactly as they are.

    The capture's masks become what is shown, for the true ones would tell what the others hide.
    """
    masks = {view: _frayed(mask, rng_of(view), **parameters) for view, mask in (capture.masks or {}).items()}
    images = {view: masks[view][..., None] for view in capture.images}
    return replace(capture, images=images, masks=masks, background=(0.0, 0.0, 0.0))


def silhouette_truth(truth: Truth, parameters: Mapping[str, float]) -> Truth:
    """The scene is now a black and white one: held-out targets become their clean masks, (N, H, W, 1)."""
    if truth.heldout.masks is None:
        raise ValueError("silhouette: the held-out views of this scene have no masks to judge against")
    return replace(truth, heldout=replace(truth.heldout, images=truth.heldout.masks[..., None]))


def occlusion(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Cover a share of the object in every view by rectangles of plain colours; the masks know nothing of them."""
    masks = capture.masks or {}
    images = {
        view: _covered(image, coverage(image, masks.get(view), capture.background), rng_of(view), **parameters)
        for view, image in capture.images.items()
    }
    return replace(capture, images=images)


def _covered(image: Image, cover: Floats, rng: np.random.Generator, *, share: float) -> Image:
    """PATCHES rectangles around points of the object grow at one pace until they hide this share of it, exactly."""
    rows, columns = np.nonzero(cover >= 0.5)
    colours = rng.integers(256, size=(PATCHES, image.shape[2]), dtype=np.uint8)
    heights, widths = rng.uniform(0.5, 1.5, (2, PATCHES))
    middles = rng.random(PATCHES)
    if not len(rows):
        return image  # no object in view
    chosen = (middles * len(rows)).astype(int)
    y, x = (np.arange(size, dtype=np.float32) for size in image.shape[:2])
    down = np.abs(y - rows[chosen, None]) / heights[:, None]  # (PATCHES, H)
    across = np.abs(x - columns[chosen, None]) / widths[:, None]  # (PATCHES, W)
    reached = np.maximum(down[:, :, None], across[:, None, :])  # size at which a patch gets to a pixel
    size = np.quantile(reached.min(axis=0)[rows, columns], share)
    over = reached <= size
    return np.where(over.any(axis=0)[..., None], colours[over.argmax(axis=0)], image)


def _frayed(mask: NDArray[np.uint8], rng: np.random.Generator, *, erode: float, jitter: float) -> NDArray[np.uint8]:
    """Move the outline inwards by `erode` and to and fro by N(0, jitter^2), both for 224-pixel images."""
    if erode == 0 and jitter == 0:
        return mask
    from scipy.ndimage import distance_transform_edt  # not at the top: listing kinds must stay instant

    inside = mask > 127
    if inside.all() or not inside.any():
        return mask  # no outline in view
    depth: Any = distance_transform_edt(inside)
    height: Any = distance_transform_edt(~inside)
    signed = np.where(inside, depth - 0.5, 0.5 - height)  # > 0 inside, in pixels from the outline
    signed += pixels(jitter, mask.shape) * _waves(rng, mask.shape) - pixels(erode, mask.shape)
    return to_bytes(signed + 0.5)


def _waves(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values (H, W), each N(0, 1), that vary smoothly over WAVELENGTH: a coarse random grid, interpolated."""
    step = max(pixels(WAVELENGTH, shape), 1.0)
    rows, columns = (_hats(size, step) for size in shape)
    return rows @ rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32) @ columns.T


def _hats(size: int, step: float) -> Floats:
    """(size, n) linear interpolation from a grid with spacing `step`, its rows scaled to keep the variance."""
    position = np.arange(size, dtype=np.float32)[:, None] / np.float32(step)
    weights = np.maximum(0, 1 - np.abs(position - np.arange(int(size / step) + 2)))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


KINDS = (
    Kind(
        name="silhouette",
        family="masks",
        summary="the mask alone, one channel: exact at severity 1, then eroded and frayed",
        view_consistent=False,
        levels={"erode": (0.0, 0.0, 0.5, 1.0, 2.0, 3.0), "jitter": (0.0, 0.0, 0.5, 1.0, 2.0, 3.0)},
        apply=silhouette,
        apply_truth=silhouette_truth,
        needs=frozenset({"masks"}),
        touches=frozenset({"images", "masks", "background"}),
    ),
    Kind(
        name="occlusion",
        family="masks",
        summary="opaque patches over the object, elsewhere in each view; masks do not tell",
        view_consistent=False,
        once=True,
        levels={"share": (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)},
        apply=occlusion,
    ),
)

"""What is behind the object: structure from motion and feed-forward estimators live off it, or die of it.

The background that the masks leave fades into another one, which severity 5 is. The held-out views fade alike, for a
field can only show what it was shown; the object itself is untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.degrade.kind import Apply, Floats, Kind, RngOf, to_bytes, to_floats
from bench.scene import Truth
from bench.task import Capture, Image

ROUGHNESS = 1.2
"""Amplitude of the backdrop's waves falls as 1 / frequency^ROUGHNESS, about as in photographs (Field 1987)."""

COLOURED = 0.3
"""What is each channel's own in the backdrop, against what is common to all: photographs are mostly light and shade."""

CONTRAST = 0.2
"""Standard deviation of backdrop and noise about mid grey."""

Backdrop = Callable[[tuple[int, ...], np.random.Generator | None], Floats]
"""(H, W, C) and a view's own generator (None: of no view) -> what is behind the object, (H, W, C) in [0, 1]."""


def black(shape: tuple[int, ...], _: np.random.Generator | None) -> Floats:
    """A studio's black cloth, a turntable in the dark."""
    return np.zeros(shape, np.float32)


def backdrop(shape: tuple[int, ...], _: np.random.Generator | None) -> Floats:
    """One photograph-like picture behind all views: a turntable that turns before a wall, whose features do not turn
    with it. The same in every draw, for held-out views have it too."""
    height, width, channels = shape
    rng = np.random.default_rng(0)
    across, down = np.fft.rfftfreq(width), np.fft.fftfreq(height)
    frequency = np.maximum(np.hypot(down[:, None], across), 1 / max(height, width))
    waves = rng.standard_normal((1 + channels, *frequency.shape, 2)) @ np.array([1, 1j])
    waves = waves[:1] + COLOURED * waves[1:]
    image = np.fft.irfft2(waves / frequency**ROUGHNESS, s=(height, width))
    image = (image - image.mean()) / image.std()
    return (0.5 + CONTRAST * np.moveaxis(image, 0, -1)).astype(np.float32)


def noise(shape: tuple[int, ...], rng: np.random.Generator | None) -> Floats:
    """Another noise behind each view; behind held-out views its mean, which is the best that any field could show."""
    if rng is None:
        return np.full(shape, 0.5, np.float32)
    return (0.5 + CONTRAST * rng.standard_normal(shape)).astype(np.float32)


def _behind(kind: Backdrop, *, known: bool) -> Apply:
    """As the `apply` of a kind. The background's colour is told where one is known and stays one colour."""

    def apply(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
        masks, share = capture.masks or {}, parameters["share"]
        images = {
            view: _composed(image, masks[view], kind(image.shape, rng_of(view)), share)
            for view, image in capture.images.items()
        }
        colour = None
        if known and capture.background is not None:
            red, green, blue = ((1 - share) * np.array(capture.background)).tolist()
            colour = (red, green, blue)
        return replace(capture, images=images, background=colour)

    return apply


def _behind_truth(kind: Backdrop) -> Callable[[Truth, Mapping[str, float]], Truth]:
    def apply_truth(truth: Truth, parameters: Mapping[str, float]) -> Truth:
        masks = truth.heldout.masks
        if masks is None:
            raise ValueError("background: the held-out views of this scene have no masks to tell object and background")
        images = [
            _composed(image, mask, kind(image.shape, None), parameters["share"])
            for image, mask in zip(truth.heldout.images, masks, strict=True)
        ]
        return replace(truth, heldout=replace(truth.heldout, images=np.stack(images)))

    return apply_truth


def _composed(image: Image, mask: NDArray[np.uint8], behind: Floats, share: float) -> Image:
    """`share` of the background (H, W, C) replaced, by what the mask (H, W) leaves of each pixel."""
    weight = np.float32(share) * (1 - to_floats(mask))[..., None]
    return to_bytes((1 - weight) * to_floats(image) + weight * np.clip(behind, 0, 1))


def _kind(name: str, summary: str, kind: Backdrop, *, known: bool = False, random: bool = False) -> Kind:
    return Kind(
        name=name,
        family="background",
        summary=summary,
        view_consistent=not random,
        levels={"share": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)},
        apply=_behind(kind, known=known),
        apply_truth=_behind_truth(kind),
        needs=frozenset({"masks"}),
        touches=frozenset({"images", "background"}),
    )


KINDS = (
    _kind("black_background", "the background fades to black, and its colour is told where it was", black, known=True),
    _kind("backdrop", "one picture behind all views, which does not turn with the object", backdrop),
    _kind("noisy_background", "another noise behind each view", noise, random=True),
)

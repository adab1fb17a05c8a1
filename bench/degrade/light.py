"""Other light: the same for all views, or for each its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from bench.degrade.kind import Apply, Floats, Kind, RngOf, per_image, to_bytes, to_floats
from bench.task import Capture

GREY = 0.5
"""What contrast is lost towards. ImageNet-C takes each image's own mean, which would tell views apart."""


def brightness(image: Floats, *, gain: float) -> Floats:
    """Raise V of HSV by `gain` and keep hue and saturation (Hendrycks and Dietterich, ICLR 2019, appendix B)."""
    value = image.max(axis=-1, keepdims=True)
    raised = np.minimum(value + np.float32(gain), 1)
    return np.where(value > 0, image * (raised / np.maximum(value, np.float32(1e-6))), raised)


def contrast(image: Floats, *, factor: float) -> Floats:
    """Move every colour towards mid grey (levels: Hendrycks and Dietterich, ICLR 2019, appendix B)."""
    return GREY + np.float32(factor) * (image - GREY)


def exposure(image: Floats, rng: np.random.Generator, *, stops: float, tint: float) -> Floats:
    """Another exposure time and white balance in each view: what photo-consistency rests on is gone.

    In linear light all channels are multiplied by 2^N(0, stops^2), and red and blue by 2^N(0, tint^2) each besides:
    the gain and white-balance model of a camera (Brown and Lowe 2007, sec. 6, for the gains alone). sRGB in and out.
    """
    gain, *balance = rng.standard_normal(3)
    channels = np.array([balance[0], 0, balance[1]] if image.shape[-1] == 3 else [0], dtype=np.float32)
    return _encoded(_linear(image) * np.exp2(np.float32(stops * gain) + np.float32(tint) * channels))


def _linear(image: Floats) -> Floats:
    """sRGB -> linear light (IEC 61966-2-1)."""
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def _encoded(light: Floats) -> Floats:
    """Linear light -> sRGB, too bright a light cut off."""
    light = np.minimum(light, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _recoloured(change: Callable[..., Floats]) -> Apply:
    """A colour's new colour does not depend on where it is: the background's, which is given, goes with the others."""

    def apply(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
        images = {view: to_bytes(change(to_floats(image), **parameters)) for view, image in capture.images.items()}
        if capture.background is None:
            return replace(capture, images=images)
        red, green, blue = change(np.array(capture.background, np.float32), **parameters).clip(0, 1).tolist()
        return replace(capture, images=images, background=(red, green, blue))

    return apply


KINDS = (
    Kind(
        name="brightness",
        family="light",
        summary="brighter by a constant, until light colours are white",
        view_consistent=True,
        levels={"gain": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)},
        apply=_recoloured(brightness),
        touches=frozenset({"images", "background"}),
    ),
    Kind(
        name="contrast",
        family="light",
        summary="all colours drawn towards mid grey",
        view_consistent=True,
        levels={"factor": (1.0, 0.4, 0.3, 0.2, 0.1, 0.05)},
        apply=_recoloured(contrast),
        touches=frozenset({"images", "background"}),
    ),
    Kind(
        name="exposure",
        family="light",
        summary="exposure and white balance of each view its own: breaks photo-consistency between views",
        view_consistent=False,
        once=True,
        levels={"stops": (0.0, 0.125, 0.25, 0.5, 0.75, 1.0), "tint": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)},
        apply=per_image(exposure),
    ),
)

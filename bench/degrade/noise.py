"""Noise of the sensor, drawn anew for every view (ImageNet-C-style levels: Hendrycks and Dietterich 2019)."""

from __future__ import annotations

import numpy as np

from bench.degrade.kind import Floats, Kind, per_image


def gaussian_noise(image: Floats, rng: np.random.Generator, *, std: float) -> Floats:
    """Add N(0, std^2) to every channel of every pixel, the background included, as a camera would."""
    return image + np.float32(std) * rng.standard_normal(image.shape, dtype=np.float32)


KINDS = (
    Kind(
        name="gaussian_noise",
        family="noise",
        summary="white noise of the sensor, added to every pixel",
        view_consistent=False,
        levels={"std": (0.0, 0.08, 0.12, 0.18, 0.26, 0.38)},
        apply=per_image(gaussian_noise),
    ),
)

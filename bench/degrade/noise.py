"""Noise of the sensor, drawn anew for every view.

Forms and levels are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, appendix B): ImageNet-C-style, for
nobody has verified equality.
"""

from __future__ import annotations

import numpy as np

from bench.degrade.kind import Floats, Kind, per_image


def gaussian_noise(image: Floats, rng: np.random.Generator, *, std: float) -> Floats:
    """Add N(0, std^2) to every channel of every pixel, the background included, as a camera would."""
    return image + np.float32(std) * rng.standard_normal(image.shape, dtype=np.float32)


def shot_noise(image: Floats, rng: np.random.Generator, *, std: float) -> Floats:
    """Count photons: Poisson noise of standard deviation `std` where the image is white, less where it is darker.

    ImageNet-C names the photons of a white pixel, 1 / std^2: 60, 25, 12, 5, 3.
    """
    return (rng.poisson(image / std**2) * std**2).astype(np.float32)


def impulse_noise(image: Floats, rng: np.random.Generator, *, amount: float) -> Floats:
    """Salt and pepper: each channel of each pixel is 0 or 1, at equal odds, with probability `amount`."""
    chance = rng.random(image.shape, dtype=np.float32)
    return np.where(chance < amount, (chance < amount / 2).astype(np.float32), image)


def speckle_noise(image: Floats, rng: np.random.Generator, *, std: float) -> Floats:
    """Multiply by 1 + N(0, std^2), every channel of every pixel by itself."""
    return image * (1 + np.float32(std) * rng.standard_normal(image.shape, dtype=np.float32))


KINDS = (
    Kind(
        name="gaussian_noise",
        family="noise",
        summary="white noise of the sensor, added to every pixel",
        view_consistent=False,
        levels={"std": (0.0, 0.08, 0.12, 0.18, 0.26, 0.38)},
        apply=per_image(gaussian_noise),
    ),
    Kind(
        name="shot_noise",
        family="noise",
        summary="few photons: Poisson noise, strongest where it is bright",
        view_consistent=False,
        levels={"std": (0.0, 60**-0.5, 25**-0.5, 12**-0.5, 5**-0.5, 3**-0.5)},
        apply=per_image(shot_noise),
    ),
    Kind(
        name="impulse_noise",
        family="noise",
        summary="salt and pepper in every channel",
        view_consistent=False,
        levels={"amount": (0.0, 0.03, 0.06, 0.09, 0.17, 0.27)},
        apply=per_image(impulse_noise),
    ),
    Kind(
        name="speckle_noise",
        family="noise",
        summary="noise in proportion to the brightness of each pixel",
        view_consistent=False,
        levels={"std": (0.0, 0.15, 0.2, 0.35, 0.45, 0.6)},
        apply=per_image(speckle_noise),
    ),
)

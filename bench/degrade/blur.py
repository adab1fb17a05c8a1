"""Lost sharpness: every image is convolved with a kernel. Edges move with it, and so does the pose signal.

Forms and levels follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019, appendix B); sizes are in pixels of a
224-pixel image.
"""

from __future__ import annotations

import math

import numpy as np

from bench.degrade.kind import Floats, Kind, per_image, pixels


def defocus_blur(image: Floats, rng: np.random.Generator, *, radius: float) -> Floats:
    """A lens out of focus: a disc of equal weights, its rim softened over one pixel."""
    r = pixels(radius, image.shape)
    x, y = _grid(r + 0.5)
    return _convolved(image, np.clip(r + 0.5 - np.hypot(x, y), 0, 1))


def gaussian_blur(image: Floats, rng: np.random.Generator, *, sigma: float) -> Floats:
    s = max(pixels(sigma, image.shape), 0.01)
    x, y = _grid(4 * s)
    return _convolved(image, np.exp(-(x**2 + y**2) / (2 * s**2)))


def motion_blur(image: Floats, rng: np.random.Generator, *, length: float, sigma: float) -> Floats:
    """A camera moved during the exposure: a gaussian streak, cut off at `length` to either side, at a random angle.

    ImageNet-C's streak starts in the pixel and goes one way, which shifts the image too; this one is centred, so
    that the true pose is the middle of the exposure.
    """
    reach, s = pixels(length, image.shape), max(pixels(sigma, image.shape), 0.01)
    angle = rng.uniform(0, math.pi)
    x, y = _grid(reach + 0.5)
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    across = np.abs(y * math.cos(angle) - x * math.sin(angle))
    within = np.clip(reach + 0.5 - along, 0, 1)
    return _convolved(image, np.exp(-(along**2) / (2 * s**2)) * within * np.maximum(1 - across, 0))


def _grid(reach: float) -> tuple[Floats, Floats]:
    """x (1, K) and y (K, 1) of a square of whole pixels around 0 that holds `reach`."""
    half = max(math.ceil(reach), 1)
    x = np.arange(-half, half + 1, dtype=np.float64)[None]
    return x, x.T


def _convolved(image: Floats, kernel: Floats) -> Floats:
    """The image under a kernel (K, K) of any sum, K odd; beyond its border it goes on as it ends."""
    from scipy.signal import fftconvolve  # not at the top: listing kinds must stay instant

    half = len(kernel) // 2
    wide = np.pad(image, ((half, half), (half, half), (0, 0)), mode="edge")
    weights = (kernel / kernel.sum()).astype(np.float32)[..., None]
    return fftconvolve(wide, weights, mode="valid", axes=(0, 1))


KINDS = (
    Kind(
        name="defocus_blur",
        family="blur",
        summary="a lens out of focus: convolution with a disc",
        view_consistent=True,
        levels={"radius": (0.0, 3.0, 4.0, 6.0, 8.0, 10.0)},
        apply=per_image(defocus_blur),
    ),
    Kind(
        name="gaussian_blur",
        family="blur",
        summary="convolution with a gaussian",
        view_consistent=True,
        levels={"sigma": (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)},
        apply=per_image(gaussian_blur),
    ),
    Kind(
        name="motion_blur",
        family="blur",
        summary="a streak at a random angle in each view, centred on the true pose",
        view_consistent=False,
        once=True,
        levels={"length": (0.0, 10.0, 15.0, 15.0, 15.0, 20.0), "sigma": (0.0, 3.0, 5.0, 8.0, 12.0, 15.0)},
        apply=per_image(motion_blur),
    ),
)

"""What storing and sending does to images. Blocks have edges of their own, which stay with the image, not the scene.

Forms and levels follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019, appendix B).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image as Picture

from bench.degrade.kind import Apply, Kind, RngOf, pixels
from bench.task import Capture


def jpeg(picture: Picture.Image, *, quality: float) -> Picture.Image:
    """Write as JPEG, chroma at half the resolution, and read back. `quality` is a whole number: it is rounded.

    Its blocks are 8 pixels wide at any image size: the one filter here that cannot be scaled.
    """
    file = BytesIO()
    picture.save(file, format="jpeg", quality=round(quality))
    return Picture.open(file)


def pixelate(picture: Picture.Image, *, block: float) -> Picture.Image:
    """Fewer, larger pixels: shrunk by averaging, enlarged by repeating.

    `block` is their side in pixels of a 224-pixel image; ImageNet-C names its inverse: .6 .5 .4 .3 .25. An image whose
    own pixels are as large stays as it is.
    """
    size = picture.size
    side = max(pixels(block, size), 1.0)
    small = picture.resize((max(round(size[0] / side), 1), max(round(size[1] / side), 1)), Picture.Resampling.BOX)
    return small.resize(size, Picture.Resampling.NEAREST)


def _per_picture(change: Callable[..., Picture.Image]) -> Apply:
    """`change(picture, **parameters) -> picture`, one channel or three, as the `apply` of a kind."""

    def apply(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
        shape = capture.shape
        images = {
            view: np.asarray(change(Picture.fromarray(image.squeeze(-1) if shape[2] == 1 else image), **parameters))
            for view, image in capture.images.items()
        }
        return replace(capture, images={view: image.reshape(shape) for view, image in images.items()})

    return apply


KINDS = (
    Kind(
        name="jpeg",
        family="digital",
        summary="JPEG compression",
        view_consistent=True,
        levels={"quality": (100.0, 25.0, 18.0, 15.0, 10.0, 7.0)},
        apply=_per_picture(jpeg),
    ),
    Kind(
        name="pixelate",
        family="digital",
        summary="fewer, larger pixels",
        view_consistent=True,
        levels={"block": (0.0, 1 / 0.6, 1 / 0.5, 1 / 0.4, 1 / 0.3, 1 / 0.25)},
        apply=_per_picture(pixelate),
    ),
)

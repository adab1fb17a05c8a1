"""Masks as people save them, read as coverage: by brightness, by the index of a palette, or in the alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

LOSSY = frozenset({"JPEG", "MPO", "WEBP", "HEIF", "AVIF", "JPEG2000"})
"""Formats in which a black image may hold a few ones that nobody drew."""


def as_coverage(image: PIL.Image.Image, *, lossy: bool) -> PIL.Image.Image:
    """A mask's coverage of each pixel, an 8-bit grey image of the same size: 0 is off, 255 is on.

    It is the brightness; of a palette with colours the index, where 0 is off (VOC, DAVIS); the alpha where that is all
    there is to see, or where the colours are those of a picture. Unless `lossy`, a mask that has one level beside 0 is
    on there, be it 1, as labels are (nerfstudio: whatever is not 0 counts); one of several levels is taken as it is.
    """
    if image.mode.startswith("I"):
        return _of_numbers(np.asarray(image))
    if image.mode == "P" and "transparency" not in image.info and not _is_grey(image.convert("RGB")):
        return _of_numbers(np.asarray(image) > 0)
    found = _visible(image)
    levels = [level for level, count in enumerate(found.histogram()) if count and level]
    return found.point([255 * (level > 0) for level in range(256)]) if len(levels) == 1 and not lossy else found


def _of_numbers(values: np.ndarray) -> PIL.Image.Image:
    """Of 16 bits, or of fewer that were saved with 16."""
    from PIL import Image

    top = values.max()
    if top > 0 and ((values == 0) | (values == top)).all():
        return Image.fromarray((values > 0).astype(np.uint8) * np.uint8(255))
    rows = (np.round(part / 257 if top > 255 else part).clip(0, 255) for part in values)
    return Image.fromarray(np.stack([row.astype(np.uint8) for row in rows]))


def _visible(image: PIL.Image.Image) -> PIL.Image.Image:
    """The brightness, or the alpha, or the less of the two where both say something."""
    from PIL import ImageChops

    if not ("transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")):
        return image.convert("L")
    whole = image.convert("RGBA")
    alpha, colours = whole.getchannel("A"), whole.convert("RGB")
    brightness = colours.convert("L")
    if alpha.getextrema() == (255, 255):
        return brightness
    if not _is_grey(colours) or _is_constant(brightness):
        return alpha
    return brightness if _is_constant(alpha) else ImageChops.darker(brightness, alpha)


def _is_grey(colours: PIL.Image.Image) -> bool:
    from PIL import ImageChops

    red, green, blue = colours.split()
    return all(ImageChops.difference(red, other).getextrema() == (0, 0) for other in (green, blue))


def _is_constant(channel: PIL.Image.Image) -> bool:
    low, high = channel.getextrema()
    return low == high

"""Images from disk: decoded, turned, composited, undistorted and resampled, or refused in one sentence."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.lens import Optics, pinhole_for, undistort
from datasets.images.mask import LOSSY, as_coverage
from datasets.images.resample import area_average, fitted, same_shape

if TYPE_CHECKING:
    from types import ModuleType

    import PIL.Image

MASK = "mask"
"""Mode of `decoded`: the coverage that a mask means."""

_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_MOST_PIXELS = 250_000_000  # beyond, decoding takes more than 2 GB
_REDUCED_FROM = 4  # times the size that is needed: images so large are reduced while they are decoded
_ORIENTATION = 274  # EXIF tag
_LYING = (5, 6, 7, 8)  # orientations that swap width and height


@dataclass(frozen=True, kw_only=True)
class Darkroom:
    """How every image of a scene is developed: from the camera that took it to the one that is shown."""

    optics: Optics  # of the images that have none of their own
    background: tuple[float, float, float] | None  # behind transparent pixels; None: there are none
    shown: Camera  # a pinhole at the size shown
    upright: bool = False  # images are turned as their EXIF orientation says

    def develop(
        self, path: Path, frame: str, own: Optics | None = None, mask: Path | None = None, turn: int = 0
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """(H, W, 3) sRGB on the background, and coverage (H, W) or None. Raises SceneError.

        Colours are weighted by their alpha before they are averaged: what is behind a transparent pixel's edge
        must not bleed into it. Averages are of displayed values (sRGB), as NeRF-Synthetic's own are.
        Coverage is the alpha, else the `mask`, an image of the object's pixels, of the same size or of that size
        scaled; where there are both, it is the less of the two. Image and mask are turned counter-clockwise by so
        many quarter turns first.
        """
        optics = own or self.optics
        image = self._taken(path, frame, optics, "RGBA" if self.background is not None else "RGB", turn)
        if self.background is not None:
            image[..., :3] *= image[..., 3:] / 255
        image = self._resampled(image, optics)
        covered = None if mask is None else self._resampled(self._mask(mask, frame, optics, turn), optics)[..., 0]
        if self.background is None:
            return _quantised(image), None if covered is None else _quantised(covered)
        behind = (255 - image[..., 3:]) * np.array(self.background, dtype=np.float32)
        alpha = image[..., 3] if covered is None else np.minimum(image[..., 3], covered)
        return _quantised(image[..., :3] + behind), _quantised(alpha)

    def _taken(self, path: Path, frame: str, optics: Optics, mode: str, turn: int) -> NDArray[np.float32]:
        """As large as it is stored; of a huge one a reduced image, no smaller than four times the size shown."""
        stored = image_size(path, frame, upright=self.upright)
        stored = stored[::-1] if turn % 2 else stored
        taken = optics.camera.width, optics.camera.height
        if stored != taken:
            raise SceneError(
                f"{frame}: {path} is {stored[0]}x{stored[1]} px, but the scene's first image is "
                f"{taken[0]}x{taken[1]} px; all images of a scene must share one size"
            )
        return np.rot90(decoded(path, frame, mode, upright=self.upright, least=self._least), turn)

    def _mask(self, path: Path, frame: str, optics: Optics, turn: int) -> NDArray[np.float32]:
        """(H, W, 1) as it is stored: brought to the image's size where it is resampled."""
        width, height = optics.camera.width, optics.camera.height
        stored = image_size(path, frame, upright=self.upright)
        if not same_shape((stored[1], stored[0]) if turn % 2 else stored, (width, height)):
            raise SceneError(
                f"{frame}: its mask {path} is {stored[0]}x{stored[1]} px, of another shape than its image of "
                f"{width}x{height} px; a mask must be the image's size, or that size scaled"
            )
        return np.rot90(decoded(path, frame, MASK, upright=self.upright, least=self._least), turn)

    @property
    def _least(self) -> int:
        return 4 * max(self.shown.width, self.shown.height)

    def _resampled(self, image: NDArray[np.float32], optics: Optics) -> NDArray[np.float32]:
        """Undistortion works at up to twice the size shown: sharp enough, and cheap for a photograph of 12 MP."""
        taken = optics.camera
        if optics.bend is not None or taken.resized(self.shown.width, self.shown.height) != self.shown:
            width, height = min(2 * self.shown.width, taken.width), min(2 * self.shown.height, taken.height)
            pinhole = self.shown.resized(width, height)
            image = undistort(area_average(image, width, height), pinhole, optics.resized(width, height))
        return area_average(image, self.shown.width, self.shown.height)


def darkroom(
    optics: Optics, background: tuple[float, float, float] | None, side: int, *, upright: bool = False,
    others: Iterable[Optics] = (),
) -> Darkroom:  # fmt: skip
    """For images shown with their longest side at most `side` pixels; never enlarged. `others` are the optics of images
    that were taken by other cameras: all are brought to one."""
    others = [each for each in dict.fromkeys(others) if each != optics]
    pinhole = optics.camera if optics.bend is None and not others else pinhole_for((optics, *others))
    shown = pinhole.resized(*fitted(pinhole.width, pinhole.height, side))
    return Darkroom(optics=optics, background=background, shown=shown, upright=upright)


class Header(NamedTuple):
    """What an image file says before it is decoded."""

    width: int
    height: int
    orientation: int  # EXIF's, 1 where there is none
    alpha: bool  # it can be transparent


def image_size(path: Path, frame: str, *, upright: bool = False) -> tuple[int, int]:
    """Width and height, from the file's header alone, as stored or as EXIF turns it. Raises SceneError."""
    header = _header(path, frame)
    return (header.height, header.width) if upright and header.orientation in _LYING else (header.width, header.height)


def is_lying(path: Path, frame: str) -> bool:
    """Whether EXIF says that the image is to be turned by a right angle. Raises SceneError."""
    return _header(path, frame).orientation in _LYING


def is_turned(path: Path, frame: str) -> bool:
    """Whether EXIF says that the image is stored otherwise than it is to be seen. Raises SceneError."""
    return _header(path, frame).orientation != 1


def is_transparent(path: Path, frame: str) -> bool:
    """Whether some pixel is transparent: an alpha that is opaque everywhere is no alpha. Raises SceneError."""
    return _header(path, frame).alpha and _least_alpha(path, frame, path.stat().st_mtime_ns) < 255


@lru_cache(maxsize=100_000)
def _least_alpha(path: Path, frame: str, _changed: int) -> int:
    """Of the alpha alone: all channels of a photograph of 200 MP, as numbers, take gigabytes."""
    _refuse_huge(path, frame)
    try:
        with opened(path) as image:
            whole = image if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") else image.convert("RGBA")
            return int(np.asarray(whole.getchannel(whole.getbands()[-1])).min())
    except (OSError, SyntaxError, ValueError, AssertionError, struct.error) as error:
        raise SceneError(f"{frame}: {path} is broken ({error}); fetch or export it again") from error


def _pillow() -> ModuleType:
    """Pillow, its own bound on pixels replaced by ours (a photograph of 200 MP is no attack), HEIC where it can be."""
    import PIL.Image

    PIL.Image.MAX_IMAGE_PIXELS = None
    try:
        import pillow_heif  # type: ignore[import-not-found]  # optional
    except ImportError:
        return PIL.Image
    pillow_heif.register_heif_opener()
    return PIL.Image


def opened(path: Path) -> PIL.Image.Image:
    """A file's image, not yet decoded: `with opened(path) as image`. Raises what Pillow raises."""
    return _pillow().open(path)


def _header(path: Path, frame: str) -> Header:
    try:
        return _read_header(path, path.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError, AssertionError, struct.error) as error:
        if isinstance(error, FileNotFoundError):
            raise SceneError(f"{frame}: {path} is not there") from error
        raise SceneError(f"{frame}: {path} {_why_unreadable(path)}") from error


@lru_cache(maxsize=100_000)
def _read_header(path: Path, _changed: int) -> Header:
    with opened(path) as image:
        bands = image.getbands()
        # Pillow decodes a whole PNG in search of EXIF after its pixels, where hardly anybody writes it
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        alpha = "A" in bands or "a" in bands or "transparency" in image.info
        return Header(*image.size, orientation=int(exif.get(_ORIENTATION) or 1), alpha=alpha)


def _refuse_huge(path: Path, frame: str) -> None:
    header = _header(path, frame)
    if header.width * header.height > _MOST_PIXELS:
        raise SceneError(
            f"{frame}: {path} has {header.width}x{header.height} px, and {_MOST_PIXELS // 1_000_000} million are the "
            "most that are read; shrink it beforehand"
        )


def _why_unreadable(path: Path) -> str:
    """What a file is that Pillow does not know, as far as its first bytes tell."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
        return "is HEIC, whatever its name says; `pip install pillow-heif` to read it, or export it as JPEG"
    if not head:
        return "is an empty file; fetch or export it again"
    return "is not an image that can be read; fetch or export it again"


def decoded(path: Path, frame: str, mode: str, *, upright: bool, least: int | None = None) -> NDArray[np.float32]:
    """(H, W, 3), with alpha (H, W, 4), or (H, W, 1), in [0, 255]: `mode` is Pillow's RGB, RGBA or L, or MASK.

    Of an image many times larger than `least` (px, its longest side) a reduced one, no smaller than that: a photograph
    of 12 MP is decoded whole, one of 200 MP takes no gigabytes.
    """
    _refuse_huge(path, frame)
    try:
        with opened(path) as image:
            factor = max(image.size) // least if least else 1
            if least and factor >= _REDUCED_FROM and image.format == "JPEG":
                width, height = (-(-length * least // max(image.size)) for length in image.size)
                image.draft(None, (width, height))  # to a half, a quarter or an eighth, while decoding
                factor = max(image.size) // least
            lossy = image.format in LOSSY
            if image.mode in _SIXTEEN_BIT:
                image = image if mode == MASK else _eight_bit(image)
            elif image.mode not in _MODES:
                raise SceneError(f"{frame}: {path} has pixels of kind {image.mode}; save it with 8 bits a channel")
            if upright:
                from PIL import ImageOps

                image = ImageOps.exif_transpose(image)
            if mode == MASK:
                image = as_coverage(image, lossy=lossy)
            elif image.mode != mode:
                image = image.convert(mode)
            image = image.reduce(factor) if factor >= _REDUCED_FROM else image
            array = np.array(image, dtype=np.float32)
            return array if array.ndim == 3 else array[..., None]
    except (OSError, SyntaxError, ValueError, AssertionError, struct.error) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(f"{frame}: {path} is broken ({error}); fetch or export it again") from error


def _eight_bit(image: PIL.Image.Image) -> PIL.Image.Image:
    """A 16-bit grey image with 8 bits, its EXIF kept."""
    values = np.asarray(image)
    rows = (values[k : k + 256].astype(np.float64) / 257 + 0.5 for k in range(0, len(values), 256))
    grey = _pillow().fromarray(np.concatenate([each.clip(0, 255).astype(np.uint8) for each in rows]))
    grey.info.update(image.info)
    return grey


def _quantised(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0, 255)).astype(np.uint8)

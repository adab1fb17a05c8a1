"""Paint: periodic square images, drawn once, of which every face of a solid shows another part.

Marks are 0.03 to 0.3 scene units wide: two pixels or more at 200 px, which is what a blob detector needs and what
a pixel can still resolve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Canvas = NDArray[np.float32]  # (SIZE, SIZE, 3) sRGB in [0, 1]

SIZE = 512


@dataclass(frozen=True, kw_only=True)
class Paint:
    """A canvas and how wide it lies on a surface, in scene units."""

    canvas: Canvas
    extent: float = 1.0

    def at(self, uv: NDArray[np.floating]) -> NDArray[np.float32]:
        """Colours (N, 3) of surface points with coordinates `uv` (N, 2) in scene units."""
        size = len(self.canvas)
        texel = np.floor(uv * uv.dtype.type(size / self.extent)).astype(np.int32) % size
        return self.canvas.reshape(-1, 3).take(texel[:, 1] * size + texel[:, 0], axis=0)


def colour(code: str) -> Colour:
    """`"#e07a5f"` as sRGB in [0, 1]."""
    red, green, blue = bytes.fromhex(code.removeprefix("#"))
    return red / 255, green / 255, blue / 255


def flat(base: str) -> Paint:
    """One colour, no texture at all."""
    return Paint(canvas=np.full((1, 1, 3), colour(base), dtype=np.float32))


def mosaic(rng: np.random.Generator, palette: Sequence[str], *, smallest: float = 0.07, extent: float = 1.0) -> Paint:
    """Rectangles of many sizes, in the manner of Mondrian, each with a tone of its own."""
    canvas = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    least = max(2, round(smallest / extent * SIZE))
    todo = [(0, 0, SIZE, SIZE)]
    while todo:
        x, y, width, height = todo.pop()
        along = max(width, height)
        if along >= 2 * least and (along > 5 * least or rng.random() < 0.75):
            cut = int(rng.integers(least, along - least + 1))
            if width >= height:
                todo += [(x, y, cut, height), (x + cut, y, width - cut, height)]
            else:
                todo += [(x, y, width, cut), (x, y + cut, width, height - cut)]
        else:
            canvas[y : y + height, x : x + width] = _tone(rng, palette, 0.10)
    return Paint(canvas=_weathered(rng, canvas), extent=extent)


def confetti(
    rng: np.random.Generator, base: str, palette: Sequence[str], *, count: int = 170, extent: float = 1.0
) -> Paint:
    """Discs of many sizes thrown on a ground."""
    canvas = np.full((SIZE, SIZE, 3), colour(base), dtype=np.float32)
    grid = (np.arange(SIZE) + 0.5) / SIZE
    for radius in np.sort(rng.uniform(0.018, 0.075, count))[::-1] / extent:
        u, v = rng.random(2)
        dx, dy = (np.abs((grid - c + 0.5) % 1 - 0.5) for c in (u, v))
        canvas[dy[:, None] ** 2 + dx[None] ** 2 < radius**2] = _tone(rng, palette, 0.08)
    return Paint(canvas=_weathered(rng, canvas), extent=extent)


def bricks(
    rng: np.random.Generator, palette: Sequence[str], joint: str, *, size: tuple[float, float], extent: float = 1.0
) -> Paint:
    """Courses of bricks, every one burnt a little differently; `size` is that of a brick, in scene units."""
    courses, row = round(extent / size[1] / 2) * 2, round(extent / size[0])
    canvas = np.full((SIZE, SIZE, 3), colour(joint), dtype=np.float32)
    tones = np.array([[_tone(rng, palette, 0.13) for _ in range(row)] for _ in range(courses)])
    v, u = np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE] * 2, indexing="ij")
    course = np.floor(v * courses).astype(int)
    along = u * row + 0.5 * (course % 2)
    gap = 0.012 / extent
    laid = ((v * courses) % 1 > gap * courses) & (along % 1 > gap * row)
    canvas[laid] = tones[course, np.floor(along).astype(int) % row][laid]
    return Paint(canvas=_weathered(rng, canvas), extent=extent)


def bands(
    rng: np.random.Generator, palette: Sequence[str], *, widths: tuple[float, float], extent: float = 1.0
) -> Paint:
    """Rings of uneven widths, each broken into dashes of uneven lengths."""
    canvas = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    for top, bottom in _pieces(rng, widths, extent):
        for left, right in _pieces(rng, (2 * widths[0], 4 * widths[1]), extent):
            canvas[top:bottom, left:right] = _tone(rng, palette, 0.10)
    return Paint(canvas=_weathered(rng, canvas), extent=extent)


def runes(
    rng: np.random.Generator, base: str, palette: Sequence[str], *, pitch: float = 0.16, extent: float = 1.0
) -> Paint:
    """Signs on a 5 x 5 raster, every one different, as if somebody had written on it."""
    count = round(extent / pitch)
    cell = SIZE // count
    canvas = np.full((SIZE, SIZE, 3), colour(base), dtype=np.float32)
    dot = cell // 7
    for j in range(count):
        for i in range(count):
            half = rng.random((5, 3)) < 0.55
            sign = np.kron(np.concatenate([half, half[:, 1::-1]], axis=1), np.ones((dot, dot), dtype=bool))
            y, x = j * cell + dot, i * cell + dot
            canvas[y : y + 5 * dot, x : x + 5 * dot][sign] = _tone(rng, palette, 0.06)
    return Paint(canvas=_weathered(rng, canvas), extent=extent)


def _pieces(rng: np.random.Generator, widths: tuple[float, float], extent: float) -> list[tuple[int, int]]:
    """The canvas cut into runs of random widths, in texels."""
    cuts = [0]
    while cuts[-1] < SIZE:
        cuts.append(cuts[-1] + max(1, round(rng.uniform(*widths) / extent * SIZE)))
    return [(low, min(high, SIZE)) for low, high in pairwise(cuts)]


def _tone(rng: np.random.Generator, palette: Sequence[str], spread: float) -> NDArray[np.float32]:
    """A colour of the palette, somewhat lighter or darker."""
    chosen = np.array(colour(palette[int(rng.integers(len(palette)))]))
    return np.clip(chosen * (1 + spread * rng.standard_normal()), 0, 1).astype(np.float32)


def _weathered(rng: np.random.Generator, canvas: Canvas) -> Canvas:
    """Soft stains over the paint: no two places of it are alike, though marks may repeat."""
    stain = np.zeros((SIZE, SIZE), dtype=np.float32)
    for cells, strength in ((8, 0.05), (24, 0.05), (64, 0.03)):
        stain += strength * _smooth(rng.standard_normal((cells, cells)))
    return np.clip(canvas * (1 + stain[..., None]), 0, 1).astype(np.float32)


def _smooth(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Periodic bilinear interpolation of a lattice to the canvas's size."""
    place = np.arange(SIZE) * (len(lattice) / SIZE)
    low = place.astype(int)
    weight = place - low
    weight = weight * weight * (3 - 2 * weight)
    high = (low + 1) % len(lattice)
    rows = lattice[low] * (1 - weight[:, None]) + lattice[high] * weight[:, None]
    return rows[:, low] * (1 - weight) + rows[:, high] * weight

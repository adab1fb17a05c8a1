"""Images at the size an effort shows: exact area averages, so that no method is given aliased pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Size with the longest side at most `side`, the aspect kept to half a pixel; never larger than it was."""
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether one size (width, height) is the other one scaled, to a pixel of rounding."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(a[0], a[1], b[0], b[1])


def area_average(image: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """(H, W, C) -> (height, width, C): each new pixel is the mean over the area it covers; of a mask that
    is smaller than its image, that is a part of an old one."""
    old_height, old_width, channels = image.shape
    if (old_width, old_height) == (width, height):
        return image
    rows = _weights(old_height, height) @ image.reshape(old_height, old_width * channels)
    columns = rows.reshape(height, old_width, channels).transpose(1, 0, 2).reshape(old_width, height * channels)
    mean = _weights(old_width, width) @ columns
    return np.ascontiguousarray(mean.reshape(width, height, channels).transpose(1, 0, 2))


def _weights(old: int, new: int):  # -> scipy.sparse.csr_array, imported where it is used: 0.1 s
    """(new, old) sparse: the share of each old pixel in each new one."""
    from scipy.sparse import csr_array

    edges = np.arange(new + 1) * (old / new)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int).clip(max=old)
    span = int((last - first).max())
    column = first[:, None] + np.arange(span)  # (new, span)
    share = np.minimum(edges[1:, None], column + 1) - np.maximum(edges[:-1, None], column)
    row = np.broadcast_to(np.arange(new)[:, None], column.shape)
    kept = (share > 1e-9) & (column < old)
    weight = (share[kept] * (new / old)).astype(np.float32)
    return csr_array((weight, (row[kept], column[kept])), shape=(new, old))

"""All images of a scene at once: developed side by side, and kept where that took long."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from datasets import cache
from datasets.images.decode import Darkroom, image_size
from datasets.loaders.recording import Frame

HANDS = 4  # threads at most: each holds one decoded image
LARGE = 200_000_000
"""Pixels of all images together from which what was made of them is kept: a minute's work at a time, where decoding
takes milliseconds a megapixel."""
MOST_KEPT = 2**29  # bytes: a cache is no second copy of a capture

Pixels = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""Images (N, H, W, 3) and coverage (N, H, W), where some image has one."""


def developed(room: Darkroom, frames: Sequence[Frame], name: str) -> Pixels:
    """Of all frames, in their order; where the images are large kept in the cache folder, under a `name` that must tell
    all that decides the pixels. Raises SceneError."""
    shape = (len(frames), room.shown.height, room.shown.width)
    _refuse_too_many(shape)
    covered = room.background is not None or all(frame.mask is not None for frame in frames)
    shapes = {"images": (*shape, 3)} | ({"masks": shape} if covered else {})
    large = sum(int(np.prod(image_size(frame.image, frame.name))) for frame in frames) >= LARGE
    if large and np.prod(shape) * 4 <= MOST_KEPT:
        made = cache.kept(name, shapes, lambda: _developed(room, frames))
    else:
        made = _developed(room, frames)
    return made["images"], made.get("masks")


def _refuse_too_many(shape: tuple[int, int, int]) -> None:
    """More than there is memory for must not end in a kill by the system. Raises SceneError."""
    import psutil  # not to list scenes

    needed, free = 3 * math.prod(shape), psutil.virtual_memory().available
    if needed > free:
        count, height, width = shape
        raise SceneError(
            f"{count} images of {width}x{height} px take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are "
            "free; show them smaller, as --effort full@800, or fewer of them, as --views 60"
        )


def _developed(room: Darkroom, frames: Sequence[Frame]) -> cache.Arrays:
    with ThreadPoolExecutor(min(HANDS, os.cpu_count() or 1)) as hands:
        taken = list(
            hands.map(lambda frame: room.develop(frame.image, frame.name, frame.optics, frame.mask, frame.turn), frames)
        )
    masks = [mask for _, mask in taken if mask is not None]
    made = {"images": np.stack([image for image, _ in taken])}
    return made | ({"masks": np.stack(masks)} if len(masks) == len(taken) else {})

"""What a method without poses looks at: all images, at any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.task import Capture, ViewId
from methods.nerf.images.exposures import clipped, evened, others_for

CHANGED = 0.005  # of a gain's logarithm: by less, no image is made anew

WHITE = (1.0, 1.0, 1.0)


@dataclass(kw_only=True)
class ImagePyramid:
    """N images (N, C, H, W) in [-1, 1] on one device, and smaller copies of them made when asked for."""

    ids: tuple[ViewId, ...]
    taken: Tensor  # as they were taken
    background: tuple[float, ...] | None  # [0, 1], (C,); None: a real background
    is_cut_out: bool = False  # by masks, and the background put there
    images: Tensor = field(init=False)  # as of one exposure, by the gains
    gains: Tensor | None = field(default=None, init=False)  # (N, C): exposures of their own (`exposures.py`)
    first_gains: Tensor | None = None  # (N, C): as a known background has them, before any field; None: alike
    gains_known: Tensor | None = None  # (N, C) bool: those that a known background tells; None: it was not asked
    clipped_background: Tensor | None = None  # (N, H, W) bool: where it was too bright to tell them
    _copies: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _useless: dict[int, Tensor] = field(default_factory=dict, repr=False)  # (N, h, w) bool, by side

    def __post_init__(self) -> None:
        self.images = self.taken

    def expose(self, gains: Tensor | None) -> None:
        """From now on, `images` are as of one exposure, by the `gains` (N, C) that they were taken with; None: as they
        were taken. Those that have hardly changed stay as they were."""
        before = self.gains
        if gains is None:
            if before is None:
                return
            self.images, self.gains = self.taken, None
        else:
            if before is None:
                self.images, self.gains, views = self.taken.clone(), gains.clone(), torch.arange(len(gains))
            else:
                views = ((gains / before).log().abs() > CHANGED).any(dim=1).nonzero()[:, 0]
                before[views] = gains[views]
            for view in views.tolist():
                self.images[view] = self._evened(view, gains[view])
            if not len(views):
                return
        self._copies.clear()
        self._useless.clear()

    def retake(self, gains: Tensor | None) -> None:
        """`expose`, all images anew: the same whatever they were before."""
        self.expose(None)
        self.expose(gains)

    @contextmanager
    def as_first(self) -> Iterator[None]:
        """Meanwhile, images as they were before any field told exposures."""
        present = None if self.gains is None else self.gains.clone()
        self.retake(self.first_gains)
        try:
            yield
        finally:
            self.retake(present)

    def _evened(self, view: int, gain: Tensor) -> Tensor:
        """Image (C, H, W) of a view with a `gain` (C,)."""
        image = evened((self.taken[view] + 1) / 2, gain[:, None, None])
        if self.clipped_background is not None and self.background is not None:
            colour = image.new_tensor(self.background)[:, None, None]
            image = torch.where(self.clipped_background[view], colour, image)
        return image * 2 - 1

    def _useless_at(self, side: int, gains: Tensor) -> Tensor:
        """Which pixels (N, h, w) of the images at `side` have a part that was clipped, and is not the background."""
        if side not in self._useless:
            if len(self._useless) > 1:
                self._useless.clear()
            masks = torch.stack(
                [clipped((image.movedim(0, -1) + 1) / 2, gain) for image, gain in zip(self.taken, gains, strict=True)]
            )
            if self.clipped_background is not None:
                masks &= ~self.clipped_background
            self._useless[side] = shrunk_to(masks[:, None].float(), side)[:, 0] > 0
        return self._useless[side]

    @staticmethod
    def of(capture: Capture, *, masked: bool, device: torch.device) -> ImagePyramid:
        """The capture's images; with `masked`, its masks cut the objects out, and what is behind them becomes white."""
        ids = tuple(capture.images)
        stack = torch.from_numpy(np.stack([capture.images[view] for view in ids])).to(device)
        images = stack.permute(0, 3, 1, 2).float() / 255
        background = capture.background
        if masked and capture.masks is not None and background is None:
            cover = torch.from_numpy(np.stack([capture.masks[view] for view in ids])).to(device)[:, None].float() / 255
            background = WHITE
            images = images * cover + (1 - cover)
        return ImagePyramid(
            ids=ids, taken=images * 2 - 1, is_cut_out=capture.background is None and background is not None,
            background=None if background is None else background[: images.shape[1]],
        )  # fmt: skip

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def side(self) -> int:
        """The longest side, px."""
        return max(self.images.shape[2:])

    def at(self, side: int) -> Tensor:
        """All images, their longest side `side` px, averaged over areas; (N, C, h, w)."""
        if side >= self.side:
            return self.images
        if side not in self._copies:
            if len(self._copies) > 3:  # sizes grow: those before are not asked for again
                self._copies.clear()
            self._copies[side] = shrunk_to(self.images, side)
        return self._copies[side]

    def square(self, side: int) -> Tensor:
        """All images squeezed to `side` x `side`, for the inversion network and for comparisons."""
        if -side not in self._copies:
            self._copies[-side] = shrunk(self.images, (side, side))
        return self._copies[-side]

    def draw(
        self, side: int, rays: int, rng: torch.Generator, views: int | None = None, among: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """About `rays` pixels of the images at `side`, as many of each view: every pose gets its share of every step.

        With `views`, of so many only; with `among`, of the views of these numbers. Returns their numbers (V,), points
        (V, K, 2) in [-1, 1]^2, colours (V, K, C) in [0, 1].
        """
        images = self.at(side)
        height, width = images.shape[2:]
        some = torch.randperm(len(images) if among is None else len(among), generator=rng)[: min(views or rays, rays)]
        chosen = some.to(images.device) if among is None else among[some.to(images.device)]
        pixels = torch.randint(height * width, (len(chosen), max(1, rays // len(chosen))), generator=rng)
        pixels = pixels.to(images.device)
        if self.gains is not None:
            useless = self._useless_at(side, self.gains).flatten(1)
            pixels = pixels.gather(1, others_for(useless[chosen[:, None], pixels]))
        x, y = pixels % width, pixels // width
        points = torch.stack([(x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1], dim=-1)
        return chosen, points, (images[chosen[:, None], :, y, x] + 1) / 2


def shrunk(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) at another size (h, w), anti-aliased."""
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def shrunk_to(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) with their longest side at most `side` px."""
    height, width = images.shape[2:]
    scale = side / max(height, width)
    return images if scale >= 1 else shrunk(images, (max(1, round(height * scale)), max(1, round(width * scale))))

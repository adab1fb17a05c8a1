"""What a method without poses looks at: all images, at any size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.task import Capture, ViewId
from methods.nerf.images.exposures import cut_off, evened, others_for

WHITE = (1.0, 1.0, 1.0)


@dataclass(kw_only=True)
class ImagePyramid:
    """N images (N, C, H, W) in [-1, 1] on one device, and smaller copies of them made when asked for."""

    ids: tuple[ViewId, ...]
    taken: Tensor  # as they were taken
    background: tuple[float, ...] | None  # [0, 1], (C,); None: a real background
    gains: Tensor | None = None  # (N, C), exposures of their own: see `expose`
    told: Tensor | None = None  # (N, C) bool: where a known background told them; None: nowhere
    behind: Tensor | None = None  # (N, H, W) bool: where that was cut off, and what it hangs together with
    images: Tensor = field(init=False)
    _copies: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _cut: dict[int, Tensor] = field(default_factory=dict, repr=False)  # (N, h, w): pixels that say nothing, by side

    def __post_init__(self) -> None:
        self.images = self.taken
        self.expose(self.gains)

    def expose(self, gains: Tensor | None) -> None:
        """From now on, `images` are as of one exposure, by the `gains` (N, C) that they were taken with
        (`exposures.py`); None: as they were taken."""
        if gains is None and self.gains is None:
            return
        self.gains = gains
        self._copies.clear()
        self._cut.clear()
        self.images = self.taken
        if gains is not None:
            self.images = evened((self.taken + 1) / 2, gains[:, :, None, None]) * 2 - 1

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
            ids=ids, taken=images * 2 - 1,
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

    def _cut_at(self, side: int) -> Tensor:
        """Which pixels (N, h, w) of the images at `side` have a part that was cut off."""
        if side not in self._cut:
            assert self.gains is not None
            cut = cut_off((self.taken.movedim(1, -1) + 1) / 2, self.gains[:, None, None])
            if self.behind is not None:
                cut &= ~self.behind
            self._cut[side] = shrunk_to(cut[:, None].float(), side)[:, 0] > 0
        return self._cut[side]

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
            cut = self._cut_at(side).flatten(1)
            pixels = pixels.gather(1, others_for(cut[chosen[:, None], pixels]))
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

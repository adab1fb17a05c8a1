"""Exposure time and white balance that each view has of its own.

A field has one colour for a place, whoever looks. Views of other exposures contradict each other, and it explains that
by fog before the cameras and by colours that turn with them. So a view has gains, one a channel, in linear light (Brown
and Lowe, *Automatic Panoramic Image Stitching*, IJCV 2007, sec. 6, with one for all channels): what the view shows, by
what the field shows there. Images are divided by them before anything learns from them.

A known background tells gains by itself, wherever it is not cut off, before there are poses or a field, and with them
what is as bright as it should be. Where it does not, the mean of the gains' logarithms is 0 in each channel, for the
brightness of all views at once is the field's. Views of one exposure have gains, too, then: things shine more to one
side than a field can say. So unless gains differ by more than that, images stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_propagation
from torch import Tensor

ROUNDS = 4
LEAST = 0.03  # share of a view's pixels: of fewer that tell something, nothing is said
EVIDENT = 0.12
"""How far apart gains are by more than what surfaces do: 1.48 times the median distance of their logarithms from the
median, in the channel where it is largest. In a fifth of a stop there is 0.14. With true poses and one exposure it is
0.01 (chair, the fox) to 0.09 (DTU scan24)."""

WHITE = 0.99  # of a channel, sRGB: what is brighter was cut off, and may have been brighter still ...
BLACK = 0.02  # ... and what is darker, in linear light, is noise to a ratio
LEAST = 0.03  # share of a view's pixels: of fewer that tell something, nothing is said
ROUNDS = 4  # after which gains, and what they cut off, have settled

EDGE = 2  # px of an image's edge that are looked at: its usual colour is the background's ...
PLAIN = 0.5  # ... if this share of them has it, ...
OTHER = 16 / 255  # ... give or take so much of each channel: what is further off is something else
OFF = 0.06  # of a gain's logarithm, how far from the usual one a view has another exposure ...
FEW = 0.1  # ... and the share of the views of which that must be so


class Told(NamedTuple):
    """Gains of N views, by their background."""

    gains: Tensor | None  # (N, C); None: they are alike
    surely: Tensor  # (N, C) bool: where it was not cut off
    behind: Tensor | None = None  # (N, H, W) bool: the background, where it was


def stops(found: Tensor) -> float:
    """The standard deviation of gains (N, C), all channels together, in stops (factors of two)."""
    return float(found.log2().mean(dim=1).std())


class Seen(NamedTuple):
    """Gains of N views, by a field."""

    gains: Tensor  # (N, C)
    scatter: Tensor  # (N, C): of the logarithms of their pixels' ratios, the median distance from the gain's


def gains(shown: Tensor, seen: Tensor) -> Seen:
    """Gains of N views: what they have `shown` at some pixels (N, P, C), by what is `seen` of a field there.

    Colours are sRGB in [0, 1]. Of the ratios of a view's pixels it is the median, by brightness; 1 where too few tell.
    """
    light, expected = linear(shown), linear(seen.clamp(0, 1))
    ratios = light.clamp(min=BLACK).log() - expected.clamp(min=BLACK).log()
    level = scatter = torch.zeros_like(ratios[:, 0])
    for _ in range(ROUNDS):
        # What should be cut off, and is not, is left out like what is: else dark pixels alone would tell.
        due = encoded(expected * level.exp()[:, None])
        tells = (shown < WHITE) & (due < WHITE) & (light > BLACK) & (expected > BLACK)
        enough, weights = tells.sum(dim=1) >= LEAST * shown.shape[1], expected * tells
        level = torch.where(enough, _medians(ratios, weights), 0.0)
        scatter = torch.where(enough, _medians((ratios - level[:, None]).abs(), weights), 0.0)
    return Seen(gains=level.exp(), scatter=scatter)


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Medians (N, C) of values (N, P, C), weighted."""
    order = values.argsort(dim=1, stable=True)
    sums = weights.gather(1, order).cumsum(dim=1)
    middle = (sums >= sums[:, -1:] / 2).long().argmax(dim=1, keepdim=True)
    return values.gather(1, order).gather(1, middle)[:, 0]


def centred(found: Tensor) -> Tensor:
    """Gains (N, C) whose logarithms have the mean 0 in each channel."""
    return (found.log() - found.log().mean(dim=0)).exp()


def background_gains(images: Tensor, background: Tensor) -> Told | None:
    """Gains of `images` (N, C, H, W), sRGB in [0, 1], before a `background` (C,) that is known; None where it is too
    dark to tell them.

    Most of an image's edge shows the background. Where that is not cut off it tells the gain. Of a view in which it is,
    the gain is 1 at least, and what makes the rest of the image as bright as it is in the others, in the median.
    """
    if bool((linear(background) < BLACK).any()):
        return None
    edges = images[:, :, :EDGE], images[:, :, -EDGE:], images[..., :EDGE], images[..., -EDGE:]
    edge = torch.cat([part.flatten(2) for part in edges], dim=2)
    colours = edge.median(dim=2).values  # (N, C)
    plain = ((edge - colours[..., None]).abs() < OTHER).all(dim=1).float().mean(dim=1) > PLAIN
    told = (colours < WHITE) & plain[:, None]
    level = torch.where(told, (linear(colours).clamp(min=1e-4) / linear(background)).log(), 0.0)
    apart = (level - level.median(dim=0).values).abs()
    if (apart > OFF).any(dim=1).float().mean() < FEW:
        return Told(gains=None, surely=torch.ones_like(told))
    other = (images - colours[:, :, None, None]).abs().amax(dim=1, keepdim=True) > OTHER
    count = other.sum(dim=(2, 3)).clamp(min=1)
    bright = ((linear(images) * other).sum(dim=(2, 3)) / count).clamp(min=1e-4).log()  # (N, C)
    usual = torch.where(told, bright - level, torch.nan).nanmedian(dim=0).values
    guess = (bright - usual).nan_to_num(0.0)
    guess = torch.where(colours < WHITE, guess, guess.clamp(min=0))
    return Told(gains=torch.where(told, level, guess).exp(), surely=told, behind=_reaching_the_edge(images > WHITE))


def _reaching_the_edge(white: Tensor) -> Tensor:
    """Which pixels (N, H, W) hang together with the edge by such as are `white` (N, C, H, W) in all channels."""
    masks = white.all(dim=1).cpu().numpy()
    edge = np.zeros_like(masks[0])
    edge[[0, -1]] = edge[:, [0, -1]] = True
    filled = np.stack([binary_propagation(edge & mask, mask=mask) for mask in masks])
    return torch.from_numpy(filled).to(white.device)


def differ(found: Seen) -> bool:
    """Whether gains are apart by more than what surfaces do, and by more than the pixels of one view are: where these
    disagree, the field is not what was seen, as long as it is fog or poses are wrong, and a view's gain is chance."""
    level = found.gains.log()
    apart = (level - level.median(dim=0).values).abs().median(dim=0).values
    scatter = found.scatter.median(dim=0).values
    return bool((1.48 * apart.max() > EVIDENT) & (apart.mean() > scatter.mean()))


def evened(colours: Tensor, gain: Tensor) -> Tensor:
    """`colours`, sRGB in [0, 1], without a `gain` that broadcasts with them. What was cut off stays so."""
    return torch.where(colours > WHITE, colours, encoded(linear(colours) / gain))


def cut_off(colours: Tensor, gain: Tensor) -> Tensor:
    """Which of `colours` (..., C) say nothing: white by a view's own exposure, with a `gain` (..., C) over 1."""
    return ((colours > WHITE) & (gain > 1)).any(dim=-1)


def others_for(cut: Tensor) -> Tensor:
    """Numbers (V, K) of the pixels to take, of V rows of K: where one is `cut` (V, K), another one of its row."""
    count = cut.shape[1]
    line = torch.arange(count, device=cut.device).expand_as(cut)
    kept = (~cut).sum(dim=1, keepdim=True)
    first = cut.long().argsort(dim=1, stable=True)  # those that are not cut, in their order
    return torch.where(cut & (kept > 0), first.gather(1, line % kept.clamp(min=1)), line)


def linear(colours: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """Linear light to sRGB in [0, 1]; too bright a light is cut off."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)

"""Exposure time and white balance that each view has of its own.

A field has one colour for a place, whoever looks. Views of other exposures contradict each other, and it explains that
by fog before the cameras and by colours that turn with them. So a view has gains, one a channel: the linear light that
it shows, by that of the scene (Brown and Lowe, *Automatic Panoramic Image Stitching*, IJCV 2007, sec. 6, with one gain
for all channels). Images are divided by them before anything learns from them.

Two things tell gains. A known background does, before there are poses or a field, where it is not clipped, which is cut
off at white. And a field does, as soon as it shows what views show: gains are what is left. By a field alone, the
brightness of all views at once is anybody's, so that the mean of the gains' logarithms is 0 in each channel; and views
of one exposure have gains, too, for things shine more to one side than a field can say. Unless they differ by more than
that, images stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_propagation
from torch import Tensor

WHITE = 0.99  # of a channel, sRGB: what is brighter was clipped, and may have been brighter still ...
BLACK = 0.02  # ... and what is darker, in linear light, is noise to a ratio
MOST = 2.1  # of a gain's logarithm, either way, three stops: what differs by more is something else

EDGE = 2  # px of an image's edge that are looked at: its usual colour is the background's ...
PLAIN = 0.75  # ... if this share of them has it, ...
OTHER = 16 / 255  # ... give or take so much of each channel: what is further off is something else
SAME = 6 / 255  # of each channel: nearer to the background's colour, and joined to the edge, it is the background
OFF = 0.06  # of a gain's logarithm, how far from the usual one a view has another exposure ...
FEW = 0.1  # ... and the share of the views of which that must be so

LEAST = 0.03  # share of a view's pixels: of fewer that tell something, nothing is said
ROUNDS = 4  # in which gains, and what these clip, come to agree
AGREE = 0.25
"""Scatter of the pixels of a view whose gain, by a field, is believed: of more, the field is fog there, or the view's
pose is wrong."""

EVIDENT = 0.12
"""Spread of gains by a field that is more than what surfaces do: 1.48 times the median distance of their logarithms
from the median, in the channel where it is largest. Exposures with a standard deviation of 0.2 stops have a spread of
0.14; with true poses and one exposure it is 0.01 (chair, the fox) to 0.09 (DTU scan24)."""

STAYS = 0.5  # of that spread, and of the pixels' scatter, that is enough once exposures were found to differ


class BackgroundGains(NamedTuple):
    """Gains of N views with C channels, by their background."""

    gains: Tensor | None  # (N, C); None: views are alike
    known: Tensor  # (N, C) bool: where the background was not clipped; others are guesses
    clipped: Tensor | None = None  # (N, H, W) bool: the background, in views where it was


class FieldGains(NamedTuple):
    """Gains of N views with C channels, by a field."""

    gains: Tensor  # (N, C)
    scatter: Tensor  # (N, C): median distance of the logarithms of a view's ratios from its gain's; inf: too few tell


def gains_by_background(view: Callable[[int], Tensor], count: int, background: Tensor) -> BackgroundGains | None:
    """Gains of `count` views, of which `view(k)` is the k-th, (C, H, W) sRGB in [0, 1], before a `background` (C,) that
    is known; None where it is too dark to tell them.

    Most of an image's edge shows the background. Where that is not clipped it tells the gain. Where it is, the gain is
    1 at least, and is guessed by how bright the rest of the image is in other views, in the median.
    """
    if bool((linear(background) < BLACK).any()):
        return None
    edges = torch.stack([_edge(view(number)) for number in range(count)])  # (N, C, E)
    colours = edges.median(dim=2).values  # (N, C)
    is_plain = ((edges - colours[..., None]).abs() < OTHER).all(dim=1).float().mean(dim=1) > PLAIN
    level = linear(colours).clamp(min=1e-4).log() - linear(background).log()
    is_clipped = colours >= WHITE
    known = is_plain[:, None] & ~is_clipped & (level.abs() < MOST)
    level = torch.where(known, level, 0.0)
    if not is_plain.any() or not _are_apart(level[is_plain]):
        return BackgroundGains(gains=None, known=torch.ones_like(known))
    bright = torch.stack([_brightness(view(number), colour) for number, colour in enumerate(colours)])  # (N, C)
    usual = torch.where(known, bright - level, torch.nan).nanmedian(dim=0).values
    guess = (bright - usual).nan_to_num(0.0).clamp(-MOST, MOST)
    guess = torch.where(is_clipped, guess.clamp(min=0), guess)
    shown = is_plain & is_clipped.any(dim=1)
    none = torch.zeros_like(view(0)[0], dtype=torch.bool)
    clipped = [_joined_to_edge(view(k), colours[k]) if bool(shown[k]) else none for k in range(count)]
    return BackgroundGains(gains=torch.where(known, level, guess).exp(), known=known, clipped=torch.stack(clipped))


def _edge(image: Tensor) -> Tensor:
    """Pixels (C, E) at the edge of an image (C, H, W)."""
    parts = image[:, :EDGE], image[:, -EDGE:], image[..., :EDGE], image[..., -EDGE:]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def _are_apart(level: Tensor) -> bool:
    """Whether more than a FEW of the logarithms (N, C) of gains are not the usual ones."""
    return bool(((level - level.quantile(0.5, dim=0)).abs() > OFF).any(dim=1).float().mean() > FEW)


def _brightness(image: Tensor, background: Tensor) -> Tensor:
    """Logarithm of the mean linear light (C,) of what in an image (C, H, W) is not of its background's colour (C,)."""
    other = (image - background[:, None, None]).abs().amax(dim=0) > OTHER
    return ((linear(image) * other).sum(dim=(1, 2)) / other.sum().clamp(min=1)).clamp(min=1e-4).log()


def _joined_to_edge(image: Tensor, background: Tensor) -> Tensor:
    """Which pixels (H, W) of an image (C, H, W) are of its background's colour (C,), and joined to the edge by such."""
    mask = ((image - background[:, None, None]).abs() < SAME).all(dim=0).cpu().numpy()
    edge = np.zeros_like(mask)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    return torch.from_numpy(binary_propagation(edge & mask, mask=mask)).to(image.device)


def gains_by_field(shown: Tensor, seen: Tensor) -> FieldGains:
    """Gains of N views: what they have `shown` at some pixels (N, P, C), by what is `seen` of a field there.

    Colours are sRGB in [0, 1]. Of the ratios of a view's pixels it is the median, by brightness; 1 where too few tell.
    """
    light, expected = linear(shown), linear(seen.clamp(0, 1))
    ratios = light.clamp(min=BLACK).log() - expected.clamp(min=BLACK).log()
    level = scatter = torch.zeros_like(ratios[:, 0])
    for _ in range(ROUNDS):
        # What should be clipped, and is not, is left out like what is: else dark pixels alone would tell.
        due = encoded(expected * level.exp()[:, None])
        tells = (shown < WHITE) & (due < WHITE) & (light > BLACK) & (expected > BLACK)
        enough, weights = tells.sum(dim=1) >= LEAST * shown.shape[1], expected * tells
        level = torch.where(enough, _medians(ratios, weights), 0.0).clamp(-MOST, MOST)
        scatter = torch.where(enough, _medians((ratios - level[:, None]).abs(), weights), torch.inf)
    return FieldGains(gains=level.exp(), scatter=scatter)


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted medians (N, C) of values (N, P, C)."""
    order = values.argsort(dim=1, stable=True)
    sums = weights.gather(1, order).cumsum(dim=1)
    middle = (sums >= sums[:, -1:] / 2).long().argmax(dim=1, keepdim=True)
    return values.gather(1, order).gather(1, middle)[:, 0]


def differ(found: FieldGains, *, already: bool = False) -> bool:
    """Whether gains are apart by more than what surfaces do, and by more than the pixels of one view are: where these
    do not agree, the field is not what was seen, for it is fog or poses are wrong, and a view's gain is chance.

    Of views that did differ `already`, half of that is enough.
    """
    level = found.gains.log()
    apart = (level - level.quantile(0.5, dim=0)).abs().quantile(0.5, dim=0)
    scatter, share = found.scatter.quantile(0.5, dim=0), STAYS if already else 1.0
    return bool((1.48 * apart.max() > share * EVIDENT) & (apart.mean() > share * scatter.mean()))


def centred(found: FieldGains) -> Tensor:
    """Gains (N, C) whose logarithms have the mean 0 in each channel, over the views whose pixels agree; 1 of others."""
    level, agree = found.gains.log(), found.scatter <= AGREE
    middle = (level * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)
    return torch.where(agree, level - middle, 0.0).exp()


def completed(before: Tensor, known: Tensor, found: FieldGains) -> Tensor:
    """Gains (N, C): those `before`, but by a field where they are not `known` and the pixels of a view agree."""
    return torch.where(known | (found.scatter > AGREE), before, found.gains)


def spread_in_stops(gains: Tensor) -> float:
    """The standard deviation of gains (N, C), the mean of all channels, in stops (factors of two)."""
    return float(gains.log2().mean(dim=1).std())


def evened(colours: Tensor, gains: Tensor) -> Tensor:
    """`colours`, sRGB in [0, 1], as of one exposure: without `gains` that broadcast with them. What is white stays."""
    return torch.where(colours > WHITE, colours, encoded(linear(colours) / gains))


def clipped(colours: Tensor, gains: Tensor) -> Tensor:
    """Which of `colours` (..., C) say nothing: white by a view's own exposure, with `gains` (..., C) over 1."""
    return ((colours > WHITE) & (gains > 1)).any(dim=-1)


def others_for(useless: Tensor) -> Tensor:
    """Numbers (V, K) of the pixels to take, of V rows of K: where one is `useless` (V, K), another one of its row."""
    line = torch.arange(useless.shape[1], device=useless.device).expand_as(useless)
    kept = (~useless).sum(dim=1, keepdim=True)
    first = useless.long().argsort(dim=1, stable=True)  # the others, in their order
    return torch.where(useless & (kept > 0), first.gather(1, line % kept.clamp(min=1)), line)


def linear(colours: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """Linear light to sRGB in [0, 1]; too bright a light is clipped."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)

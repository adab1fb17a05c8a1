"""The inversion network: from an image to the pose it was seen from (GNeRF sec. 3.3)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from methods.gnerf.initialise import initialise


class Cnn(nn.Module):
    """Images (B, C, S, S) in [-1, 1] -> pose variables (B, D): strided convolutions, for the fast preset."""

    def __init__(self, channels: int, side: int, width: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for level in range(round(math.log2(side)) - 2):
            wide = width * 2 ** min(level, 2)
            layers += [nn.Conv2d(inputs, wide, 3, 1, 1), nn.GroupNorm(8, wide), nn.SiLU()]
            layers += [nn.Conv2d(wide, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.SiLU()]
            inputs = wide
        self.side = side
        self.look = nn.Sequential(*layers)  # (B, inputs, 4, 4)
        self.tell = nn.Sequential(nn.Flatten(), nn.Linear(16 * inputs, 256), nn.SiLU(), nn.Linear(256, outputs))
        initialise(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        return self.tell(self.look(images))


class Attention(nn.Module):
    """Multi-head self-attention with a residual, then a small network with another (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int, head: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * heads * head, bias=False)
        self.gather = nn.Linear(heads * head, width)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.queries(self.norm(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)  # (B, heads, T, head)
        tokens = tokens + self.gather(seen.transpose(1, 2).flatten(2))
        return tokens + self.think(tokens)


class Vit(nn.Module):
    """Images (B, C, S, S) in [-1, 1] -> pose variables (B, D): the published network (patch 4, 256 wide, 6 deep)."""

    def __init__(
        self, channels: int, side: int, outputs: int, generator: torch.Generator, *, patch: int = 4, width: int = 256,
        depth: int = 6, heads: int = 16, head: int = 64, hidden: int = 256,
    ) -> None:  # fmt: skip
        super().__init__()
        self.side, self.patch = side, patch
        pixels = channels * patch**2
        self.embed = nn.Linear(pixels, width)
        self.place = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width, generator=generator))
        self.question = nn.Parameter(torch.randn(1, 1, width, generator=generator))
        self.layers = nn.Sequential(*(Attention(width, heads, head, hidden) for _ in range(depth)))
        self.tell = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))
        initialise(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        p = self.patch
        tokens = images.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
        tokens = torch.cat([self.question.expand(len(images), -1, -1), self.embed(tokens)], dim=1) + self.place
        return self.tell(self.layers(tokens)[:, 0])


def inversion_network(
    kind: Literal["vit", "cnn"], channels: int, side: int, outputs: int, generator: torch.Generator
) -> Cnn | Vit:
    """The network of this kind for square images of `side` px and pose variables of `outputs` numbers."""
    if kind == "vit":
        return Vit(channels, side, outputs, generator)
    return Cnn(channels, side, 32, outputs, generator)

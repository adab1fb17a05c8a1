"""Real patches against rendered ones (GNeRF sec. 3.2): the adversarial half of phase A."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from methods.gnerf.initialise import initialise

SCALE_FREQUENCIES = 4


class Discriminator(nn.Module):
    """Patches (B, C, 16, 16) of known scale (B, 1) -> logits (B,). Spectral and instance normalisation throughout."""

    def __init__(self, channels: int, widths: tuple[int, int, int], generator: torch.Generator) -> None:
        super().__init__()
        first, second, last = widths
        self.look = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, first, 4, 2, 1, bias=False)), nn.InstanceNorm2d(first), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(first, second, 4, 2, 1, bias=False)), nn.InstanceNorm2d(second), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(second, last, 4, 1, 0, bias=False)),
        )  # fmt: skip
        self.judge = nn.Sequential(
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(last + 1 + 2 * SCALE_FREQUENCIES, last, 1, bias=False)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(last, last, 1, bias=False)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(last, 1, 1, bias=False)),
        )  # fmt: skip
        initialise(self, generator)

    def forward(self, patches: Tensor, scale: Tensor) -> Tensor:
        angle = scale * 2.0 ** torch.arange(SCALE_FREQUENCIES, device=scale.device)
        waves = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)  # sin s, cos s, sin 2s, cos 2s, ...
        told = torch.cat([scale, waves], dim=1)[:, :, None, None]
        return self.judge(torch.cat([self.look(patches), told], dim=1)).flatten()


def discriminator_loss(
    discriminator: Discriminator, real: Tensor, real_scale: Tensor, fake: Tensor, fake_scale: Tensor, r1: float,
    augmented: Callable[[Tensor], Tensor],
) -> Tensor:  # fmt: skip
    """Non-saturating cross-entropy, and the R1 penalty on real patches (GNeRF eq. 5; Mescheder et al. 2018).

    The penalty is on the slope at the patches as they are, before they are `augmented`.
    """
    real = real.detach().requires_grad_()
    logits = discriminator(augmented(real), real_scale)
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    penalty = slope.square().flatten(1).sum(dim=1).mean()
    judged = discriminator(augmented(fake.detach()), fake_scale)
    return functional.softplus(-logits).mean() + functional.softplus(judged).mean() + r1 * penalty


def generator_loss(discriminator: Discriminator, fake: Tensor, scale: Tensor) -> Tensor:
    """What the field is taught by: to pass for real."""
    return functional.softplus(-discriminator(fake, scale)).mean()


def augment(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Differentiable augmentation (Zhao et al. 2020) of patches (B, C, H, W) in [-1, 1]: colour, and a hole of half
    the side (8 px of 16), its middle anywhere in the patch."""

    def uniform() -> Tensor:
        return torch.rand(len(patches), 1, 1, 1, generator=generator).to(patches.device)

    patches = patches + uniform() - 0.5  # brightness
    grey = patches.mean(dim=1, keepdim=True)
    patches = grey + (patches - grey) * 2 * uniform()  # saturation
    mean = patches.mean(dim=(1, 2, 3), keepdim=True)
    patches = mean + (patches - mean) * (0.5 + uniform())  # contrast
    side = patches.shape[-1]
    line = torch.arange(side, device=patches.device)
    y, x = (torch.floor(uniform() * (side + 1)) for _ in range(2))
    down, right = line[:, None] - y, line - x  # (B, 1, H, 1) and (B, 1, 1, W), from the middle of the hole
    hole = (down >= -(side // 4)) & (down < side // 4) & (right >= -(side // 4)) & (right < side // 4)
    return patches * ~hole

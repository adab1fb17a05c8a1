"""What a training of Gaussians does in a step: learn from an image, shake, move the dead, become more (Kheradmand et
al. 2024, arXiv 2404.09591, whose equations are meant)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.task import Camera
from methods.nerf.field.gaussians import GaussianField
from methods.nerf.gaussians.relocation import drawn, shared_out
from methods.nerf.gaussians.splats import rotation_matrices
from methods.nerf.training.image_loss import image_loss
from methods.nerf.training.rates import decayed

PARTS = ("means", "rotations", "scales", "opacities", "colours", "shine")
"""The parameters of a field, in the order in which a checkpoint numbers them."""

GATE = 100.0
"""How sharply noise ends where Gaussians are no longer nearly transparent (Kheradmand et al. 2024, eq. 8)."""


class GaussianTraining:
    """A field and Adam's state of it. `radius` is that of the cameras, in the field's unit."""

    def __init__(self, field: GaussianField, radius: float, pace: float) -> None:
        choices = field.choices
        self.field, self.choices, self.radius, self.pace = field, choices, radius, pace
        rates = {
            "means": choices.mean_lr * radius, "rotations": choices.rotation_lr, "scales": choices.scale_lr,
            "opacities": choices.opacity_lr, "colours": choices.colour_lr, "shine": choices.colour_lr / 20,
        }  # fmt: skip
        groups = [{"params": [getattr(field, name)], "lr": pace * rates[name], "name": name} for name in PARTS]
        self.adam = torch.optim.Adam(groups, eps=1e-15)

    def learn(self, target: Tensor, pose: Tensor, camera: Camera, background: Tensor, degree: int) -> Tensor:
        """Gradients of the loss of one image: `target` (H, W, C) in [0, 1], seen from `pose` (1, 4, 4). Returns the
        mean squared error, without gradient."""
        seen = self.field.draw(pose, camera, degree=degree).over(background)[0].reshape(target.shape)
        loss = image_loss(seen, target, self.choices.ssim)
        loss = loss + self.choices.opacity_weight * self.field.opacities.sigmoid().mean()
        loss = loss + self.choices.scale_weight * self.field.scales.exp().mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        return (seen.detach() - target).square().mean()

    def step(self, share: float) -> None:
        """Adam, after `share` of the steps."""
        self.adam.param_groups[0]["lr"] = self.pace * self.mean_rate(share)
        self.adam.step()

    def mean_rate(self, share: float) -> float:
        """The published learning rate of the means, in the field's unit."""
        return decayed(self.choices.mean_lr * self.radius, self.choices.mean_lr_decay, share)

    @torch.no_grad()
    def shake(self, share: float, generator: torch.Generator) -> None:
        """Noise on the means, as far as a Gaussian reaches and is nearly transparent (eq. 8). The generator is of the
        field's device."""
        field, size = self.field, self.choices.noise * self.mean_rate(share)
        noise = torch.randn(field.means.shape, generator=generator, device=field.device)
        gate = torch.sigmoid(GATE * (self.choices.dead - field.opacities.sigmoid()))
        axes = rotation_matrices(field.rotations) * field.scales.exp()[:, None]  # their product is the covariance
        spread = (axes @ (axes.transpose(1, 2) @ noise[..., None])).squeeze(-1)
        field.means.add_(size * gate[:, None] * spread)

    @torch.no_grad()
    def move_dead(self, generator: torch.Generator) -> int:
        """Dead Gaussians take the place of living ones, which share themselves out to them. Returns how many."""
        opacities = self.field.opacities.sigmoid()
        dead, alive = _parted(opacities <= self.choices.dead)
        if len(dead) == 0 or len(alive) == 0:
            return 0
        chosen = alive[drawn(opacities[alive], len(dead), generator)]
        self._share_out(opacities, chosen)
        for name in PARTS:
            values = getattr(self.field, name)
            values[dead] = values[chosen]
        self._forget(torch.cat([chosen, dead]))
        return len(dead)

    @torch.no_grad()
    def grow(self, most: int, generator: torch.Generator) -> int:
        """Up to `growth` times as many Gaussians, and `most` at the most: living ones share themselves out to new ones.
        Returns how many are new."""
        before = len(self.field)
        count = max(0, min(most, int(self.choices.growth * before)) - before)
        if count == 0:
            return 0
        opacities = self.field.opacities.sigmoid()
        chosen = drawn(opacities, count, generator)
        self._share_out(opacities, chosen)
        self._forget(chosen)
        for group in self.adam.param_groups:
            old = group["params"][0]
            new = nn.Parameter(torch.cat([old, old[chosen]]))
            if state := self.adam.state.pop(old, None):
                self.adam.state[new] = {
                    key: torch.cat([value, torch.zeros_like(old[chosen])]) if value.dim() > 0 else value
                    for key, value in state.items()
                }
            group["params"] = [new]
            setattr(self.field, group["name"], new)
        return count

    def _share_out(self, opacities: Tensor, chosen: Tensor) -> None:
        """Opacities and scales of the `chosen`, which are to be as many more as they are named."""
        times = torch.bincount(chosen, minlength=len(opacities))[chosen] + 1
        new, factor = shared_out(opacities[chosen], times)
        self.field.opacities[chosen] = new.clamp(self.choices.dead, 1 - 1e-6).logit()
        self.field.scales[chosen] += factor.log()[:, None]  # the same for each time that one is named

    def _forget(self, places: Tensor) -> None:
        """Adam's moments of these Gaussians: they are others now."""
        for group in self.adam.param_groups:
            for value in self.adam.state.get(group["params"][0], {}).values():
                if value.dim() > 0:
                    value[places] = 0


def _parted(mask: Tensor) -> tuple[Tensor, Tensor]:
    return mask.nonzero().squeeze(1), (~mask).nonzero().squeeze(1)

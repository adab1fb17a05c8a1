"""The published preset: the numbers of GNeRF, sec. 4, and of the authors' code, next to the paper.

Lengths, times and rates are in the published scene units, in which cameras are 4 from the object: see `poses.Family`.
Where paper and code differ, the paper is the default: `mlp.radiance.direction_frequencies=10` is the code's.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from methods.gnerf.schedule import SIDE, halved
from methods.nerf.config import FieldConfig
from methods.nerf.training.joint_schedule import Count, Positive, Share


class PublishedBudget(BaseModel):
    """Iterations of each phase, and images of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a: int = Field(ge=0)
    ab: int = Field(ge=0)
    b: int = Field(ge=0)
    batch: Count
    pose_pace: Positive = 1.0  # before a known background: times the rate of poses in B
    inversion_render: Count = 64  # px, at most, of the images that the inversion network is shown


class Published(BaseModel):
    """One network, patches of 16 x 16 px, RMSprop and Adam at the published rates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smoke: PublishedBudget = PublishedBudget(a=8, ab=6, b=8, batch=4, inversion_render=16)
    quick: PublishedBudget = PublishedBudget(a=12_000, ab=8_000, b=20_000, batch=12)
    full: PublishedBudget = PublishedBudget(a=12_000, ab=8_000, b=20_000, batch=12)

    # 8 layers, the input again before the fifth; 64 + 64 samples, the coarse ones fixed
    radiance: FieldConfig = FieldConfig(
        field="mlp", width=360, skip=3, encoding_pi=False, sampling="even", fine_samples=64, shared_network=True
    )
    patience: Count = 500  # iterations of a phase before which bad results mean nothing ...
    fog_until: int = Field(default=500, ge=0)  # ... and a field that shows one colour is no dead one
    elevation: Literal["angle", "given"] = "angle"  # uniform in the angle, as in the paper, or as the scene's card says
    bounds: Literal["prior", "images"] = "prior"  # near and far of the prior; or less, where the images show that
    reseed: bool = False  # whether views are re-seeded by render and compare, where the config leaves it open

    # adversarial (sec. 3.2) and inversion (sec. 3.3): all of A, and the first half of each iteration of AB
    side_start: Count = 16  # px, longest side of the real images, which grows ...
    side_a: Count = 128  # ... to this at the end of A ...
    side_ab: Count = 400  # ... and to this at the end of AB
    side_step: Count = 1  # ... in steps of so many
    anneal: Positive = 2e-4 * 20_000  # least patch scale: exp(-anneal * share of A and AB together)
    noise: float = Field(default=1.0, ge=0)  # std on the raw density at the start
    noise_until: Share = 0.25  # share of A and AB by which it has faded: 5,000 of 20,000 ...
    noise_left: Share = 2e-4  # ... to this share of it
    discriminator: tuple[Count, Count, Count] = (256, 512, 64)  # channels
    augmented: Share = 0.5  # how often a batch is augmented before it is judged
    r1: float = Field(default=10.0, ge=0)
    inversion: Literal["vit", "cnn"] = "vit"
    inversion_side: Literal[16, 32, 64, 128] = 64  # px
    pull: float = Field(default=0.1, ge=0)  # weight that draws pose embeddings to the inversion network's answers
    inversion_every: int = Field(default=0, ge=0)  # in B: it goes on learning, once in so many iterations (0: never)
    adversarial_every: Count = 1  # in AB: one adversarial iteration to so many photometric ones

    # photometric (sec. 3.4): patches of the images (in AB those of the adversarial step), at their full size in B
    photometric: float = Field(default=50.0, ge=0)  # weight of the mean squared error, colours in [-1, 1]
    sharp_at: Share = 0.0  # B: the images reach their full size

    # rates, and the iterations after which they halve (None: never)
    field_lr: Positive = 5e-4  # RMSprop
    discriminator_lr: Positive = 1e-4  # RMSprop
    field_halving: Count | None = 8_000
    pose_lr: Positive = 5e-3  # Adam, on pose variables
    inversion_lr: Positive = 1e-4  # Adam
    pose_halving: Count | None = 4_000
    focal_lr: Positive = 1e-3  # Adam, on the logarithm of the focal length, where it is free

    def least_scale(self, progress: float, side: int) -> float:
        """From 0.8 of the image down to one sample a pixel of the largest images: 16 of 400."""
        return min(0.8, max(math.exp(-self.anneal * progress), SIDE / self.side_ab))

    def family(self, prior: str) -> str:
        """The pose variables: a free position on Blender, position and rotation on DTU (sec. 4.1)."""
        return "position" if prior == "sphere" else "position+6d"

    def inversion_size(self, render: int, side: int) -> int:
        """Side of the pictures that the inversion network learns from, px, `render` at most; images are at `side`."""
        return min(render, self.inversion_side)

    def pose_rate(self, number: int, fine: float | None) -> float:
        """Of iteration `number` of all, per unit of the pose variables."""
        return halved(self.pose_lr, number, self.pose_halving)

    def focal_rate(self, progress: float, fine: float | None) -> float:
        return self.focal_lr

    def pixels(self, fine: float | None, budget: PublishedBudget) -> None:
        """Patches, in every phase, not single pixels."""
        return

"""Every choice of this method, with its default: this file is the only place where they live.

`field=grid` is the fast preset, `field=mlp` the published one; both run the same code.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.task import Effort
from methods.nerf.config import FieldConfig
from methods.nerf.training.joint_schedule import CoarseToFine, Count, Positive, Share

Phase = Literal["A", "AB", "B"]


class Budget(BaseModel):
    """What an effort pays for: iterations of each phase, images of a batch, and pixels of a photometric step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a: int = Field(ge=0)
    ab: int = Field(ge=0)
    b: int = Field(ge=0)
    batch: Count
    rays: Count = 8192  # grid, phase B
    side: int = Field(default=160, gt=8)  # grid, phase B: the final grid has side^3 voxels
    inversion_render: Count = 32  # px, at most, of the images that the inversion network is shown


class Preset(BaseModel):
    """The numbers of one way of doing it. The defaults are the published ones (GNeRF sec. 4 and the authors' code)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smoke: Budget = Budget(a=8, ab=6, b=8, batch=4, inversion_render=16)
    quick: Budget = Budget(a=12_000, ab=8_000, b=20_000, batch=12, inversion_render=64)
    full: Budget = Budget(a=12_000, ab=8_000, b=20_000, batch=12, inversion_render=64)

    # phase A, and the first half of each AB iteration: adversarial (sec. 3.2) and inversion (sec. 3.3)
    side_start: Count = 16  # px, longest side of the real images, which grows ...
    side_a: Count = 128  # ... to this at the end of A ...
    side_ab: Count = 400  # ... and to this at the end of AB
    anneal: Positive = 2e-4 * 20_000  # least patch scale: exp(-anneal * share of A and AB together)
    noise: float = Field(default=1.0, ge=0)  # std on the raw density at the start
    noise_until: Share = 0.25  # share of A and AB by which it has faded: 5,000 of 20,000
    discriminator: tuple[Count, Count, Count] = (256, 512, 64)  # channels
    augmented: Share = 0.5  # how often a batch is augmented before it is judged
    r1: float = Field(default=10.0, ge=0)
    inversion: Literal["vit", "cnn"] = "vit"
    inversion_side: Literal[16, 32, 64, 128] = 64  # px
    pull: float = Field(default=0.1, ge=0)  # weight that draws pose embeddings to the inversion network's answers;
    # with 0 they take them over at the end of phase A
    inversion_every: int = Field(default=0, ge=0)  # in B: it goes on learning, once in so many iterations (0: never)
    adversarial_every: Count = 1  # in AB: one adversarial iteration to so many photometric ones

    # learning rates, and the iterations after which they halve (None: never)
    field_lr: Positive = 5e-4  # mlp: RMSprop
    discriminator_lr: Positive = 1e-4  # RMSprop
    field_halving: Count | None = 8_000
    pose_lr: Positive = 5e-3  # Adam, on pose variables in units of the prior's radius
    inversion_lr: Positive = 1e-4  # Adam
    pose_halving: Count | None = 4_000
    focal_lr: Positive = 1e-3  # Adam, on the logarithm of the focal length, where it is free

    radiance: FieldConfig = FieldConfig(
        field="mlp", width=360, fine_samples=64, shared_network=True
    )  # 8 layers, 64 + 64 samples

    # photometric steps (sec. 3.4)
    photometric: float = Field(default=50.0, ge=0)  # weight of the mean squared error, colours in [-1, 1];
    # the grid's steps of Adam and RMSprop do not see it
    rays_ab: Count | None = None  # random pixels of all views in AB; None: patches, as published


class GridPreset(CoarseToFine, Preset):
    """The fast preset: dense voxels, coarse to fine. Rates are those of one step of RMSprop (A, AB) or Adam (B)."""

    smoke: Budget = Budget(a=30, ab=30, b=60, batch=8, rays=2048, side=40, inversion_render=16)
    quick: Budget = Budget(a=150, ab=240, b=1000, batch=16)
    full: Budget = Budget(a=150, ab=240, b=4000, batch=16, rays=8192, side=256)

    side_a: Count = 36
    side_ab: Count = 64
    anneal: Positive = 3.0
    noise: float = Field(default=3.0, ge=0)
    discriminator: tuple[Count, Count, Count] = (64, 128, 32)
    discriminator_lr: Positive = 2e-4
    inversion: Literal["vit", "cnn"] = "cnn"
    inversion_side: Literal[16, 32, 64, 128] = 32
    inversion_lr: Positive = 3e-4
    pull: float = Field(default=0.0, ge=0)
    inversion_every: int = Field(default=8, ge=0)
    adversarial_every: Count = 4
    field_halving: Count | None = None
    pose_lr: Positive = 1e-2
    pose_halving: Count | None = None
    rays_ab: Count | None = 4096

    pose_lr_b: Positive = 8e-3  # a constant rate would leave poses trembling, ...
    pose_decay: Positive = 0.02  # ... and an early decay would freeze them before they have settled


class GnerfConfig(BaseModel):
    """The switches of the method; the numbers of its two presets are in `grid` and `mlp`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: Literal["grid", "mlp"] = "grid"

    # what it is given
    prior: Literal["given", "learned"] = "given"  # learned: from AB on, drawn from the poses found so far
    pose_family: Literal["prior", "sphere", "sphere+jitter", "full"] = "prior"
    intrinsics: Literal["given", "unknown"] = "given"  # unknown: one focal length is optimised with the poses
    masks: bool = False  # cut the object out of a real background, where there are masks

    # the ablations of the paper (sec. 4.3), and those of what was added to it
    schedule: Literal["A-AB-B", "A-B", "AB", "B"] = "A-AB-B"
    adversarial: bool = True
    inversion: bool = True
    photometric: bool = True
    reseed: bool = True  # views are re-seeded by render and compare

    # re-seeding (reseed.py)
    reseed_every: Count = 25  # iterations of AB
    reseed_at: tuple[Share, ...] = (0.0, 0.12, 0.24, 0.48)  # of phase B
    candidates: Count = 1000  # poses drawn from the prior
    reseed_side: Count = 24  # px
    reseed_gain: Share = 0.8  # a view moves where the best candidate's error is below this share of its present one
    hypotheses: Count = 3  # distinct poses of a doubtful view that are tried out in phase B

    restarts: int = Field(default=2, ge=0)  # after a collapse, before giving up
    ab_at_least: Share = 0.5  # AB may end after this share of its iterations, when re-seeding has found nothing to do
    ab_at_most: float = Field(default=1.5, ge=1)  # ... and goes on for so many times its length while it has

    grid: GridPreset = GridPreset()
    mlp: Preset = Preset()

    @property
    def preset(self) -> Preset:
        return self.grid if self.field == "grid" else self.mlp

    def budget(self, effort: Effort) -> Budget:
        budget: Budget = getattr(self.preset, effort)
        return budget

    def phases(self, effort: Effort) -> dict[Phase, int]:
        """Iterations of each phase that the schedule has, in order."""
        budget = self.budget(effort)
        lengths: dict[Phase, int] = {"A": budget.a, "AB": budget.ab, "B": budget.b}
        wanted = self.schedule.split("-")
        if not self.photometric:
            wanted = [name for name in wanted if name != "B"]
        if self.schedule == "AB":
            lengths["AB"] = budget.a + budget.ab + budget.b
        return {name: lengths[name] for name in lengths if name in wanted and lengths[name] > 0}

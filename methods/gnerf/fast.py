"""The fast preset: the same phases on voxels, coarse to fine; minutes on a laptop.

Before a real background AB is another one (`*_open`): photometric alone, on a field anew, whose voxels become finer;
and in B the field begins anew, too.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from methods.gnerf.schedule import SIDE, halved
from methods.nerf.training.joint_schedule import CoarseToFine, Count, FinalGrid, Positive, Share
from methods.nerf.training.rates import decayed


class FastBudget(FinalGrid):
    """Iterations of each phase, images of a batch, and what a photometric step and the final grid cost."""

    a: int = Field(ge=0)
    ab: int = Field(ge=0)
    ab_open: int | None = Field(default=None, ge=0)  # iterations of AB before a real background; None: those of `ab`
    beginnings: Count = 1  # before a real background and of few views: so many, of which the best goes on
    b: int = Field(ge=0)
    batch: Count
    rays: Count = 8192  # pixels of an iteration of B
    pose_pace: Positive = 1.0  # before a known background: times the rate of poses once the field is fine
    inversion_render: Count = 32  # px, at most, of the images that the inversion network is shown


class Fast(CoarseToFine):
    """Dense voxels (the inherited options), random pixels of all views, re-seeding, poses refined in B."""

    smoke: FastBudget = FastBudget(
        a=80, ab=80, b=140, batch=8, rays=2048, side=40, inversion_render=16, coarse_anew=16, fine_anew=30
    )
    quick: FastBudget = FastBudget(a=150, ab=240, ab_open=1350, beginnings=4, b=1000, batch=16)
    full: FastBudget = FastBudget(
        a=150,
        ab=240,
        ab_open=1350,
        beginnings=4,
        b=4000,
        batch=16,
        side=256,
        side_closed=144,
        side_late=224,
        pose_pace=0.125,
    )

    coarse_sides_open: tuple[Annotated[int, Field(gt=3)], ...] = Field(
        default=(16, 32, 16, 32, 64, 96), min_length=1
    )  # AB before a real background: voxels to an edge, in turn; where they are no finer than before, the field is new
    # fields in B before a real background; 0: one, that goes on from AB's. Where matched features gave half of the
    # poses, and `posed_open` is so, there are two
    anew_open: int = Field(default=3, ge=0)
    bundle_open: bool = True  # all poses adjusted at once before each of these
    posed_open: bool = True
    seen_by_open: Share = 0.2
    patience: Count = 100  # iterations of a phase before which bad results mean nothing ...
    fog_until: int = Field(default=0, ge=0)  # ... and a field that shows one colour is no dead one
    few_views: int = Field(default=30, ge=0)  # fewer views than this have several beginnings before any background
    bounds: Literal["prior", "images"] = "images"  # no larger than what they show before a known background
    reseed: bool = True  # whether views are re-seeded by render and compare, where the config leaves it open

    # adversarial (sec. 3.2) and inversion (sec. 3.3): all of A, and one iteration in four of AB
    side_start: Count = 16  # px, longest side of the real images, which grows ...
    side_a: Count = 36  # ... to this at the end of A ...
    side_ab: Count = 64  # ... and to this at the end of AB
    side_step: Count = 4  # ... in steps of so many
    anneal: Positive = 3.0  # least patch scale: exp(-anneal * share of A and AB together)
    noise: float = Field(default=3.0, ge=0)  # std on the raw density of the voxels at the start
    noise_until: Share = 0.25  # share of A and AB by which it has faded ...
    noise_left: Share = 0.0  # ... to this share of it
    discriminator: tuple[Count, Count, Count] = (64, 128, 32)  # channels
    augmented: Share = 0.5  # how often a batch is augmented before it is judged
    r1: float = Field(default=10.0, ge=0)
    inversion: Literal["vit", "cnn"] = "cnn"
    inversion_side: Literal[16, 32, 64, 128] = 32  # px
    pull: float = Field(default=0.0, ge=0)  # 0.1: the published regulariser; 0: none
    # in B, of fields that begin anew once the last one is fine: it goes on learning, once in so many iterations (0:
    # never)
    inversion_every: int = Field(default=8, ge=0)
    adversarial_every: Count = 4  # in AB: one adversarial iteration to so many photometric ones

    # photometric (sec. 3.4)
    rays_ab: Count = 4096  # random pixels of all views in AB

    # rates: those of one step of RMSprop (A, AB) or Adam (B); the voxels' are among the inherited options
    discriminator_lr: Positive = 2e-4  # RMSprop
    field_halving: Count | None = None  # iterations after which the discriminator's rate halves
    inversion_lr: Positive = 3e-4  # Adam
    pose_lr: Positive = 1e-2  # Adam, on pose variables: per radius of the prior
    pose_halving: Count | None = None  # iterations after which it and the inversion network's rate halve
    pose_lr_b: Positive = 8e-3  # a constant rate would leave poses trembling, ...
    pose_decay: Positive = 0.02  # ... and an early decay would freeze them before they are right
    # of B: until then, poses that matched features gave rest: not before a known background, where images tell poses
    # better, ...
    held_until: Share = 0.0
    # ... but before a real one until the last stage of grow_at; where `posed_open` is so and half of all were given,
    # until all are adjusted
    held_until_open: Share = 0.5
    focal_lr: Positive = 2e-2  # Adam, on the logarithm of the focal length, where it is free
    focal_from: Share = 0.65  # of A and AB together: it rests until the poses are about right, ...
    # at the start of B it goes on by this share of the way that it has come: a field that took shape on that way holds
    # it back
    focal_lead: float = Field(default=0.5, ge=0)
    focal_until: Share = 0.8  # ... goes on at this rate for so much of B, for a field follows it slowly, and settles

    def least_scale(self, progress: float, side: int) -> float:
        """From 0.8 of the image down to one sample a pixel of its `side`."""
        return min(0.8, max(math.exp(-self.anneal * progress), SIDE / side))

    def family(self, prior: str) -> str:
        """The pose variables: what the prior varies."""
        return prior

    def inversion_size(self, render: int, side: int) -> int:
        """Side of the pictures that the inversion network learns from, px, `render` at most; images are at `side`."""
        return min(render, self.inversion_side, side)

    def pose_rate(self, number: int, fine: float | None) -> float:
        """Of iteration `number` of all, `fine` of the fine ones being over (None: coarse); per radius of the prior."""
        if fine is not None:
            return decayed(self.pose_lr_b, self.pose_decay, fine)
        return halved(self.pose_lr, number, self.pose_halving)

    def focal_rate(self, progress: float, fine: float | None) -> float:
        """`progress` of A and AB, and `fine` of the fine iterations being over (None: coarse)."""
        if fine is None:
            return self.focal_lr if progress >= self.focal_from else 0.0
        settling = max(0.0, fine - self.focal_until) / max(1e-6, 1 - self.focal_until)
        return decayed(self.focal_lr, self.pose_decay, min(1.0, settling))

    def pixels(self, fine: float | None, budget: FastBudget) -> int:
        """How many random pixels of all views a photometric step takes."""
        return self.rays_ab if fine is None else budget.rays

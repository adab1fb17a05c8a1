"""All that a fit changes: field, focal length, poses, the two networks, and their optimisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.task import Capture, Effort, PosePrior
from methods.gnerf.anew import LED, FieldsAnew
from methods.gnerf.config import GnerfConfig
from methods.gnerf.discriminator import Discriminator
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.generator import Generator, GridGenerator, NetworkGenerator, bounds_of, published_bounds
from methods.gnerf.inversion import inversion_network
from methods.gnerf.poses import Family
from methods.gnerf.published import Published
from methods.gnerf.schedule import Iteration, Plan
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import generator as generator_of
from methods.nerf.training.exposing import expose_by_field
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer


@dataclass(frozen=True, kw_only=True)
class Body:
    """Views that keep their relative poses: a rigid group, in the frame of the prior as far as the prior can say."""

    views: Tensor  # (K,) their numbers
    poses: Tensor  # (K, 4, 4)


class Model:
    """One attempt at one capture. The randomness of its beginning comes from `seed` alone."""

    def __init__(
        self, capture: Capture, sight: ImagePyramid, config: GnerfConfig, effort: Effort, seed: int, *,
        freed: bool = False,
    ) -> None:  # fmt: skip
        """`freed`: poses have all six degrees of freedom, whatever the prior's family says."""
        if capture.prior is None:
            raise ValueError("gnerf: needs a pose prior")
        self.capture, self.config, self.sight = capture, config, sight
        self.effort: Effort = effort
        self.preset, self.budget = config.numbers, config.budget(effort)
        self.device = sight.images.device
        rng = generator_of(seed, -1)
        height, width = sight.images.shape[2:]
        self.intrinsics = Intrinsics(
            capture.camera or Intrinsics.guessed(width, height), free=capture.camera is None
        ).to(self.device)  # fmt: skip
        self.prior: PosePrior = capture.prior
        if isinstance(self.preset, Published) and self.preset.elevation == "angle":
            self.prior = replace(self.prior, elevation_by="angle")
        own = self.preset.family(self.prior.family)
        named = own if config.pose_family == "preset" else config.pose_family
        self.answer_family = Family.of(self.prior, named, self._log_stretch)  # what the inversion network says
        self.family = Family.of(self.prior, "full", self._log_stretch) if freed else self.answer_family
        self.freed = freed
        self.learned: Tensor | None = None  # pose variables (N, D) that the prior was learned from
        self.held: Tensor | None = None  # (N,) bool: views whose poses are those of a rigid group; None: no view's

        if isinstance(self.preset, Published) and self.preset.bounds == "prior":
            bounds = published_bounds(self.prior, self.family)
        else:
            bounds = bounds_of(
                self.prior, sight, self.intrinsics, shrink=self.preset.bounds == "images",
                dolly=self.family.log_stretch is not None, freed=freed,
            )  # fmt: skip
        self.rests = True  # whether views that are held rest for the first part of B, or all of it
        # whether AB is that before a real background
        self.open = isinstance(self.preset, Fast) and bounds.contract and config.photometric
        self.anew: FieldsAnew | None = None  # in the B before a real background: its fields, and its cameras
        colour = sight.background or ((sight.images.mean(dim=(0, 2, 3)) + 1) / 2).tolist()
        background = torch.tensor(colour, dtype=torch.float32, device=self.device)
        self.generator: Generator = (
            GridGenerator(bounds, background, self.preset, self.budget, rng, open=self.open)
            if isinstance(self.preset, Fast) and isinstance(self.budget, FastBudget)
            else NetworkGenerator(bounds, background, config.mlp, effort, rng)
        )
        channels = sight.channels
        self.discriminator = Discriminator(channels, self.preset.discriminator, rng).to(self.device)
        self.inversion = inversion_network(
            self.preset.inversion, channels, self.preset.inversion_side, self.answer_family.size, rng
        ).to(self.device)  # fmt: skip
        # The published embeddings all start at one point, from which they are pulled to the network's answers; spread
        # over the prior they are no worse, and schedules without a pull have something to start from.
        start = self.family.encode(self.sample(len(sight.ids), rng))
        if isinstance(self.preset, Published) and self.pulled:
            start = torch.zeros_like(start)
            start[:, self.family.up] = 1.0
        self.variables = nn.Parameter(start)

        self.teach_discriminator = torch.optim.RMSprop(
            self.discriminator.parameters(), lr=self.preset.discriminator_lr
        )  # fmt: skip
        betas = (0.9, 0.99)
        self.teach_inversion = torch.optim.Adam(self.inversion.parameters(), lr=self.preset.inversion_lr, betas=betas)
        self.move_poses = torch.optim.Adam([self.variables], lr=self.preset.pose_lr, betas=betas)
        self.move_focal = torch.optim.Adam([self.intrinsics.log_zoom], lr=self.preset.focal_lr, betas=betas)

    @property
    def _log_stretch(self) -> Tensor | None:
        """A free focal length takes the cameras along: twice as long, twice as far away (a dolly zoom).

        What is near the look-at point keeps its size in the images, so that the focal length feels the perspective
        alone, and need not wait for the field to shrink. The scale of the scene is a gauge: nobody can tell it.
        """
        return self.intrinsics.log_zoom if self.intrinsics.free and isinstance(self.preset, Fast) else None

    @property
    def found_prior(self) -> PosePrior:
        """The prior at the distances that cameras have by now."""
        if self.family.log_stretch is None:
            return self.prior
        far = float(self.family.log_stretch.detach().exp())
        (low, high), prior = self.prior.radius, self.prior
        return replace(
            prior, radius=(low * far, high * far), look_at_std=prior.look_at_std * far, near=prior.near * far,
            far=prior.far * far,
        )  # fmt: skip

    @property
    def pulled(self) -> bool:
        """Whether pose variables are drawn to the inversion network's answers (GNeRF eq. 8)."""
        return self.preset.pull > 0 and self.config.inversion and self.config.schedule != "B"

    def poses(self) -> Tensor:
        """(N, 4, 4) of all views, differentiably."""
        return self.family.decode(self.variables) if self.anew is None else self.anew.moving.cameras.poses()

    @property
    def fields_anew(self) -> int:
        """How many fields begin anew in B; 0: the one of AB goes on.

        Two where matched features gave half of the poses or more, and these rest. A free focal length moves cameras by
        other rules.
        """
        if self.anew is not None:
            return len(self.anew.joint.courses)
        config = self.config
        apt = self.open and config.schedule == "A-AB-B" and config.reseeds and self.budget.b > 0
        if not apt or self.intrinsics.free:
            return 0
        if self.held is None:
            return config.grid.anew_open
        as_posed = self.rests and config.grid.posed_open and 2 * int(self.held.sum()) >= len(self.held)
        return LED if as_posed else 0

    @property
    def plan(self) -> Plan:
        return self.config.plan(self.effort, open=self.open, anew=self.fields_anew)

    def begin_anew(self) -> FieldsAnew:
        """From now on poses are free of the prior's family."""
        assert isinstance(self.generator, GridGenerator)
        if self.anew is None:
            poses, held = self.poses().detach(), () if self.held is None else self.held.nonzero()[:, 0].tolist()
            self.anew = FieldsAnew.of(self.generator, self.intrinsics, poses, self.sight, self.effort, held)
        return self.anew

    @property
    def known(self) -> Tensor | None:
        """Poses (K, 4, 4) of the views that are held; None where none is, or none any more."""
        if self.held is None or not self.held.any():
            return None
        return self.poses().detach()[self.held]

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """`count` poses (count, 4, 4) from the prior; once it has been learned, four in five of them from there."""
        seed = int(torch.randint(2**62, (1,), generator=rng))
        poses = torch.from_numpy(self.prior.sample(np.random.default_rng(seed), count)).float().to(self.device)
        poses = self.family.stretched(poses).detach()
        if self.learned is None:
            return poses
        chosen = torch.randint(len(self.learned), (count,), generator=rng)
        spread = 0.1 * self.family.radius / self.family.unit
        around = self.learned[chosen] + spread * torch.randn(count, self.family.size, generator=rng).to(self.device)
        keep = (torch.rand(count, generator=rng) < 0.2).to(self.device)
        return torch.where(keep[:, None, None], poses, self.family.decode(around).detach())

    @torch.no_grad()
    def inverted(self) -> Tensor:
        """The inversion network's answers (N, D) to all training images, variables of `answer_family`."""
        return torch.cat([self.inversion(part) for part in self.sight.square(self.preset.inversion_side).split(64)])

    @torch.no_grad()
    def place(self, views: Tensor, variables: Tensor) -> None:
        """Put `views` (K,) somewhere else; their optimiser forgets where they were going."""
        self.variables[views] = variables
        if self.held is not None:
            self.held[views] = False
        for value in self.move_poses.state.get(self.variables, {}).values():
            if value.dim():
                value[views] = 0.0

    def releases(self, iteration: Iteration) -> bool:
        """Whether views that are held may move in an iteration."""
        if self.held is None:
            return True
        grid = self.config.grid
        until = (grid.held_until_open if self.open else grid.held_until) if self.rests else 0.0
        return iteration.fine is not None and iteration.fine >= until

    def step_poses(self, *, release: bool) -> None:
        """One step of their optimiser; views that are held stay where they are until there is a `release`."""
        held = None if release else self.held
        before = None if held is None else self.variables.detach()[held].clone()
        self.move_poses.step()
        if held is not None and before is not None:
            with torch.no_grad():
                self.variables[held] = before

    def begin_refinement(self) -> None:
        """The field has become finer: variables of their natural size, and an optimiser without a past."""
        with torch.no_grad():
            self.variables.copy_(self.family.settled(self.variables))
        self.move_poses.state.clear()

    @torch.no_grad()
    def lead_focal(self) -> None:
        """A free focal length goes on by a share of the way it has come since the first guess, the cameras with it.

        The field has taken its shape on that way and gives the perspective up slowly, so that it is short of the
        optimum by a part of the way; from a little beyond, it comes back sooner than it would have got there. Where
        matched features told it, it has not come that way.
        """
        if self.family.log_stretch is not None and self.held is None:
            self.intrinsics.log_zoom.mul_(1 + self.config.grid.focal_lead)

    def expose(self, *, early: bool = False) -> None:
        """See the images as of one exposure, by what the field shows; `early`, where poses may be wrong, only if a
        background tells some."""
        can = isinstance(self.preset, Fast) and self.preset.radiance.exposures
        if can and (self.sight.gains_known is not None or not early):
            expose_by_field(self.sight, self.generator.field, self.intrinsics.estimate(), self.poses().detach())

    def learn_prior(self) -> None:
        """From now on poses are drawn from where the views have been found to be."""
        self.learned = self.variables.detach().clone()

    def _parts(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "inversion": self.inversion, "intrinsics": self.intrinsics}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "teach_discriminator": self.teach_discriminator, "teach_inversion": self.teach_inversion,
            "move_poses": self.move_poses, "move_focal": self.move_focal,
        }  # fmt: skip

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """JSON and tensors of a checkpoint: all there is."""
        state, tensors = self.generator.state() if self.anew is None else self.anew.state()
        state["rests"], state["anew"] = self.rests, self.anew is not None
        tensors = {f"generator/{name}": value for name, value in tensors.items()}
        for part, module in self._parts().items():
            tensors |= {f"{part}/{name}": value for name, value in module.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            tensors |= optimizer_tensors(optimiser, f"{name}/")
        tensors["variables"] = self.variables
        for name in ("learned", "held"):
            if (value := getattr(self, name)) is not None:
                tensors[name] = value
        if self.sight.gains is not None and self.anew is None:
            tensors["gains"] = self.sight.gains
        return state, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        def under(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(prefix + "/")}

        self.rests = state["rests"]
        for part, module in self._parts().items():
            module.load_state_dict(under(part))
        with torch.no_grad():
            self.variables.copy_(tensors["variables"])
        for name, optimiser in self._optimisers().items():
            restore_optimizer(optimiser, f"{name}/", tensors)
        for name in ("learned", "held"):
            setattr(self, name, tensors[name].to(self.device) if name in tensors else None)
        if not state["anew"]:
            self.sight.retake(tensors["gains"].to(self.device) if "gains" in tensors else None)
            self.generator.restore(state, under("generator"))
            return
        self.begin_anew().restore(state, under("generator"))  # its cameras begin where AB left the variables

"""How a field is trained whose cameras are not known: numbers alone, importing nothing heavy.

`JointGridSchedule` is the fast way, coarse to fine in images and voxels; `JointMlpSchedule` the published one, a
network whose rates decay exponentially.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from methods.nerf.config import Budget, FieldConfig

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Draw(NamedTuple):
    """The pixels of one iteration."""

    side: int  # px, longest side of the images that they are drawn from
    rays: int  # how many
    views: int | None = None  # from how many of the views; None: all
    among: tuple[int, ...] | None = None  # of the views of these numbers; None: of all


def in_equal_shares(sides: Sequence[int], length: int) -> dict[int, int]:
    """From which of `length` iterations on there are how many voxels to an edge."""
    return {round(stage / len(sides) * length): side for stage, side in enumerate(sides)}


class CoarseToFine(BaseModel):
    """From what the grid grows, how, and how fast it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    radiance: FieldConfig = FieldConfig()  # of the fine grid: the coarse one has a colour of its own, see coarse_*
    coarse_side: int = Field(default=32, gt=3)  # voxels along an edge of the coarse grid
    coarse_gain: Positive = 1.3  # density where softplus(raw) = 1: soft enough to grow out of fog
    coarse_start: float = -1.0  # raw density at the start, give or take a tenth
    # before a real background: voxels along an edge of the coarse grid, one after another in equal shares of its
    # iterations, for in squeezed space 96 of them are as fine, in the image, as 32 around an object ...
    coarse_sides_open: tuple[Annotated[int, Field(gt=3)], ...] = Field(default=(16, 32, 64, 96), min_length=1)
    # ... and the share of these, and of the fine ones,
    pose_ramp: Share = 0.03  # in which poses reach their rate whenever the field has become another
    # how often the field begins anew from the poses that the last one has found, coarse at first, as above, without
    # views that are lost. With `bundle_open` poses, and a free focal length, are adjusted first, all at once, by where
    # images show what the last one has learnt (`bundled.py`), and what sees too little of it is lost; else, and where
    # too few see enough, what that field explained worst (`lost_views.py`) ...
    anew_open: int = Field(default=0, ge=0)
    bundle_open: bool = False
    sides_anew: tuple[Annotated[int, Field(gt=3)], ...] = Field(default=(48, 96), min_length=1)
    # ... until, after this share of its coarse iterations, these are placed anew, and poses move
    rest_anew: Share = 0.9
    # the last of these fields is trained as where poses are known, by `radiance` (`posed_grid.py`), and poses rest, if
    # all that were adjusted at once (`bundle_open`) hang together: what makes a field better draws poses after it
    posed_open: bool = False
    # ... and after this share of its iterations they are adjusted once more, by what it has learnt so well (0: never)
    bundle_late: float = Field(default=0.2, ge=0, lt=1)
    # where all look at one thing, by what share of the views something must be seen that is nearer to some camera than
    # 0.7 of its distance (0: by none)
    seen_by_open: Share = 0.0
    # everywhere
    density_lr: Positive = 0.2
    colour_lr: Positive = 0.02
    growth: tuple[Share, ...] = (0.4, 0.7, 1.0)  # fine: shares of the final side ...
    grow_at: tuple[Share, ...] = (0.0, 0.25, 0.5)  # ... from these shares of its iterations on
    sharp_at: Share = 0.25  # fine: the images reach their full size
    fine_density_lr: Positive = 0.6
    fine_colour_lr: Positive = 0.05
    fine_decay: Positive = 0.2  # what is left of them in the end

    def stages_open(self, length: int) -> dict[int, int]:
        """From which of `length` coarse iterations before a real background on there are how many voxels to an edge."""
        return in_equal_shares(self.coarse_sides_open, length)

    @model_validator(mode="after")
    def _fine_from_its_beginning(self) -> Self:
        if len(self.growth) != len(self.grow_at) or list(self.grow_at) != sorted({0.0, *self.grow_at}):
            raise ValueError("growth and grow_at need one entry for each stage, grow_at in rising order from 0")
        for effort in ("smoke", "quick", "full"):
            budget = getattr(self, effort, None)
            if isinstance(budget, FinalGrid) and budget.side_late is not None and budget.late_from <= self.grow_at[-1]:
                raise ValueError(f"{effort}.late_from={budget.late_from:g} must come after the last entry of grow_at")
        return self


class FinalSides(NamedTuple):
    """Voxels along an edge of a grid at its end."""

    side: int
    late: Mapping[float, int] = {}  # from which share of the fine iterations on there are how many instead


class FinalGrid(BaseModel):
    """What an effort pays for in voxels, and for those of fields that begin anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Where voxels are finer than the images can hold in place, each view gets some of its own, and its pose stays where
    # it is: before a known background, where the grid closes around the object, they become as fine as the images late.
    side: int = Field(default=160, gt=8)  # the final grid has about side^3 voxels, but where side_closed is for
    side_closed: int | None = Field(default=None, gt=8)  # the same before a known background; None: as `side`
    side_late: int | None = Field(default=None, gt=8)  # before a known background: the last voxels to an edge
    late_from: float = Field(default=0.8, gt=0, lt=1)  # share of the fine iterations from which on there are side_late
    # where fields begin anew (`anew_open`): iterations of each of these on the coarse grid, and of all fields but the
    # last on the fine one
    coarse_anew: Count = 220
    fine_anew: Count = 400

    @model_validator(mode="after")
    def _late_is_finer(self) -> Self:
        before = self.side if self.side_closed is None else self.side_closed
        if self.side_late is not None and self.side_late < before:
            raise ValueError(f"side_late={self.side_late} is coarser than the {before} voxels to an edge before it")
        return self

    def sides(self, *, closed: bool) -> FinalSides:
        """Those of bounds which are closed (`Bounds.closed`), or not."""
        if not closed:
            return FinalSides(self.side)
        late = {} if self.side_late is None else {self.late_from: self.side_late}
        return FinalSides(self.side if self.side_closed is None else self.side_closed, late)


class JointGridBudget(FinalGrid):
    """What an effort pays for with a grid."""

    coarse: int = Field(ge=0)  # iterations on the coarse grid
    fine: Count
    rays_coarse: Count = 4096  # pixels an iteration
    rays: Count = 8192


class JointGridSchedule(CoarseToFine):
    """Coarse grid and small images first; then fine ones."""

    smoke: JointGridBudget = JointGridBudget(
        coarse=40, fine=60, rays_coarse=1024, rays=2048, side=40, coarse_anew=12, fine_anew=24
    )
    quick: JointGridBudget = JointGridBudget(coarse=300, fine=1000)
    full: JointGridBudget = JointGridBudget(coarse=300, fine=4000, side=256, side_closed=144, side_late=224)
    side_start: Count = 32  # px, longest side of the images at the start ...
    side_coarse: Count = 64  # ... and at the end of the coarse iterations
    pose_lr: Positive = 1e-2  # Adam, on twists; coarse
    pose_decay_coarse: Positive = 1.0  # what is left of it by the end of the coarse iterations
    pose_from: Share = 0.0  # before a real background: share of the coarse iterations for which poses rest
    pose_lr_fine: Positive = 8e-3
    pose_decay: Positive = 0.02  # of the fine rate, by the end
    focal_lr: Positive = 1e-3  # Adam, on the logarithm of the focal length, where it is free; decays as the poses' rate
    relief_lr: float = Field(
        default=0.0, ge=0
    )  # Adam, on the bas-relief of the field's space (`Cameras`); decays as well


class JointMlpSchedule(BaseModel):
    """A network, and rates that decay exponentially."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smoke: Budget = Budget(steps=20, rays=256)
    quick: Budget = Budget(steps=20_000, rays=1024)
    full: Budget = Budget(steps=200_000, rays=1024)
    radiance: FieldConfig
    views: Count | None = None  # images that a step draws its pixels from; None: all
    pose_lr: Positive  # Adam, on twists
    pose_decay: Positive  # what is left of it in the end
    focal_lr: Positive = 1e-3
    coarse_to_fine_from: Share = 0.0  # frequencies come in from this share of the training ...
    coarse_to_fine_by: Share = 0.0  # ... to this one; 0: all are there from the start

"""Every choice of this method, with its default; the numbers of its presets are in `fast.py` and `published.py`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.task import Effort
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.published import Published, PublishedBudget
from methods.gnerf.schedule import Plan
from methods.nerf.config import RayField
from methods.nerf.training.joint_schedule import Count, Share

Preset = Fast | Published
"""The numbers of one way of doing it; what differs is asked of the preset, by name."""


class GnerfConfig(BaseModel):
    """The switches of the method; the numbers of its two presets are in `grid` (fast) and `mlp` (published)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["fast", "published"] = "fast"
    field: RayField | None = None  # another name of the presets: `mlp` is the published one

    # what it is given
    prior: Literal["given", "learned"] = "given"  # learned: from AB on, drawn from the poses found so far
    pose_family: Literal["preset", "sphere", "sphere+jitter", "full", "position", "position+6d"] = "preset"
    intrinsics: Literal["given", "unknown"] = "given"  # unknown: one focal length is optimised with the poses
    masks: bool = False  # cut the object out of a real background, where there are masks

    # the ablations of the paper (sec. 4.3), and those of what was added to it
    schedule: Literal["A-AB-B", "A-B", "AB", "B"] = "A-AB-B"
    adversarial: bool = True
    inversion: bool = True
    photometric: bool = True
    # views are re-seeded by render and compare, and before a real background fields begin anew in B; by default as the
    # preset has it
    reseed: bool | None = None

    # re-seeding (reseed.py)
    reseed_every: Count = 25  # iterations of AB; before a real background, whenever the field grows finer
    reseed_at: tuple[Share, ...] = (0.0, 0.12, 0.24, 0.48)  # of phase B, where its field does not begin anew
    candidates: Count = 1000  # poses drawn from the prior
    reseed_side: Count = 24  # px
    reseed_gain: Share = 0.8  # a view moves where the best candidate's error is below this share of its present one
    hypotheses: Count = 3  # distinct poses of a doubtful view that are tried out there; of a new image twice as many

    majority: bool = True  # where a scene looks alike from several sides, its views are brought to one (majority.py)

    # matched features (groups.py): not published, but the first item of the paper's future work (sec. 5)
    features: Literal["none", "sift", "xfeat", "aliked", "disk"] = "none"

    restarts: int = Field(default=2, ge=0)  # after a collapse, before giving up
    ab_at_least: Share = 0.5  # AB may end after this share of its iterations, when re-seeding has found nothing to do
    ab_at_most: float = Field(default=1.5, ge=1)  # ... and goes on for so many times its length while it has

    grid: Fast = Fast()
    mlp: Published = Published()

    @model_validator(mode="before")
    @classmethod
    def _field_names_its_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("field") == "mlp":
            return {"preset": "published"} | given
        return given

    @model_validator(mode="after")
    def _something_is_trained(self) -> GnerfConfig:
        if self.schedule == "B" and not self.photometric:
            raise ValueError("schedule=B is photometric alone: with photometric=false nothing is trained")
        if self.features != "none" and not (
            self.preset == "fast" and self.schedule == "A-AB-B" and self.photometric and self.reseeds
            and self.prior == "given"
        ):  # fmt: skip
            raise ValueError(f"features={self.features} goes with preset=fast, the given prior, and no ablation")
        if self.field and (self.field == "mlp") != (self.preset == "published"):
            raise ValueError("field=grid is another name of preset=fast, field=mlp of preset=published: leave one out")
        return self

    @property
    def numbers(self) -> Preset:
        """Those of the preset."""
        return self.mlp if self.preset == "published" else self.grid

    @property
    def reseeds(self) -> bool:
        return self.numbers.reseed if self.reseed is None else self.reseed

    def budget(self, effort: Effort) -> PublishedBudget | FastBudget:
        return getattr(self.numbers, effort)

    def plan(self, effort: Effort, *, open: bool = False, anew: int = 0) -> Plan:
        """`open`: before a real background, where the preset has an AB of its own for it. `anew`: so many fields begin
        anew in B; 0: one goes on."""
        budget = self.budget(effort)
        ab, b, soft = budget.ab, budget.b, budget.a + budget.ab
        if open and isinstance(budget, FastBudget) and budget.ab_open is not None:
            ab = budget.ab_open
        if anew and isinstance(budget, FastBudget):
            b += anew * budget.coarse_anew + (anew - 1) * budget.fine_anew
        return Plan.of(self.schedule, budget.a, ab, b, photometric=self.photometric, soft=soft)

"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, Input, Job, Traits
from methods.gnerf.config import GnerfConfig
from methods.gnerf.published import Published
from methods.sfm.config import PACKAGES, SEEN


class Gnerf:
    """GNeRF (Meng et al. 2021): adversarial training finds poses and field, photometric refinement makes them exact."""

    name = "gnerf"
    version = "2"
    summary = "poses and field from a prior over viewpoints alone: adversarial, then photometric"
    Config = GnerfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = GnerfConfig() if config is None else GnerfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> GnerfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        """What it is given follows from what it was asked to do without."""
        needs: set[Input] = {"prior"}
        features = None if self.config.features == "none" else self.config.features
        if self.config.intrinsics == "given":
            needs.add("camera")
        seconds: dict[Effort, float] = {"smoke": 20.0, "quick": 90.0, "full": 900.0}
        alike = ("blocks-repeat",) if self.config.majority else ()
        tuned: tuple[str, ...] = ("nerf_synthetic/chair", "blocks", *alike, *self.config.grid.radiance.tuned_on)
        if features is not None:
            # when poses of groups are free (grouped.beyond_family), how groups join (groups.joined), and how long they
            # rest; the sparse ring is sixteen views of the other
            tuned += ("middlebury/templeRing", "middlebury/templeSparseRing")
            seconds = {"smoke": 40.0, "quick": 200.0, "full": 1200.0}
        if isinstance(self.config.numbers, Published):
            tuned = ()
            seconds = {"smoke": 60.0, "quick": 5e6, "full": 5e6}  # by arithmetic, from what an iteration costs
        return Traits(
            needs=frozenset(needs), uses=frozenset({"masks"}) if self.config.masks else frozenset(),
            estimates_camera=self.config.intrinsics == "unknown", silhouettes=features is None, seconds=seconds,
            packages=PACKAGES[features] if features else (), extra="features",
            pretrained_on=SEEN[features] if features else (),
            prepares=("features", "masks") if features and PACKAGES[features] else (), tuned_on=tuned,
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Raises Collapsed when every attempt did."""
        from methods.gnerf.train import fit

        return fit(capture, self.config, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.gnerf.field import GnerfField

        if isinstance(fit.field, GnerfField):
            fit.field.save(folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.gnerf.field import GnerfField
        from methods.nerf.field.storage import DESCRIPTION

        return GnerfField.load(folder, device) if (folder / DESCRIPTION).exists() else None

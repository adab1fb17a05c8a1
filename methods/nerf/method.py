"""The oracle row: the shared field trained on true poses. What no method without poses is expected to pass."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, Job, Traits
from methods.nerf.config import PosedFieldConfig


class NerfConfig(PosedFieldConfig):
    """The shared field has all the choices there are."""


class Nerf:
    """NeRF (Mildenhall et al. 2020) given true poses as `start`."""

    name = "nerf"
    version = "1"
    summary = "radiance field trained on true poses: the oracle"
    Config = NerfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = NerfConfig() if config is None else NerfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> NerfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        grid: dict[Effort, float] = {"smoke": 5.0, "quick": 70.0, "full": 700.0}
        mlp: dict[Effort, float] = {"smoke": 10.0, "quick": 2e4, "full": 8e6}  # beyond smoke by arithmetic
        return Traits(
            needs=frozenset({"camera", "start"}), uses=frozenset({"prior"}), silhouettes=True,
            seconds=self.config.seconds(grid, mlp), tuned_on=self.config.tuned_on, accelerator=self.config.accelerator,
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Train on the given poses; they are also the answer."""
        from methods.nerf.train import train
        from methods.nerf.training.deadline import Deadline
        from methods.nerf.training.hull_bounds import bounds_of

        if capture.camera is None or capture.start is None:
            raise ValueError(f"nerf: {self.traits.unmet_by(capture)}")
        images, poses, deadline = capture.images, capture.start, Deadline(job)
        bounds = bounds_of(images, poses, capture.camera, capture.prior, capture.background)
        field = train(images, poses, capture.camera, bounds, capture.background, self.config, job, deadline)
        return Fit(poses=poses, field=field, notes=deadline.notes())

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, InitialPoses, Job, Traits
from methods.barf.config import BarfConfig


class Barf:
    """Bundle-adjusting neural radiance fields (Lin et al., ICCV 2021)."""

    name = "barf"
    version = "1"
    summary = "rough poses, bundle-adjusted with the field from coarse to fine"
    Config = BarfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = BarfConfig() if config is None else BarfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> BarfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        seconds: dict[Effort, float] = {"smoke": 8.0, "quick": 80.0, "full": 300.0}
        if self.config.field == "mlp":  # beyond smoke by arithmetic: nobody has waited for it
            seconds = {"smoke": 10.0, "quick": 1e5, "full": 1e6}
        schedule = self.config.schedule  # of a network: the published numbers
        tuned_on = ("nerf_synthetic/chair", *schedule.radiance.tuned_on) if self.config.field == "grid" else ()
        return Traits(
            needs=frozenset({"camera", "start"}), uses=frozenset({"prior"}), silhouettes=True, seconds=seconds,
            start=InitialPoses(noise=self.config.start_noise),
            tuned_on=tuned_on,
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        from methods.barf.train import fit

        return fit(capture, self.config, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

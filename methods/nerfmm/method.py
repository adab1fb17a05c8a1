"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, InitialPoses, Input, Job, Traits
from methods.nerfmm.config import NerfmmConfig


class Nerfmm:
    """NeRF--: neural radiance fields without known camera parameters (Wang et al. 2021)."""

    name = "nerfmm"
    version = "1"
    summary = "NeRF--: poses, focal length and field from images alone; forward-facing scenes"
    Config = NerfmmConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = NerfmmConfig() if config is None else NerfmmConfig.model_validate(config.model_dump())

    @property
    def config(self) -> NerfmmConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        seconds: dict[Effort, float] = {"smoke": 8.0, "quick": 80.0, "full": 300.0}
        if self.config.field == "mlp":  # beyond smoke by arithmetic: nobody has waited for it
            seconds = {"smoke": 10.0, "quick": 1e5, "full": 1e6}
        needs: set[Input] = set()
        if self.config.start == "given":
            needs.add("start")
        if self.config.intrinsics == "given":
            needs.add("camera")
        return Traits(
            needs=frozenset(needs), uses=frozenset({"prior"} if "start" in needs else set()), silhouettes=True,
            estimates_camera="camera" not in needs, seconds=seconds, start=InitialPoses(noise=self.config.start_noise),
            tuned_on=("nerf_llff_data/fern", *self.config.schedule.radiance.tuned_on),
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        from methods.nerfmm.train import fit

        return fit(capture, self.config, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

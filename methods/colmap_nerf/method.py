"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, Input, Job, Traits
from methods.colmap_nerf.config import ColmapNerfConfig
from methods.sfm.config import LEARNED_OPTIONS, PACKAGES, SEEN


class ColmapNerf:
    """COLMAP (Schoenberger and Frahm 2016, or GLOMAP, Pan et al. 2024), then NeRF (Mildenhall et al. 2020)."""

    name = "colmap_nerf"
    version = "1"
    summary = "COLMAP's poses, then a radiance field trained on them"
    Config = ColmapNerfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = ColmapNerfConfig() if config is None else ColmapNerfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> ColmapNerfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        """What it is given follows from what it was asked to do without. Where none are given, it finds intrinsics."""
        known = self.config.intrinsics == "given"
        uses: set[Input] = {"masks"} if self.config.masks else set()
        if known:
            uses.add("camera")
        grid: dict[Effort, float] = {"smoke": 15.0, "quick": 180.0, "full": 860.0}
        mlp: dict[Effort, float] = {"smoke": 20.0, "quick": 2e4, "full": 8e6}  # of `nerf`: COLMAP adds nothing to it
        return Traits(
            uses=frozenset(uses), estimates_camera=not known, seconds=self.config.seconds(grid, mlp),
            packages=PACKAGES[self.config.features], extra="features", pretrained_on=SEEN[self.config.features],
            prepares=LEARNED_OPTIONS if self.config.is_learned else (),
            tuned_on=("nerf_synthetic/chair", "blocks-plain", *self.config.tuned_on),
            accelerator=self.config.accelerator,
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Raises Collapsed when COLMAP finds no model."""
        from methods.colmap_nerf.train import fit

        return fit(capture, self.config, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

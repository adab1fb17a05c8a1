"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, InitialPoses, Job, Traits
from methods.inerf.config import InerfConfig


class Inerf:
    """iNeRF: inverting neural radiance fields for pose estimation (Yen-Chen et al., IROS 2021)."""

    name = "inerf"
    version = "1"
    summary = "half of the views posed, the others registered against their field"
    Config = InerfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = InerfConfig() if config is None else InerfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> InerfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        seconds: dict[Effort, float] = {"smoke": 15.0, "quick": 130.0, "full": 800.0}
        if self.config.field == "mlp":  # that of `nerf`, and then some
            seconds = {"smoke": 20.0, "quick": 3e4, "full": 8e6}
        config = self.config
        start = InitialPoses(turn=config.start_turn, shift=config.start_shift, exact=config.known)
        return Traits(
            needs=frozenset({"camera", "start"}), uses=frozenset({"prior"}), silhouettes=True, seconds=seconds,
            start=start, tuned_on=("blocks", *self.config.radiance.tuned_on),
        )  # fmt: skip

    def fit(self, capture: Capture, job: Job) -> Fit:
        from methods.inerf.train import fit

        return fit(capture, self.config, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.inerf.field import InerfField

        if isinstance(fit.field, InerfField):
            fit.field.save(folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.inerf.field import DESCRIPTION, InerfField

        return InerfField.load(folder, device) if (folder / DESCRIPTION).exists() else None

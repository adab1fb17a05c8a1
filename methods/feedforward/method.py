"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, Input, Job, Traits
from methods.feedforward.config import FeedforwardConfig
from methods.feedforward.estimators import ESTIMATORS

UNKNOWN = "unknown"
"""The licence of weights that a person names, and what they were trained on."""


class Feedforward:
    """Poses from a network that was trained to give them, then NeRF (Mildenhall et al. 2020)."""

    name = "feedforward"
    version = "1"
    summary = "poses from VGGT, MapAnything, Pi3, DA3 or MASt3R in their own environment, then a field trained on them"
    Config = FeedforwardConfig
    pretrained_poses = True

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = FeedforwardConfig() if config is None else FeedforwardConfig.model_validate(config.model_dump())

    @property
    def config(self) -> FeedforwardConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        """`extra` says how the estimator gets into its environment, which is not this one."""
        known, estimator = self.config.intrinsics == "given", ESTIMATORS[self.config.model]
        uses: set[Input] = {"camera"} if known else set()
        grid: dict[Effort, float] = {"smoke": 30.0, "quick": 120.0, "full": 800.0}
        mlp: dict[Effort, float] = {"smoke": 30.0, "quick": 2e4, "full": 8e6}
        told = f", and a .pth file in its site-packages that names {estimator.clone}" if estimator.clone else ""
        return Traits(
            uses=frozenset(uses), estimates_camera=True, seconds=self.config.seconds(grid, mlp),
            packages=estimator.packages,
            extra=f"{estimator.install}{told}; weights: {self.licence}",
            pretrained_on=estimator.seen if self.has_usual_weights else (UNKNOWN,),
            prepares=("model", "weights"), tuned_on=self.config.tuned_on, accelerator=self.config.accelerator,
        )  # fmt: skip

    @property
    def weights(self) -> tuple[str, ...]:
        """What lies under this name decides its poses."""
        return (self.config.weights or self._usual_weights,)

    @property
    def has_usual_weights(self) -> bool:
        return self.config.weights in ("", self._usual_weights)

    @property
    def licence(self) -> str:
        """Of its weights."""
        return ESTIMATORS[self.config.model].licence if self.has_usual_weights else UNKNOWN

    @property
    def _usual_weights(self) -> str:
        from methods.feedforward.runners import estimate

        return estimate.ESTIMATORS[self.config.model][1]

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Raises RuntimeError with the estimator's own words where it fails."""
        from methods.feedforward.train import fit

        return fit(capture, self.config, job, weights=self.weights[0], licence=self.licence)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

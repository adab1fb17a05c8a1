"""Two rows for poses made elsewhere, as the suite sees them: judged alone, or with a field trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from bench.task import Accelerator, Capture, Effort, Estimate, Field, Fit, Job, Traits
from methods.poses_nerf.config import PosesConfig, PosesNerfConfig


def submitted(capture: Capture) -> Estimate:
    """What `unposed submit` brought."""
    if capture.estimate is None:
        raise ValueError("no poses were submitted: `unposed submit` brings them")
    return capture.estimate


def _traits(
    seconds: Mapping[Effort, float], tuned_on: tuple[str, ...] = (), accelerator: Accelerator | None = None
) -> Traits:
    """Intrinsics are the scene's where the submission brought none."""
    return Traits(
        needs=frozenset({"estimate"}), uses=frozenset({"camera"}), estimates_camera=True, silhouettes=True,
        seconds=seconds, tuned_on=tuned_on, accelerator=accelerator,
    )  # fmt: skip


class Poses:
    """The submitted poses, and nothing else."""

    name = "poses"
    version = "1"
    summary = "poses made elsewhere, as `unposed submit` brought them"
    Config = PosesConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = PosesConfig() if config is None else PosesConfig.model_validate(config.model_dump())

    @property
    def config(self) -> PosesConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        seconds: dict[Effort, float] = {"smoke": 1.0, "quick": 1.0, "full": 1.0}
        return _traits(seconds)

    def fit(self, capture: Capture, job: Job) -> Fit:
        estimate = submitted(capture)
        return Fit(poses=estimate.poses, camera=estimate.camera)

    def save(self, fit: Fit, folder: Path) -> None:
        return

    def load(self, folder: Path, device: str) -> Field | None:
        return None


class PosesNerf:
    """NeRF (Mildenhall et al. 2020) on the submitted poses."""

    name = "poses+nerf"
    version = "1"
    summary = "a radiance field trained on poses made elsewhere (`unposed submit --train`)"
    Config = PosesNerfConfig

    def __init__(self, config: BaseModel | None = None) -> None:
        self._config = PosesNerfConfig() if config is None else PosesNerfConfig.model_validate(config.model_dump())

    @property
    def config(self) -> PosesNerfConfig:
        return self._config

    @property
    def traits(self) -> Traits:
        grid: dict[Effort, float] = {"smoke": 5.0, "quick": 70.0, "full": 700.0}
        mlp: dict[Effort, float] = {"smoke": 10.0, "quick": 2e4, "full": 8e6}  # as of `nerf`
        return _traits(self.config.seconds(grid, mlp), self.config.tuned_on, self.config.accelerator)

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Train on the submitted poses; they are also the answer."""
        from methods.poses_nerf.train import fit

        return fit(capture, submitted(capture), self.config.radiance, job)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

"""The method as the suite sees it; what it does is in `train.py`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from bench.task import Capture, Effort, Field, Fit, Input, Job, Traits
from methods.feedforward.config import FeedforwardConfig, Model


class Estimator(NamedTuple):
    """What is said of one: by its own repository, read and not run (2026-11)."""

    packages: tuple[str, ...]  # importable names in its environment
    install: str
    licence: str  # of its weights
    seen: tuple[str, ...]  # what its weights were trained on


CLONED = "git clone https://github.com/{0} && pip install -e {1}"
MANY = "many public 3D data sets (see its paper)"
ESTIMATORS: dict[Model, Estimator] = {
    "vggt": Estimator(
        ("vggt",), CLONED.format("facebookresearch/vggt", "vggt"),
        "non-commercial (facebook/VGGT-1B); a commercial variant exists", ("CO3Dv2", "BlendedMVS", "DL3DV", MANY),
    ),
    "mapanything": Estimator(
        ("mapanything",), CLONED.format("facebookresearch/map-anything", "map-anything"),
        "Apache-2.0 (facebook/map-anything-apache); CC-BY-NC (facebook/map-anything)", ("BlendedMVS", MANY),
    ),
    "pi3x": Estimator(("pi3",), CLONED.format("yyfz/Pi3", "Pi3"), "CC-BY-NC", ("CO3Dv2", "BlendedMVS", MANY)),
    "pi3": Estimator(("pi3",), CLONED.format("yyfz/Pi3", "Pi3"), "CC-BY-NC", ("CO3Dv2", "BlendedMVS", MANY)),
    "da3": Estimator(
        ("depth_anything_3",), "pip install depth-anything-3 (numpy < 2, xformers)",
        "Apache-2.0 (BASE, SMALL); CC-BY-NC (larger)", (MANY,),
    ),
    "mast3r": Estimator(
        ("mast3r", "dust3r"), "git clone --recursive https://github.com/naver/mast3r, with a .pth file that names it",
        "CC-BY-NC-SA", ("CO3Dv2", "BlendedMVS", "MegaDepth", MANY),
    ),
}  # fmt: skip


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
        seconds: dict[Effort, float] = {"smoke": 30.0, "quick": 120.0, "full": 700.0}
        if self.config.field == "mlp":
            seconds = {"smoke": 30.0, "quick": 2e4, "full": 8e6}
        return Traits(
            uses=frozenset(uses), estimates_camera=True, seconds=seconds, packages=estimator.packages,
            extra=f"{estimator.install}; weights: {estimator.licence}", pretrained_on=estimator.seen,
            prepares=("model", "weights"), tuned_on=self.config.radiance.tuned_on,
        )  # fmt: skip

    @property
    def weights(self) -> tuple[str, ...]:
        """What lies under this name decides its poses."""
        from methods.feedforward.runners import estimate

        return (self.config.weights or estimate.ESTIMATORS[self.config.model][1],)

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Raises RuntimeError with the estimator's own words where it fails."""
        from methods.feedforward.train import fit

        return fit(capture, self.config, job, ESTIMATORS[self.config.model].licence)

    def save(self, fit: Fit, folder: Path) -> None:
        from methods.nerf.field.storage import save_fit

        save_fit(fit, folder)

    def load(self, folder: Path, device: str) -> Field | None:
        from methods.nerf.field.storage import load_saved

        return load_saved(folder, device)

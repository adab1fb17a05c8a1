"""Poses drawn from the prior, and the mean colour for a field: what a method is worth that never looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bench.task import Camera, Capture, Fit, Job, Pose, Rendering, Traits


class GuessConfig(BaseModel):
    """Every option, with its default: `guess[draws=100]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: int = Field(default=1, gt=0)  # poses averaged into each view's centre: 1 is a guess, many are the mean pose


class OneColour:
    """The same colour wherever one looks. Whatever has `render` is a field."""

    def __init__(self, colour: NDArray[np.float32]) -> None:
        self.colour = colour  # (C,) in [0, 1]

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        size = (len(poses), camera.height, camera.width)
        return Rendering(
            rgb=np.tile(self.colour, (*size, 1)), depth=np.ones(size, np.float32), opacity=np.ones(size, np.float32)
        )


class Guess:
    """The level of chance."""

    name = "guess"
    version = "1"  # raise it when the same config comes to mean another answer
    summary = "poses drawn from the prior: the level of chance"
    Config = GuessConfig

    def __init__(self, config: GuessConfig) -> None:
        self.config = config

    @property
    def traits(self) -> Traits:
        return Traits(needs=frozenset({"prior"}), silhouettes=True, seconds={"smoke": 1, "quick": 1, "full": 1})

    def fit(self, capture: Capture, job: Job) -> Fit:
        if capture.prior is None:
            raise ValueError(f"guess: {self.traits.unmet_by(capture)}")
        rng = np.random.default_rng(job.seed)  # never a global generator: the same seed must give the same answer
        poses = {}
        for view in capture.images:
            drawn = capture.prior.sample(rng, self.config.draws)  # (draws, 4, 4)
            poses[view] = drawn[0].copy()
            poses[view][:3, 3] = drawn[:, :3, 3].mean(axis=0)
        colour = np.mean([image.mean(axis=(0, 1)) for image in capture.images.values()], axis=0) / 255
        job.log(0, {"draws": self.config.draws})
        return Fit(poses=poses, field=OneColour(colour.astype(np.float32)))

    def save(self, fit: Fit, folder: Path) -> None:
        if isinstance(fit.field, OneColour):
            np.save(folder / "colour.npy", fit.field.colour)

    def load(self, folder: Path, device: str) -> OneColour | None:
        return OneColour(np.load(folder / "colour.npy"))

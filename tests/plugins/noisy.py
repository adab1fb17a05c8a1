"""A method with known errors: true poses, shaken, two of them lost, in a frame and scale of its own."""

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.spatial.transform import Rotation

from bench.task import Capture, Fit, Job, Traits


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    degrees: float = 1.0
    units: float = 0.05


class Noisy:
    name = "noisy"
    version = "1"
    summary = "Nearly right."
    Config = Config
    traits = Traits(needs=frozenset({"start", "camera"}))

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, capture: Capture, job: Job) -> Fit:
        rng = np.random.default_rng(job.seed)
        turn = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
        poses = {}
        for view, true in list(capture.start.items())[2:]:
            pose = np.eye(4)
            shake = Rotation.from_rotvec(np.radians(self.config.degrees) * rng.standard_normal(3)).as_matrix()
            pose[:3, :3] = turn @ true[:3, :3] @ shake
            pose[:3, 3] = 0.3 * turn @ (true[:3, 3] + self.config.units * rng.standard_normal(3)) + [5.0, -2.0, 1.0]
            poses[view] = pose
        return Fit(poses=poses)

    def save(self, fit: Fit, folder) -> None:
        return

    def load(self, folder, device) -> None:
        return None

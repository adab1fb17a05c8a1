"""A method that costs nothing and hides no lost or repeated step: its answer is a chain of draws, kept at each."""

import json
import time

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.files import replacing
from bench.task import Camera, Capture, Fit, Job, Pose, Rendering, Traits


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 12
    seconds: float = 0.05  # a step


class Plain:
    """One colour, everywhere."""

    def __init__(self, colour: np.ndarray) -> None:
        self.colour = colour

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        size = (len(poses), camera.height, camera.width)
        rgb = np.broadcast_to(self.colour.astype(np.float32), (*size, 3))
        return Rendering(rgb=rgb, depth=np.ones(size, np.float32), opacity=np.ones(size, np.float32))


class Stepping:
    name = "stepping"
    version = "1"
    summary = "Moves the true poses a little at each step, by what it drew at the step before."
    Config = Config
    traits = Traits(needs=frozenset({"start", "camera"}), seconds={"smoke": 1.0})

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, capture: Capture, job: Job) -> Fit:
        path, state = job.checkpoints / "state.json", [float(job.seed)]
        if path.exists():
            state = json.loads(path.read_text())
        for step in range(len(state) - 1, self.config.steps):
            word = np.frombuffer(np.array(state).tobytes(), np.uint32)
            state.append(float(np.random.default_rng(word).normal()))
            time.sleep(self.config.seconds)
            job.log(step, {"draw": state[-1]})
            with replacing(path) as draft:
                draft.write_text(json.dumps(state))
        rng = np.random.default_rng(np.frombuffer(np.array(state).tobytes(), np.uint32))
        poses = {view: pose.copy() for view, pose in capture.start.items()}
        for pose in poses.values():
            pose[:3, 3] += 0.02 * rng.normal(size=3)
        return Fit(poses=poses, field=Plain(rng.uniform(size=3)))

    def save(self, fit: Fit, folder) -> None:
        np.save(folder / "colour.npy", fit.field.colour)

    def load(self, folder, device: str) -> Plain:
        return Plain(np.load(folder / "colour.npy"))

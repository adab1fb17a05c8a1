"""A method for an environment of its own: it needs numpy alone, and says in its notes where it ran."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from unposed import Capture, Fit, Job, Rendering, Traits


@dataclass(frozen=True)
class Config:
    brightness: float = 1.0  # factor on the mean colour
    imports: Literal["nothing", "methods", "datasets"] = "nothing"
    look: bool = False  # at the files that places.txt names, beside this one: which can be read, and written beside


def _can(attempt) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


class Constant:
    """The colour c, everywhere."""

    def __init__(self, colour: np.ndarray) -> None:
        self.colour = colour.astype(np.float32)

    def render(self, poses, camera):
        size = (len(poses), camera.height, camera.width)
        rgb = np.broadcast_to(self.colour, (*size, len(self.colour)))
        return Rendering(rgb=rgb, depth=np.ones(size, np.float32), opacity=np.ones(size, np.float32))


class Elsewhere:
    name = "elsewhere"
    version = "1"
    summary = "Poses as they are given, one colour, and a word on where it ran."
    Config = Config
    traits = Traits(needs=frozenset({"start", "camera"}))

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, capture: Capture, job: Job) -> Fit:
        if self.config.imports == "methods":
            import methods.nerf.train  # noqa: F401 - is not there
        if self.config.imports == "datasets":
            import datasets.procedural  # noqa: F401 - nor is this
        job.progress("looking", 1, 2)
        job.log(1, {"loss": 0.5}, {"mean": np.full((4, 4, 3), 99, np.uint8)})
        mean = np.mean([image.mean(axis=(0, 1)) for image in capture.images.values()], axis=0) / 255
        found = [name for name in ("pydantic", "psutil", "torch", "scipy") if importlib.util.find_spec(name)]
        notes = {"numpy": np.__version__, "executable": sys.executable, "found": " ".join(found)}
        notes["path"] = " ".join(sys.path)
        listed = Path(__file__).with_name("places.txt")
        places = [Path(line) for line in (listed.read_text().splitlines() if self.config.look else [])]
        notes["seen"] = " ".join(str(place) for place in places if _can(place.read_bytes))
        notes["written"] = " ".join(str(p) for p in places if _can(lambda p=p: p.with_suffix(".mine").touch()))
        return Fit(poses=dict(capture.start), field=Constant(self.config.brightness * mean), notes=notes)

    def save(self, fit: Fit, folder: Path) -> None:
        np.save(folder / "colour.npy", fit.field.colour)

    def load(self, folder: Path, device: str) -> Constant:
        return Constant(np.load(folder / "colour.npy"))

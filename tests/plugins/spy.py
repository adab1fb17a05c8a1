"""A method that looks for the truth wherever it can reach, and reports all that it found in its notes."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.task import Capture, Fit, Job, Traits


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spy:
    name = "spy"
    version = "1"
    summary = "Looks for the truth."
    Config = Config
    traits = Traits(uses=frozenset({"camera", "prior"}))

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, capture: Capture, job: Job) -> Fit:
        seen = {
            "start": capture.start is not None,
            "estimate": capture.estimate is not None,
            "masks": capture.masks is not None,
            "ids": sorted(capture.images),
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "files": _files(job.workdir.parents[1]),
            "open": _open_files(),
            "weights": _texts(os.environ.get("HF_HOME", "")),
            "modules": [name for name in sys.modules if name.split(".")[0] == "datasets"],
            "import": _import(),
        }
        return Fit(poses={}, notes={"seen": json.dumps(seen)})

    def save(self, fit: Fit, folder: Path) -> None:
        return

    def load(self, folder: Path, device: str) -> None:
        return None


def _files(folder: Path) -> dict[str, str]:
    """All that lies in the worker's folder: text as it is, arrays by name and shape."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[path.name] = str({name: arrays[name].shape for name in arrays.files})
        elif path.is_file():
            found[path.name] = path.read_text(errors="replace")
    return found


def _texts(folder: str) -> list[str]:
    found = []
    for path in Path(folder).rglob("*") if folder else ():
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return sorted(found)


def _open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    targets = []
    for handle in folder.iterdir() if folder.exists() else ():
        try:
            targets.append(str(handle.readlink()))
        except OSError:
            continue
    return targets


def _import() -> str:
    try:
        import datasets.procedural  # noqa: F401 - the import itself is the attempt
    except ImportError as error:
        return str(error)
    return "imported"

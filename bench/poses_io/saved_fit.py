"""What a method answered, as a cell keeps it in `fit/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.files import printable
from bench.record import read_json
from bench.task import Camera, Fit, ViewId


def read_fit(folder: Path) -> Fit:
    """The poses, camera, notes and flags of a saved fit; its field stays where it is."""
    raw = read_json(folder / "poses.json")
    return Fit(
        poses={ViewId(view): np.array(pose, dtype=np.float64) for view, pose in raw["poses"].items()},
        camera=Camera(**raw["camera"]) if raw["camera"] else None,
        notes=printable(raw["notes"]),
        flags=tuple(printable(raw.get("flags", ()))),  # absent from fits of earlier versions
    )

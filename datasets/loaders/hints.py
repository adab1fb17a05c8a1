"""What other programs leave that is no scene yet, known by a file, and the step that makes one of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

STEPS: Mapping[str, str] = {
    "keyframes": "is Polycam's own export: `ns-process-data polycam` writes a transforms.json of it",
    "*.r3d": "is a recording of Record3D: `ns-process-data record3d` writes a transforms.json of it",
    "*.psx": "is a project of Metashape: export its cameras for `ns-process-data metashape`",
    "*.rcproj": "is a project of RealityCapture: export its registration for `ns-process-data realitycapture`",
    "Rectified": "holds many scans: name one, as Rectified/scan24_train",
    "database.db": "is COLMAP's database without a model: let `colmap mapper` make sparse/0",
    "*.mp4": "holds a video: `unposed data add VIDEO` makes a scene of it",
    "*.mov": "holds a video: `unposed data add VIDEO` makes a scene of it",
    "*.MOV": "holds a video: `unposed data add VIDEO` makes a scene of it",
}
"""By a glob of what lies in the folder."""


def hint(folder: Path) -> str | None:
    """What a folder is that is no scene, and what to do; None where it tells nothing."""
    return next((step for glob, step in STEPS.items() if any(folder.glob(glob))), None)

"""An estimate made elsewhere, as it was brought: poses, perhaps intrinsics, perhaps renders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from bench.cell import fingerprint
from bench.task import Estimate, Image, Input, ViewId

HANDED_OUT: frozenset[Input] = frozenset({"camera", "prior"})
"""What `unposed data export` gives beside the images."""

HELDOUT = "heldout.transforms.json"
"""Beside the result of a submission: the held-out cameras in the submitter's own frame, for renders."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Submission:
    """What was brought, and where it came from."""

    estimate: Estimate
    source: str  # name of the file or folder, and its form
    notes: Mapping[str, str | float | int | bool] = field(default_factory=dict)  # what its reader should know
    renders: Mapping[ViewId, Image] | None = None  # of the held-out views, by their ids

    @property
    def digest(self) -> str:
        """sha256 of poses and camera."""
        return fingerprint(plain(self.estimate))

    @property
    def renders_digest(self) -> str | None:
        """sha256 of the pixels, by view; None where none were brought."""
        if self.renders is None:
            return None
        return fingerprint({view: sha256(image.tobytes()).hexdigest() for view, image in self.renders.items()})


def plain(estimate: Estimate) -> dict[str, Any]:
    """As JSON."""
    return {
        "poses": {view: np.asarray(pose).tolist() for view, pose in estimate.poses.items()},
        "camera": asdict(estimate.camera) if estimate.camera else None,
    }

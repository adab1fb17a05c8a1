"""What a fit leaves behind: the field, and the known poses that a new image is registered from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.files import replacing
from bench.task import Camera, Pose, Rendering
from methods.inerf.config import Registration
from methods.inerf.register import locate
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.base import RadianceField
from methods.nerf.field.storage import load_rays, save
from methods.nerf.training.checkpointing import generator

DESCRIPTION = "inerf.json"


@dataclass(frozen=True, kw_only=True)
class InerfField:
    """A `bench.task.DifferentiableField` and `RegisteringField`."""

    field: RadianceField
    known: Tensor  # (M, 4, 4)
    unit: float  # a quarter of the distance to the scene
    registration: Registration
    candidates: int

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        return self.field.render(poses, camera)

    def render_rays(self, origins: Tensor, directions: Tensor) -> Tensor:
        return self.field.render_rays(origins, directions)

    def register(self, images: NDArray[np.uint8], camera: Camera, seed: int) -> Pose:
        """Poses (N, 4, 4) of new `images` (N, H, W, C), from the known views that look likest."""
        intrinsics = Intrinsics(camera, free=False).to(self.field.device)
        found = locate(
            self.field, intrinsics, images, self.known, self.candidates, self.registration, generator(seed, 0),
            unit=self.unit,
        )  # fmt: skip
        return found.double().cpu().numpy()

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, each file whole or not at all."""
        save(self.field, folder)
        described = {
            "known": self.known.tolist(), "unit": self.unit, "how": self.registration.model_dump(),
            "candidates": self.candidates,
        }  # fmt: skip
        with replacing(folder / DESCRIPTION) as draft:
            draft.write_text(json.dumps(described) + "\n")

    @staticmethod
    def load(folder: Path, device: str) -> InerfField:
        """Read back what `save` wrote. Raises ValueError where that is not what is there."""
        field = load_rays(folder, device)
        try:
            said = json.loads((folder / DESCRIPTION).read_text())
            return InerfField(
                field=field, known=torch.tensor(said["known"]).to(device), unit=said["unit"],
                registration=Registration.model_validate(said["how"]), candidates=said["candidates"],
            )  # fmt: skip
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder}: not a field saved by this version of inerf ({error})") from error

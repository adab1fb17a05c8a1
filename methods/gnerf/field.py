"""What a fit leaves behind: the field, and all that is needed to say where a new image of it was taken."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from bench.task import Camera, Pose, PosePrior, Rendering
from methods.gnerf.inversion import Cnn, Vit, inversion_network
from methods.gnerf.poses import Family, turned
from methods.gnerf.register import locate, located_among
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.base import RadianceField
from methods.nerf.field.storage import load_rays, save, write_tensors
from methods.nerf.images.pyramid import shrunk
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.lost_views import WHOLE, Search

DESCRIPTION, NETWORK = "gnerf.json", "inversion.safetensors"
KNOWN, VIEWS = "known.safetensors", "views.safetensors"  # poses


@dataclass(frozen=True, kw_only=True)
class GnerfField:
    """A `bench.task.DifferentiableField` and `RegisteringField`."""

    field: RadianceField
    prior: PosePrior
    family: str  # of the poses that are looked for ...
    answer_family: str  # ... and of what the network says
    inversion: Cnn | Vit | None  # None: it was not trained
    inversion_kind: str
    candidates: int
    hypotheses: int
    side: int  # px, of the renders that candidates are compared by
    known: Tensor | None = None  # (K, 4, 4) poses of the views of a rigid group: other cameras are like these
    views: Tensor | None = None  # (N, 4, 4) poses of all views before a real background: others were taken among them
    search: Search = WHOLE  # ... and what looking there may cost

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        return self.field.render(poses, camera)

    def render_rays(self, origins: Tensor, directions: Tensor) -> Tensor:
        return self.field.render_rays(origins, directions)

    def register(self, images: NDArray[np.uint8], camera: Camera, seed: int) -> Pose:
        """Poses (N, 4, 4), world_from_camera in the field's frame, of new `images` (N, H, W, C), taken by `camera`.

        Inversion network and render-and-compare propose, photometric refinement decides (GNeRF sec. 3.3 and 3.4);
        before a real background among the poses of all views (not published). Hypotheses are drawn with `seed`, for one
        image after another, so that an image's pose depends on which others are asked for with it.
        """
        device = self.field.device
        stack = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        drawn = torch.from_numpy(self.prior.sample(np.random.default_rng(seed), self.candidates)).float().to(device)
        if self.known is not None:
            like = turned(self.known.to(device), self.prior, self.candidates, generator(seed, 1))
            drawn = torch.cat([drawn, like])
        family, answers = Family.of(self.prior, self.family).bounded(self.prior), None
        if self.inversion is not None:
            with torch.no_grad():
                answers = self.inversion(shrunk(stack, (self.inversion.side, self.inversion.side)))
                answers = Family.of(self.prior, self.answer_family).recoded(answers, family)
        intrinsics = Intrinsics(camera, free=False).to(device)
        found = locate(
            self.field, intrinsics, family, stack, drawn, answers, generator(seed, 0),
            side=self.side, hypotheses=self.hypotheses,
        )  # fmt: skip
        if self.views is not None:
            found = located_among(
                self.field, intrinsics, Family.of(self.prior, "full"), stack, self.views.to(device), found,
                generator(seed, 2), budget=self.search.shared(len(images)),
            )  # fmt: skip
        return found.double().cpu().numpy()

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, each file whole or not at all."""
        save(self.field, folder)
        if self.inversion is not None:
            write_tensors(folder / NETWORK, self.inversion.state_dict())
        for name, poses in ((KNOWN, self.known), (VIEWS, self.views)):
            (folder / name).unlink(missing_ok=True)  # of a field that was saved there before
            if poses is not None:
                write_tensors(folder / name, {"poses": poses.contiguous()})
        described: dict[str, Any] = {
            "prior": self.prior.plain(), "family": self.family, "answer_family": self.answer_family,
            "inversion_kind": self.inversion_kind,
            "among_views": self.views is not None, "search": asdict(self.search), "side": self.side,
            "candidates": self.candidates, "hypotheses": self.hypotheses,
            "inversion_side": self.inversion.side if self.inversion is not None else None,
        }  # fmt: skip
        draft = folder / f".{DESCRIPTION}.tmp"
        draft.write_text(json.dumps(described, indent=1) + "\n")
        draft.replace(folder / DESCRIPTION)

    @staticmethod
    def load(folder: Path, device: str) -> GnerfField:
        """Read back what `save` wrote. Raises ValueError where that is not what is there."""
        field = load_rays(folder, device)
        try:
            said = json.loads((folder / DESCRIPTION).read_text())
            prior = PosePrior(**_with_tuples(said["prior"]))
            answer_family = said.get("answer_family", said["family"])  # absent from fields of earlier versions
            network = None
            if said["inversion_side"] is not None:
                size = Family.of(prior, answer_family).size
                blank = torch.Generator()  # its draws are overwritten
                network = inversion_network(
                    said["inversion_kind"], field.channels, said["inversion_side"], size, blank
                )  # fmt: skip
                network.load_state_dict(load_file(folder / NETWORK))
                network = network.requires_grad_(False).to(device)
            return GnerfField(
                field=field, prior=prior, family=said["family"], answer_family=answer_family, inversion=network,
                inversion_kind=said["inversion_kind"], candidates=said["candidates"], hypotheses=said["hypotheses"],
                side=said["side"], known=load_file(folder / KNOWN)["poses"] if (folder / KNOWN).exists() else None,
                # fields of earlier versions know nothing of the views
                views=load_file(folder / VIEWS)["poses"] if said.get("among_views", False) else None,
                search=Search(**_with_tuples(said.get("search", {}))),
            )  # fmt: skip
        except (OSError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder}: not a scene saved by this version of gnerf ({error})") from error


def _with_tuples(read: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}

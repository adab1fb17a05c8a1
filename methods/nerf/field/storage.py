"""A field as files: `field.safetensors` for its values, `field.json` for what it is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.files import replacing
from bench.task import Fit
from methods.nerf.config import FieldConfig, PosedFieldConfig
from methods.nerf.field.base import RadianceField, SharedField
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.gaussians import GaussianField
from methods.nerf.field.grid import GridField
from methods.nerf.field.mlp import MlpField
from methods.nerf.field.ndc import Frustum
from methods.nerf.field.occupancy import seen_voxels

VALUES, DESCRIPTION = "field.safetensors", "field.json"

RENAMED = {"away": "camera_distance", "relief": "bas_relief", "fused": "numba"}
"""What fields saved by earlier versions call things."""


def save(field: SharedField, folder: Path) -> None:
    """Write `field` into `folder`, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / VALUES, _pack(field))
    with replacing(folder / DESCRIPTION) as draft:
        draft.write_text(json.dumps(describe(field), indent=1) + "\n")


def load(folder: Path, device: str = "cpu") -> SharedField:
    """Read back what `save` wrote. Raises ValueError where that is not what is there."""
    try:
        field = build(json.loads((folder / DESCRIPTION).read_text()))
        field.load_state_dict(_unpack(field, load_file(folder / VALUES)))
    except (OSError, json.JSONDecodeError, KeyError, TypeError, IndexError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: not a field saved by this version of Unposed ({error})") from error
    return field.requires_grad_(False).to(device)


def load_rays(folder: Path, device: str = "cpu") -> RadianceField:
    """The same, of a field of rays."""
    field = load(folder, device)
    if not isinstance(field, RadianceField):
        raise ValueError(f"{folder}: a field of Gaussians, where one of rays was saved")
    return field


def save_fit(fit: Fit, folder: Path) -> None:
    """Write the field of a fit, if it is one of ours: what a method's `save` does."""
    if isinstance(fit.field, SharedField):
        save(fit.field, folder)


def load_saved(folder: Path, device: str) -> SharedField | None:
    """What `save_fit` wrote; None where there was no field."""
    return load(folder, device) if (folder / DESCRIPTION).exists() else None


def _pack(field: SharedField) -> dict[str, Tensor]:
    """All values; of a grid only those that some ray can ask for, a tenth of them as a rule."""
    values = field.state_dict()
    if isinstance(field, GridField):
        mask = seen_voxels(field)
        values |= {"density": field.density[mask], "colour": field.colour[mask]}
    return values


def _unpack(field: SharedField, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `_pack` left out is empty."""
    if isinstance(field, GridField):
        field.clearance.copy_(values["clearance"])
        mask = seen_voxels(field)
        for name, empty in (("density", field.config.density_start), ("colour", 0.0)):
            whole = torch.full_like(field.state_dict()[name], empty)
            whole[mask] = values[name]
            values[name] = whole
    return values


def describe(field: SharedField) -> dict[str, object]:
    """All that is needed to `build` a field of the same kind and size, as JSON."""
    common = {
        "bounds": asdict(field.bounds),
        "config": field.config.model_dump(mode="json"),
        "channels": field.channels,
    }
    if isinstance(field, GridField):
        return {**common, "shape": field.shape, "low": field.low, "voxel": field.voxel}
    if isinstance(field, GaussianField):
        return {**common, "count": len(field), "unit": field.unit}
    return common


def build(description: dict) -> SharedField:
    """A field of this description, its values yet to be filled in."""
    said = _under_new_names(description["bounds"])
    box = said["frustum"] and Frustum(**_under_new_names(said["frustum"]))
    bounds = Bounds(**{**said, "frustum": box})
    choices, background = description["config"], torch.zeros(description["channels"])
    if choices["field"] == "gaussians":
        posed, count = PosedFieldConfig.model_validate(choices), description["count"]
        return GaussianField(bounds, background, posed, count=count, unit=description["unit"])
    config = FieldConfig.model_validate({**choices, "backend": RENAMED.get(choices["backend"], choices["backend"])})
    if config.field == "mlp":
        return MlpField(bounds, background, config)
    return GridField(
        bounds, background, config, tuple(description["shape"]), tuple(description["low"]), description["voxel"]
    )


def _under_new_names(said: dict) -> dict:
    return {RENAMED.get(name, name): tuple(v) if isinstance(v, list) else v for name, v in said.items()}


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file, whole or not at all."""
    with replacing(path) as draft:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, draft)

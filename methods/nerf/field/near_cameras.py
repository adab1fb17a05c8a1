"""Space before the cameras, which hardly any other camera sees: nothing is believed to be there."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import cell_centres

NEAR = 0.7
"""How near is near, along the optical axis: of the cameras' distance from the centre of the scene."""

AROUND = 0.9
"""Share of the views that must see the centre: in a room, or along a facade, few see even what is certain."""


@torch.no_grad()
def alone_before_cameras(field: GridField, poses: Tensor, camera: Camera, share: float) -> Tensor:
    """Mask (cells,) of the cells of the clearance map, in contracted space, whose middle is near some of the cameras
    with `poses` (N, 4, 4), and that fewer than `share` of all N see, or only one. None where `share` is 0, where there
    are fewer than 3 views, or where these do not all look at one thing.

    Whatever is there explains the few images that see it, each for itself, and hides the scene from everybody else's
    view: floaters. What is far from the cameras stays, however few see it: most of a background is like that.
    """
    places = field.centre + field.bounds.half_size * cell_centres(field).flatten(0, 2)
    places = torch.cat([places, field.centre.reshape(1, 3)])
    seen_by = torch.zeros(len(places), dtype=torch.int32, device=places.device)
    is_near = torch.zeros(len(places), dtype=torch.bool, device=places.device)
    for pose in poses.to(places):
        x, y, z = ((places - pose[:3, 3]) @ pose[:3, :3]).unbind(dim=-1)
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        sees = (z > 0) & (u > 0) & (u < camera.width) & (v > 0) & (v < camera.height)
        seen_by += sees
        is_near |= sees & (z < NEAR * field.bounds.camera_distance)
    if share == 0 or len(poses) < 3 or seen_by[-1] < AROUND * len(poses):
        return torch.zeros_like(field.clearance, dtype=torch.bool)
    return (is_near & (seen_by < max(2, share * len(poses))))[:-1].reshape(field.clearance.shape)

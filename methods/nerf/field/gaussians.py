"""A field of 3D Gaussians (Kerbl et al. 2023, arXiv 2308.04079): it knows images, and no rays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.task import Camera, Pose, Rendering
from methods.nerf.config import PosedFieldConfig
from methods.nerf.field.base import SharedField
from methods.nerf.field.bounds import Bounds
from methods.nerf.gaussians.rasterise import rasterise
from methods.nerf.gaussians.splats import Drawing, Splats
from methods.nerf.rendering.encoding import harmonics

CONSTANT = 0.28209479177387814
"""The first spherical harmonic, 1 / (2 sqrt(pi)): published learning rates are those of coefficients of such."""


class GaussianField(SharedField):
    """N Gaussians, in lengths of `unit` from the centre of the bounds: a `bench.task.RasterisedField`.

    A colour is 1/2 + the sum over k of coefficient_k * harmonic_k(direction), and not below 0.
    """

    def __init__(
        self, bounds: Bounds, background: Tensor, config: PosedFieldConfig, *, count: int, unit: float
    ) -> None:
        super().__init__(bounds, background, config)
        self.choices, self.unit = config.gaussians, unit
        terms = (self.choices.sh_degree + 1) ** 2
        self.means = nn.Parameter(torch.zeros(count, 3))
        self.rotations = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1))
        self.scales = nn.Parameter(torch.zeros(count, 3))  # logarithms
        self.opacities = nn.Parameter(torch.zeros(count))  # before the sigmoid
        self.colours = nn.Parameter(torch.zeros(count, 1, self.channels))  # of the constant harmonic, ...
        self.shine = nn.Parameter(torch.zeros(count, terms - 1, self.channels))  # ... and of the others

    def __len__(self) -> int:
        return len(self.means)

    @property
    def splats(self) -> Splats:
        """Its Gaussians as they are drawn, in its own unit."""
        return Splats(self.means, self.rotations, self.scales.exp(), self.opacities.sigmoid())

    def draw(self, poses: Tensor, camera: Camera, pixels: Tensor | None = None, degree: int | None = None) -> Drawing:
        """What `pixels` (V, R) of the images from `poses` (V, 4, 4) see, all of them where none are named; depth in
        units of its own. Harmonics count up to `degree`."""
        local = self._local(poses)
        degree = self.choices.sh_degree if degree is None else min(degree, self.choices.sh_degree)
        colours = torch.stack([self._colours(pose[:3, 3], degree) for pose in local])
        return rasterise(self.splats, colours, local, camera, pixels, self.choices.backend)

    def render_pixels(self, poses: Tensor, camera: Camera, pixels: Tensor) -> Tensor:
        """Colours (N, R, C) in [0, 1], on the background, of `pixels` (N, R) of the images from `poses` (N, 4, 4).

        Sums of harmonics may be brighter than white. As in `render`, they are shown white, and have no gradient: where
        the photograph is white, too, a pose is not to be moved for them. None is below 0.
        """
        return self.draw(poses, camera, pixels).over(self.background).clamp(max=1)

    @torch.no_grad()
    def render(self, poses: Pose, camera: Camera) -> Rendering:
        """Images from `poses` (N, 4, 4), one by one."""
        poses = np.asarray(poses, dtype=np.float64).reshape(-1, 4, 4)
        size = (len(poses), camera.height, camera.width)
        rgb = np.empty((*size, self.channels), np.float32)
        depth, opacity = np.empty(size, np.float32), np.empty(size, np.float32)
        for n, pose in enumerate(poses):
            seen = self.draw(torch.as_tensor(pose[None], dtype=torch.float32, device=self.device), camera)
            rgb[n] = seen.over(self.background).clamp(0, 1)[0].reshape(*size[1:], -1).cpu().numpy()
            depth[n] = (self.unit * seen.depth[0]).reshape(size[1:]).cpu().numpy()
            opacity[n] = seen.opacity[0].clamp(0, 1).reshape(size[1:]).cpu().numpy()
        return Rendering(rgb=rgb, depth=depth, opacity=opacity)

    def _local(self, poses: Tensor) -> Tensor:
        """Poses (V, 4, 4) in its own frame and unit."""
        centres = (poses[:, :3, 3] - self.centre) / self.unit
        return torch.cat([torch.cat([poses[:, :3, :3], centres[..., None]], dim=2), poses[:, 3:]], dim=1)

    def _colours(self, centre: Tensor, degree: int) -> Tensor:
        """Those (N, C) that a camera sees whose centre (3,) is in the field's own frame."""
        values = self.colours[:, 0]
        if degree > 0:
            basis = harmonics(functional.normalize(self.means - centre, dim=-1), degree)[:, 1:, None]
            values = values + (basis * self.shine[:, : basis.shape[1]]).sum(dim=1)
        return (0.5 + CONSTANT * values).clamp(min=0)

"""The network of Mildenhall et al. 2020 (sec. 4, 5.2 and appendix A), with its two-pass sampling."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nerf.config import FieldConfig
from methods.nerf.field.base import RadianceField, Shade
from methods.nerf.field.bounds import Bounds
from methods.nerf.rendering.contraction import contract
from methods.nerf.rendering.encoding import frequencies
from methods.nerf.rendering.sampling import importance, stratified
from methods.nerf.rendering.volume_rendering import weights_of


class Network(nn.Module):
    """Position -> density and feature; feature and direction -> colour (Mildenhall 2020, fig. 7).

    `coarse_to_fine` is the share of the frequencies of both encodings that are let in (BARF, Lin et al. 2021, eq. 14).
    """

    coarse_to_fine: float = 1.0

    def __init__(self, config: FieldConfig, channels: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        width, position, view = config.width, 3 + 6 * config.position_frequencies, 3 + 6 * config.direction_frequencies
        inputs = [position] + [
            width + position if config.skip and layer == config.skip + 1 else width for layer in range(1, config.depth)
        ]
        self.trunk = nn.ModuleList(nn.Linear(size, width) for size in inputs)
        self.density = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.view = nn.Linear(width + view, width // 2)
        self.colour = nn.Linear(width // 2, channels)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # torch's own initialisation, but from a generator that was passed
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, points: Tensor, directions: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Density (R, S) and colour (R, S, C) at `points` (R, S, 3) seen along `directions` (R, 3).

        `noise` (R, S) is added to the raw density (Mildenhall 2020, appendix A).
        """
        lowest = torch.pi if self.config.encoding_pi else 1.0
        encoded = frequencies(points, self.config.position_frequencies, self.coarse_to_fine, lowest=lowest)
        hidden = encoded
        for index, layer in enumerate(self.trunk):
            if self.config.skip and index == self.config.skip + 1:
                hidden = torch.cat([encoded, hidden], dim=-1)
            hidden = functional.relu(layer(hidden))
        raw = self.density(hidden)[..., 0]
        raw = raw if noise is None else raw + noise
        density = functional.relu(raw) if self.config.mlp_activation == "relu" else functional.softplus(raw)
        view = frequencies(directions, self.config.direction_frequencies, self.coarse_to_fine, lowest=lowest)
        view = view[:, None].expand(*points.shape[:2], -1)
        hidden = functional.relu(self.view(torch.cat([self.feature(hidden), view], dim=-1)))
        return density, torch.sigmoid(self.colour(hidden))


class MlpField(RadianceField):
    """Two networks, `coarse` and `fine`: the second is asked where the first found something.

    With `shared_network` both are one. `noise` is the standard deviation of what is added to the raw density of rays
    that come with a generator.
    """

    noise: float = 0.0

    def __init__(
        self, bounds: Bounds, background: Tensor, config: FieldConfig, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(bounds, background, config)
        self.coarse = Network(config, self.channels, generator)
        separate = config.fine_samples and not config.shared_network
        self.fine = Network(config, self.channels, generator) if separate else None

    def set_coarse_to_fine(self, share: float) -> None:
        """Let in `share` of the frequencies of the encodings, the lowest first."""
        for network in (self.coarse, self.fine):
            if network is not None:
                network.coarse_to_fine = share

    def shade(self, origins: Tensor, directions: Tensor, generator: torch.Generator | None = None) -> Shade:
        return self.both(origins, directions, generator)[-1]

    def both(self, origins: Tensor, directions: Tensor, generator: torch.Generator | None = None) -> list[Shade]:
        """The coarse and then the fine rendering (or the coarse alone): the loss is over all of them (eq. 6)."""
        scene = origins, directions
        origins, directions = self.local(origins, directions)
        distance = self._first(directions, generator)
        shade, weights = self._through(self.coarse, origins, directions, distance, generator)
        if not self.config.fine_samples:
            return [self._measured(shade, *scene)]
        even = self.config.sampling == "even"
        more = importance(distance, weights, self.config.fine_samples, generator, ends=even)
        distance = torch.cat([distance, more], dim=1).sort(dim=1).values
        finer, _ = self._through(self.fine or self.coarse, origins, directions, distance, generator)
        return [self._measured(shade, *scene), self._measured(finer, *scene)]

    @torch.no_grad()
    def _measured(self, shade: Shade, origins: Tensor, directions: Tensor) -> Shade:
        """Its depth, known in local units, in those of the scene."""
        return replace(shade, depth=self.distance(shade.depth, origins, directions))

    def _first(self, directions: Tensor, generator: torch.Generator | None) -> Tensor:
        """Distances (R, S) along local rays, stratified or even; in the logarithm where the scene has no end."""
        near, far = (value / self.bounds.half_size for value in (self.bounds.near, self.bounds.far))
        ends = torch.tensor([[near, far]], device=self.device).expand(len(directions), 2)
        if self.bounds.frustum is not None:  # from the front of the box to its back
            ends = torch.stack([ends[:, 0], 2 / directions[:, 2].detach()], dim=1)
        if self.config.sampling == "even":
            steps = torch.linspace(0, 1, self.config.samples, dtype=directions.dtype, device=self.device)
            return ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps
        if not self.bounds.contract:
            return stratified(ends[:, :1], ends[:, 1:], self.config.samples, generator)
        ends = ends.clamp(min=1e-3).log()
        return stratified(ends[:, :1], ends[:, 1:], self.config.samples, generator).exp()

    def _through(
        self, network: Network, origins: Tensor, directions: Tensor, distance: Tensor, generator: torch.Generator | None
    ) -> tuple[Shade, Tensor]:
        points = origins[:, None] + distance[..., None] * directions[:, None]  # (R, S, 3)
        noise = None
        if self.noise > 0 and generator is not None:
            noise = self.noise * torch.randn(distance.shape, generator=generator).to(distance.device)
        if self.bounds.contract:
            points = contract(points, self.bounds.shell) / self.bounds.reach
        density, emitted = network(points, directions, noise)
        beyond = torch.full_like(distance[:, :1], 1e10)
        if self.config.sampling == "even":  # the last sample lies at `far`, and counts for nothing
            beyond = torch.zeros_like(beyond)
        length = torch.cat([distance.diff(dim=1), beyond], dim=1)
        weights = weights_of(density * length)
        with torch.no_grad():
            mean = (weights * distance).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-6)
        colour = (weights[..., None] * emitted).sum(dim=1)
        return Shade(colour=colour, opacity=weights.sum(dim=1), depth=mean), weights

"""What an iteration of each phase of GNeRF's published preset takes, at its full size, on one device."""

import torch
from grid_steps import timed

from bench.matrix.registry import find_scene
from bench.task import Effort
from methods.gnerf import phases
from methods.gnerf.config import GnerfConfig
from methods.gnerf.model import Model
from methods.gnerf.photometric import photometric_step
from methods.gnerf.schedule import Iteration, Phase
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import generator

SIDE = 400
"""px, of the images: those of the paper."""


def published_steps(device: str, scene: str, effort: Effort = "full") -> dict[str, tuple[float, ...]]:
    """Seconds of iterations in the middle of each phase, by phase; looks for a collapse are not in them."""
    config = GnerfConfig(preset="published")
    capture = find_scene(scene, ()).load(SIDE).capture
    sight = ImagePyramid.of(capture, masked=False, device=torch.device(device))
    model = Model(capture, sight, config, effort, 0)
    plan = config.plan(effort)

    def step(phase: Phase) -> None:
        before = sum(list(plan.phases.values())[: list(plan.phases).index(phase)])
        middle = plan.phases[phase] // 2
        iteration = Iteration(preset=model.preset, plan=plan, phase=phase, index=middle, before=before)
        rng = generator(0, iteration.number)
        shown = phases._adversarial(model, iteration, rng)[1] if phase != "B" else None
        if phase != "A":
            photometric_step(model, iteration, rng, shown)

    return {phase: timed(lambda phase=phase: step(phase), device) for phase in plan.phases}

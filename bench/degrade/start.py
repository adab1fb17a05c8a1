"""Start poses further from the truth: for methods that improve poses rather than find them."""

from __future__ import annotations

from collections.abc import Mapping

from bench.degrade.initial_poses import perturbed
from bench.degrade.kind import Kind, RngOf
from bench.task import Capture, InitialPoses


def start_noise(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Twists of the world in se(3) about the scene's middle (BARF, Lin et al. 2021, sec. 4.2; its own level is 3).

    It comes on top of the noise that a method asks for itself: `barf[start_noise=0]` shows the axis alone.
    """
    return perturbed(capture, InitialPoses(noise=parameters["std"]), rng_of)


KINDS = (
    Kind(
        name="start_noise",
        family="pose",
        summary="start poses are moved by se(3) noise, 4 to 55 degrees in the mean, on top of what a method asks for",
        view_consistent=False,
        levels={"std": (0.0, 0.05, 0.10, 0.15, 0.30, 0.60)},
        apply=start_noise,
        needs=frozenset({"start"}),
        touches=frozenset({"start"}),
        once=True,
    ),
)

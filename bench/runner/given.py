"""What a result says of the capture that its method was shown, and of what was assumed of the scene."""

from __future__ import annotations

from bench.judge.inputs import inputs_in_full
from bench.scene import Scene
from bench.stated_prior import StatedPrior
from bench.task import Capture


def given_in_full(capture: Capture, scene: Scene) -> dict[str, str]:
    """A sentence for each kind of input (`bench.judge.inputs.inputs_in_full`), and for the background."""
    told = inputs_in_full(capture, scene.truth)
    if isinstance(capture.prior, StatedPrior):
        told["prior"] = f"estimated from a stated family alone, {capture.prior.walk}: {told['prior']}"
    elif capture.prior is None and isinstance(scene.capture.prior, StatedPrior):
        told["prior"] += ": the scene's is of a stated family, in no frame of its poses"
    return {**told, "background": _background(capture.background)}


def assumed(scene: Scene) -> dict[str, str]:
    """A note of a result where anything was assumed of its scene when it was read, a found background for one."""
    return {"scene": "; ".join(scene.notes)} if scene.notes else {}


def _background(colour: tuple[float, float, float] | None) -> str:
    if colour is None:
        return "a real one"
    return f"known, sRGB ({', '.join(f'{255 * channel:.0f}' for channel in colour)})"

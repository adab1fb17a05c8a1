"""Intrinsics that are declared, and wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.degrade.kind import Kind, RngOf
from bench.task import Capture


def focal_error(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Declare a focal length that is `factor` times the true one, in x and y alike.

    What a method makes of it belongs to the declared camera, so its renders are made with that one.
    """
    camera, factor = capture.camera, parameters["factor"]
    return replace(capture, camera=camera and replace(camera, fx=factor * camera.fx, fy=factor * camera.fy))


KINDS = (
    Kind(
        name="focal_error",
        family="camera",
        summary="the declared focal length is too long",
        view_consistent=True,
        levels={"factor": (1.0, 1.02, 1.05, 1.1, 1.2, 1.4)},
        apply=focal_error,
        needs=frozenset({"camera"}),
        touches=frozenset({"camera"}),
    ),
)

"""A prior of nothing but a stated family is told as that, and never mistaken for one in the frame of true poses."""

from __future__ import annotations

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner.fit_client import shown_to
from bench.runner.given import given_in_full
from bench.stated_prior import StatedPrior
from datasets.verify import findings


def planned_of(method: str, effort: str):
    (planned,) = plan(Selection(scenes="blocks", methods=method, effort=effort)).cells
    return planned, planned.source.load(64)


def test_a_stated_family_takes_the_place_of_the_scenes_prior():
    planned, scene = planned_of("gnerf", "smoke+prior=ring")
    capture = shown_to(planned, scene)
    assert isinstance(capture.prior, StatedPrior) and capture.prior.walk == "ring"
    assert given_in_full(capture, scene)["prior"].startswith("estimated from a stated family alone, ring: sphere")
    assert not findings(scene)  # its cameras are no ring about the origin, and need not be


def test_a_method_that_is_given_true_poses_is_given_no_prior_of_another_frame():
    planned, scene = planned_of("nerf", "smoke+prior=forward")
    capture = shown_to(planned, scene)
    assert capture.start is not None and capture.prior is None
    assert given_in_full(capture, scene)["prior"].startswith("not given: the scene's is of a stated family")
    planned, scene = planned_of("nerf", "smoke")
    assert shown_to(planned, scene).prior is not None

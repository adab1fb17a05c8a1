"""Answers in frames of their own agree as far as their cameras do, whatever the frames."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.judge.agreement import agreements, between, consensus
from bench.judge.similarity import Similarity
from bench.task import PosePrior, ViewId

VIEWS = [ViewId(f"v{k:03d}") for k in range(20)]
RIG = PosePrior().sample(np.random.default_rng(0), 20)


def answer(rng: np.random.Generator, degrees: float = 0.0, count: int = 20):
    """The rig in another frame, each camera turned about its own axis by so many degrees."""
    frame = Similarity(
        scale=float(rng.uniform(0.01, 100)), rotation=Rotation.random(random_state=rng.integers(1 << 30)).as_matrix(),
        translation=rng.normal(size=3),
    )  # fmt: skip
    turned = RIG.copy()
    turned[:, :3, :3] = turned[:, :3, :3] @ Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    return dict(zip(VIEWS[:count], frame.apply(turned), strict=False))


def test_what_differs_by_a_similarity_alone_agrees_exactly():
    rng = np.random.default_rng(1)
    found = between(answer(rng), answer(rng, count=12))
    assert found.views == 12 and found.same
    assert found.rotation_deg == pytest.approx(0, abs=1e-6) and found.centre == pytest.approx(0, abs=1e-9)


def test_the_angle_between_two_answers_is_measured():
    rng = np.random.default_rng(2)
    assert between(answer(rng), answer(rng, 8.0)).rotation_deg == pytest.approx(8, abs=1e-6)


def test_too_few_shared_views_and_cameras_in_one_point_are_said():
    rng = np.random.default_rng(3)
    few = between(answer(rng, count=3), answer(rng))
    assert not few.same and few.reason == "3 views have a pose in both, and 4 are the fewest"
    point = {view: np.eye(4) for view in VIEWS}
    assert "coincide" in str(between(point, answer(rng)).reason)


def test_the_consensus_is_the_largest_set_that_agrees_and_of_two_the_nearer():
    rng = np.random.default_rng(4)
    held = [answer(rng, degrees) for degrees in (0.0, 40.0, 2.0, 80.0, 83.0, 4.0)]
    assert consensus(6, agreements(held)) == (0, 2, 5)
    assert consensus(2, agreements([held[0], held[1]])) == ()
    assert consensus(4, agreements([held[0], held[2], held[3], held[3]])) == (2, 3)

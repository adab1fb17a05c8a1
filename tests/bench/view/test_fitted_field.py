"""The frame of a field against the truth's."""

import numpy as np
import pytest

from bench.judge.align import Similarity
from bench.task import look_at
from bench.view.fitted_field import between


def test_the_way_between_two_frames_is_found_from_the_cameras_that_both_hold():
    centres = np.random.default_rng(3).normal(size=(12, 3)) + np.array([0, 0, 4])
    poses = look_at(centres, np.zeros(3), np.array([0.0, 1.0, 0.0]))
    turn = look_at(np.array([[1.0, 2, 3]]), np.zeros(3), np.array([0.3, 0.5, 0.8]))[0, :3, :3]
    true = Similarity(scale=0.3, rotation=turn, translation=np.array([5.0, -1, 2]))
    found = between(poses, true.apply(poses))
    assert found.scale == pytest.approx(true.scale)
    assert found.rotation == pytest.approx(true.rotation)
    assert found.translation == pytest.approx(true.translation)

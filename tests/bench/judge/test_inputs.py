"""What a result says that its method was given, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.judge.inputs import inputs_in_full, prior_in_words
from bench.scene import HeldOut, Truth
from bench.task import Camera, Capture, Estimate, PosePrior, ViewId

CAMERA = Camera(width=8, height=6, fx=10, fy=10, cx=4, cy=3)
IDS = [ViewId(f"v{k:03d}") for k in range(4)]


@pytest.fixture
def truth():
    """Four centres at the corners of a square around the origin, 2 away from it: an RMS radius of 2."""
    poses = {}
    for k, view in enumerate(IDS):
        poses[view] = np.eye(4)
        poses[view][:2, 3] = 2 * np.cos(k * np.pi / 2), 2 * np.sin(k * np.pi / 2)
    heldout = HeldOut(ids=(), poses=np.zeros((0, 4, 4)), images=np.zeros((0, 6, 8, 3), np.uint8))
    return Truth(poses=poses, camera=CAMERA, heldout=heldout, reference="exact", order=tuple(IDS))


def shown(**given):
    return Capture(images={view: np.zeros((6, 8, 3), np.uint8) for view in IDS}, **given)


def test_images_alone_are_said_to_be_alone(truth):
    assert inputs_in_full(shown(), truth) == {
        "images": "4 images of 8x6 px", "intrinsics": "not given", "prior": "not given", "masks": "not given",
        "start": "not given",
    }  # fmt: skip


def test_wrong_intrinsics_are_not_called_true(truth):
    assert inputs_in_full(shown(camera=CAMERA), truth)["intrinsics"] == "focal length 10.0 px, true"
    wrong = replace(CAMERA, fx=11, fy=11)
    assert inputs_in_full(shown(camera=wrong), truth)["intrinsics"] == "focal length 11.0 px, +10.0% off"


def test_a_start_says_how_far_off_it_is(truth):
    assert inputs_in_full(shown(start=truth.poses), truth)["start"] == "true poses of all 4 views"
    start = {view: pose.copy() for view, pose in truth.poses.items()}
    for view, angle in zip(IDS[1:], (5, 10, 30), strict=True):
        start[view][:3, :3] = Rotation.from_euler("z", angle, degrees=True).as_matrix()
        start[view][2, 3] += 0.5
    said = inputs_in_full(shown(start=start), truth)["start"]
    assert said.startswith("true poses of 1 of 4 views; the others 10.0 deg (at most 30.0) and 0.250 rig radii off")


@pytest.mark.parametrize(
    ("prior", "words", "free"),
    [
        (PosePrior(), "radius 4 (known)", 2),
        (PosePrior(radius=(3, 5)), "radius 3 to 5", 3),
        (PosePrior(elevation=(30, 30)), "elevation 30 deg", 1),
        (PosePrior(look_at_std=0.1, roll_std=2, radius=(3, 5)), "roll within a std of 2 deg", 6),
    ],
)
def test_a_prior_says_what_it_leaves_open(prior, words, free):
    said = prior_in_words(prior)
    assert words in said
    assert said.endswith(f"{free} of 6 degrees of freedom left")


def test_submitted_poses_are_said_to_be_made_elsewhere(truth):
    estimate = Estimate(poses={IDS[0]: np.eye(4)}, camera=CAMERA)
    said = inputs_in_full(shown(estimate=estimate), truth)["estimate"]
    assert said == "poses of 1 of 4 views, made elsewhere, and intrinsics of their own"

"""Registration against a frozen field: from rough starts, from none, and on the pixels that tell most."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.degrade.initial_poses import generator_of, perturbed
from bench.judge.metrics import rotation_errors
from bench.judge.poses import judge_poses
from bench.matrix.registry import find_scene
from bench.task import Job, RegisteringField
from methods.inerf.config import InerfConfig, Registration
from methods.inerf.interest import draw_points, interest_region
from methods.inerf.method import Inerf
from methods.nerf.config import Budget

CONFIG = InerfConfig(
    grid_smoke=Budget(steps=300, rays=4096, side=72), registration=Registration(steps=120, rays=128, smallest=24)
)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """`blocks` at 64 px: half of its views registered against a field of the other half."""
    scene = find_scene("blocks", ()).load(64)
    method = Inerf(CONFIG)
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses), masks=None)
    capture = perturbed(capture, method.traits.start, generator_of("blocks", 0))
    job = Job(seed=0, workdir=tmp_path_factory.mktemp("inerf"), threads=1, effort="smoke")
    return scene, capture, method.fit(capture, job), method


def test_views_started_within_twenty_degrees_are_found(registered):
    scene, capture, fit, _ = registered
    judged = judge_poses(fit.poses, scene.truth, given=capture.exact)
    before = judge_poses(capture.start, scene.truth, given=capture.exact)
    assert before.metrics["pose/rotation_deg_median"] > 7
    errors = np.array([row["pose/rotation_deg"] for row in judged.per_view.values()])
    assert len(errors) == 50
    assert (errors < 1).mean() > 0.8  # 0.3 degrees is usual at this size
    assert all(np.array_equal(fit.poses[view], scene.truth.poses[view]) for view in capture.exact)


def test_new_images_are_registered_from_the_known_views_alone(registered, tmp_path):
    scene, _, fit, method = registered
    method.save(fit, tmp_path)
    again = method.load(tmp_path, "cpu")
    assert isinstance(again, RegisteringField)
    held = scene.truth.heldout
    found = again.register(held.images[:8], scene.truth.camera, 0)
    assert (rotation_errors(found, held.poses[:8]) < 2).mean() > 0.5
    assert np.array_equal(found, again.register(held.images[:8], scene.truth.camera, 0))


def test_corners_are_where_the_interest_is():
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:60] = 255
    region = interest_region(image, keypoints=20, dilation=1)
    assert all(region[y, x] for y in (20, 39) for x in (30, 59))
    assert not region[30, 45]
    assert not region[5, 5]
    assert interest_region(np.zeros_like(image), 20, 1).all()
    points = draw_points(torch.from_numpy(region)[None], 200, torch.Generator().manual_seed(0))[0]
    columns = ((points[:, 0] + 1) * 40).floor().long()
    rows = ((points[:, 1] + 1) * 30).floor().long()
    assert region[rows, columns].all()

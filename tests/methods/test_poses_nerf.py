"""The shared field on poses made elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from bench.matrix.registry import find_scene
from bench.runner.contract import small
from bench.task import Estimate, Job
from methods.nerf.field.bounds import Bounds
from methods.nerf.training.hull_bounds import bounds_of
from methods.poses_nerf.method import Poses, PosesNerf


@pytest.fixture(scope="module")
def scene():
    return small(find_scene("blocks", ()).load(64), 6)


@pytest.fixture(scope="module")
def elsewhere(scene):
    """The scene's poses in a frame ten times as large, one view lost."""
    far = {view: pose.copy() for view, pose in list(scene.truth.poses.items())[1:]}
    for pose in far.values():
        pose[:3, 3] = 10 * pose[:3, 3] + 100
    return far


def brief(kind):
    return kind(kind.Config(steps=20))


def test_the_answer_is_what_was_submitted_and_the_field_is_in_its_frame(scene, elsewhere, tmp_path):
    own = scene.truth.camera.resized(128, 128).resized(64, 64)
    capture = replace(scene.capture, camera=None, prior=None, estimate=Estimate(poses=elsewhere, camera=own))
    fit = brief(PosesNerf).fit(capture, Job(seed=0, workdir=tmp_path, effort="smoke"))
    assert fit.poses is elsewhere
    assert fit.camera == own
    made = fit.field.render(np.stack(list(elsewhere.values())), own)
    shown = np.stack([scene.capture.images[view] for view in elsewhere]) / 255
    error, flat = ((image - shown).reshape(-1) for image in (made.rgb, shown.mean(axis=(0, 1, 2))))
    assert np.square(error).mean() < 0.7 * np.square(flat).mean()  # after 20 steps it has begun to see the scene


def test_before_a_known_background_the_field_closes_around_the_object_as_that_of_true_poses(scene, elsewhere, tmp_path):
    job, capture = (
        Job(seed=0, workdir=tmp_path, effort="smoke"),
        replace(scene.capture, estimate=Estimate(poses=elsewhere)),
    )
    made = brief(PosesNerf).fit(capture, job).field.bounds
    assert made == bounds_of(capture.images, elsewhere, capture.camera, None, capture.background)
    assert made.closed and made.half_size < Bounds.from_cameras(list(elsewhere.values())).half_size
    real = brief(PosesNerf).fit(replace(capture, background=None), job).field.bounds
    around = Bounds.from_cameras(list(elsewhere.values()), contract=True, camera=capture.camera)
    assert real == around.shelled(capture.camera)


def test_the_scenes_intrinsics_serve_where_none_were_submitted(scene, elsewhere, tmp_path):
    capture = replace(scene.capture, estimate=Estimate(poses=elsewhere)).only(
        PosesNerf().traits.needs | PosesNerf().traits.uses
    )
    assert capture.inputs == {"camera", "estimate"}
    fit = brief(PosesNerf).fit(capture, Job(seed=0, workdir=tmp_path, effort="smoke"))
    assert fit.camera is None  # it is the one that was given: nothing was estimated


def test_poses_alone_pass_through(scene, elsewhere, tmp_path):
    capture = replace(scene.capture, estimate=Estimate(poses=elsewhere))
    fit = Poses().fit(capture, Job(seed=0, workdir=tmp_path))
    assert (fit.poses, fit.field, fit.camera) == (elsewhere, None, None)


@pytest.mark.parametrize("kind", [Poses, PosesNerf])
def test_without_a_submission_there_is_nothing_to_judge(scene, tmp_path, kind):
    assert kind().traits.unmet_by(scene.capture) == "needs poses that `unposed submit` brought under this name"
    with pytest.raises(ValueError, match="unposed submit"):
        kind().fit(scene.capture, Job(seed=0, workdir=tmp_path))

"""New images before a real background: found among the poses of the views, and not in the prior's family alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from test_gnerf_anew import ANEW
from test_gnerf_train import a_job
from test_nerf_lost_views import Globe, ring
from test_pose_margins import CAMERA, PRIOR, Ball, seen

from methods.gnerf.field import VIEWS, GnerfField
from methods.gnerf.train import fit
from methods.nerf.training.lost_views import SMALL


def by_hand(poses):
    """The same cameras, rolled by 15 degrees, and looking a few degrees past the object."""
    held = poses.copy()
    held[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_euler("zxy", [15, 4, -3], degrees=True).as_matrix()
    return held


def off(found, truth):
    """Degrees, and scene units."""
    turned = Rotation.from_matrix(found[:, :3, :3]).inv() * Rotation.from_matrix(truth[:, :3, :3])
    return np.degrees(turned.magnitude()), np.linalg.norm(found[:, :3, 3] - truth[:, :3, 3], axis=1)


def test_a_new_image_is_found_among_views_that_a_hand_held_otherwise_than_the_prior_says():
    poses = by_hand(ring(30))
    truth = poses[[4, 15, 21]]
    field = GnerfField(
        field=Globe(), prior=replace(PRIOR, radius=(4.0, 5.0)), family="sphere", answer_family="sphere", inversion=None,
        inversion_kind="cnn", candidates=200, hypotheses=4, side=24,
        views=torch.from_numpy(np.delete(poses, [4, 15, 21], axis=0)).float(),
    )  # fmt: skip
    images = seen(field, truth, noise=0.01)
    degrees, distance = off(field.register(images, CAMERA, 0), truth)
    assert degrees.max() < 0.5 and distance.max() < 0.05  # a pixel is half a degree
    degrees, _ = off(replace(field, views=None).register(images, CAMERA, 0), truth)
    assert degrees.min() > 5


@pytest.mark.parametrize("elevation", [(70.0, 89.0), (0.0, 6.0)])
def test_new_images_from_above_and_from_the_side_are_found(elevation):
    """Where one side of a scene looks nearly like another, and one hypothesis alone is followed to the end on the image
    itself, some end half a turn off."""
    prior = replace(PRIOR, elevation=(0.0, 90.0))
    truth = replace(prior, elevation=elevation).sample(np.random.default_rng(0), 12)
    field = GnerfField(
        field=Ball(odd=0.02), prior=prior, family="sphere", answer_family="sphere", inversion=None,
        inversion_kind="cnn", candidates=200, hypotheses=3, side=24,
    )  # fmt: skip
    degrees, distance = off(field.register(seen(field.field, truth, noise=0.01), CAMERA, 0), truth)
    assert degrees.max() < 1 and distance.max() < 0.07


def test_a_fit_before_a_real_background_keeps_its_poses_with_its_field(open_town, tmp_path, never_collapses):
    found = fit(open_town, ANEW, a_job(tmp_path / "work"))
    field, folder = found.field, tmp_path / "saved"
    assert np.allclose(field.views, np.stack([found.poses[view] for view in open_town.images]))
    folder.mkdir()
    field.save(folder)
    again = GnerfField.load(folder, "cpu")
    assert again.search == field.search == SMALL and torch.equal(again.views, field.views)
    images = np.stack(list(open_town.images.values())[:2])
    assert np.array_equal(again.register(images, open_town.camera, 0), field.register(images, open_town.camera, 0))
    (folder / VIEWS).unlink()
    with pytest.raises(ValueError, match="not a scene saved by this version"):
        GnerfField.load(folder, "cpu")
    replace(field, views=None).save(folder)  # over the other one
    assert GnerfField.load(folder, "cpu").views is None

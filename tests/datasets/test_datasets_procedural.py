"""The embedded scenes are what they say: exact, repeatable, distinct, and seen by a blob detector."""

import numpy as np
import pytest
from written import project, sift

from bench.regime import SIDE
from datasets.procedural import EmbeddedScene, rig, sources
from datasets.procedural.casting import Solid, first_hit, picture
from datasets.procedural.scenes import SCENES
from datasets.procedural.shapes import Sphere
from datasets.procedural.textures import flat
from datasets.verify import findings

WHITE = (1.0, 1.0, 1.0)


def test_three_scenes_are_embedded_and_need_no_data_root():
    found = {source.name: source for source in sources([])}
    assert list(found) == ["blocks", "blocks-plain", "blocks-repeat"]
    assert all(source.missing is None and source.reference == "exact" and source.summary for source in found.values())


def test_a_scene_has_100_training_and_25_heldout_views_and_all_gifts_it_announces(blocks):
    assert len(blocks.capture.images) == len(blocks.truth.poses) == 100
    assert blocks.truth.heldout.images.shape == (25, 64, 64, 3)
    assert blocks.capture.inputs == EmbeddedScene(name="blocks").inputs == {"camera", "prior", "masks"}
    assert findings(blocks) == []


def test_view_ids_are_opaque_and_shuffled_and_capture_and_truth_agree(blocks):
    assert list(blocks.capture.images) == [f"v{k:03d}" for k in range(100)]
    assert set(blocks.truth.order) == set(blocks.capture.images) == set(blocks.truth.poses)
    assert list(blocks.truth.order) != sorted(blocks.truth.order)
    heights = [blocks.truth.poses[view][2, 3] for view in blocks.truth.order]
    assert heights == sorted(heights)  # the rig climbs as it goes round, and the ids do not tell
    assert abs(np.corrcoef(heights, [int(view[1:]) for view in blocks.truth.order])[0, 1]) < 0.3


def test_cameras_keep_to_the_prior_and_look_at_the_origin(blocks):
    poses = np.stack([*blocks.truth.poses.values(), *blocks.truth.heldout.poses])
    centres = poses[:, :3, 3]
    assert np.allclose(np.linalg.norm(centres, axis=1), 4.0)
    assert (centres[:, 2] > 0).all()
    assert np.allclose(poses[:, :3, 2], -centres / 4.0)
    assert np.allclose(poses[:, 2, 0], 0)  # no roll: the image's x axis is level
    drawn = rig.PRIOR.sample(np.random.default_rng(0), 4000)[:, 2, 3]
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):  # 100 stratified heights against 4000 draws, of deviation 4 / 2 / sqrt(4000)
        assert np.quantile(centres[:100, 2], q) == pytest.approx(np.quantile(drawn, q), abs=0.12)


def test_no_heldout_camera_is_a_training_camera(blocks):
    train = np.stack(list(blocks.truth.poses.values()))[:, :3, 3]
    distance = np.linalg.norm(train[:, None] - blocks.truth.heldout.poses[None, :, :3, 3], axis=-1)
    assert distance.min() > 0.02


def test_a_known_point_projects_where_it_is_seen():
    point = np.array([0.4, -0.7, 0.3])
    speck = Solid(shape=Sphere(centre=point, radius=0.05), paint=flat("#000000"))
    camera = rig.camera(200)
    for pose in rig.viewpoints(np.random.default_rng(3), 5):
        coverage = picture([speck], pose, camera, WHITE).coverage / 255
        rows, columns = np.indices(coverage.shape) + 0.5
        seen = [(columns * coverage).sum() / coverage.sum(), (rows * coverage).sum() / coverage.sum()]
        assert np.allclose(seen, project(point[None], pose, camera)[0], atol=0.05)


def test_masks_agree_with_the_depth_of_single_rays(blocks):
    solids, camera = SCENES["blocks"][0](), blocks.truth.camera
    for view in list(blocks.capture.images)[:4]:
        pose, mask = blocks.truth.poses[view], blocks.capture.masks[view].ravel()
        rays = camera.directions().reshape(-1, 3) @ pose[:3, :3].T
        depth, _ = first_hit(solids, pose[:3, 3], rays.T)
        assert np.isfinite(depth[mask == 255]).all()
        assert np.isinf(depth[mask == 0]).all()
        assert 0 < (mask % 255 > 0).mean() < 0.15  # borders are anti-aliased, and are only borders
        assert (blocks.capture.images[view].reshape(-1, 3)[mask == 0] == 255).all()
        assert depth[mask == 255].min() > 2.6 and depth[mask == 255].max() < 5.4  # within the prior's near and far


def test_a_surface_point_has_one_colour_from_all_sides():
    solids, camera = SCENES["blocks-plain"][0](), rig.camera(200)
    centre, edge = np.array([0.34, 0.62, -0.17]), 0.25
    point = centre + edge * np.array([0.0, 0.0, 1.0])  # the top of the large ball
    colours = []
    for pose in rig.viewpoints(np.random.default_rng(1), 12)[4:]:
        u, v = project(point[None], pose, camera)[0]
        colours.append(picture(solids, pose, camera, WHITE).rgb[int(v), int(u)].astype(float))
    assert np.ptp(colours, axis=0).max() < 12  # of 255: half a pixel off the top, the ball is a little darker


def test_the_same_scene_is_the_same_bytes_made_again_or_kept(monkeypatch, tmp_path):
    loaded = []
    for folder in ("one", "two", "two"):
        monkeypatch.setenv("UNPOSED_CACHE", str(tmp_path / folder))
        loaded.append(EmbeddedScene(name="blocks").load(16))
    first = loaded[0]
    for again in loaded[1:]:
        assert all((again.capture.images[view] == image).all() for view, image in first.capture.images.items())
        assert all((again.capture.masks[view] == mask).all() for view, mask in first.capture.masks.items())
        assert all((again.truth.poses[view] == pose).all() for view, pose in first.truth.poses.items())
        assert (again.truth.heldout.images == first.truth.heldout.images).all()
        assert (again.truth.heldout.poses == first.truth.heldout.poses).all()


def test_digests_tell_scenes_and_sides_apart():
    digests = {source.digest(side) for source in sources([]) for side in SIDE.values()}
    assert len(digests) == 9
    assert EmbeddedScene(name="blocks").digest(64) in digests


def test_no_view_of_blocks_is_mistaken_for_one_from_another_side(blocks):
    """The nearest image is taken from near by; under the repeated tile it is as often from anywhere."""
    mistaken = {}
    for scene in (blocks, EmbeddedScene(name="blocks-repeat").load(32)):
        images = np.stack([image.ravel() for image in scene.capture.images.values()]) / 255
        rotations = np.stack([scene.truth.poses[view][:3, :3] for view in scene.capture.images])
        square = (images**2).sum(axis=1)
        distance = square[:, None] + square - 2 * images @ images.T
        np.fill_diagonal(distance, np.inf)
        nearest = rotations[distance.argmin(axis=1)]
        cosine = (np.einsum("nij,nij->n", rotations, nearest) - 1) / 2
        mistaken[scene.name] = int((np.degrees(np.arccos(cosine.clip(-1, 1))) > 90).sum())
    assert mistaken["blocks"] == 0
    assert mistaken["blocks-repeat"] > 30


def test_sift_finds_much_on_blocks_and_little_on_blocks_plain(tmp_path):
    """Medians of 12 views at 200 px when written: 282 keypoints on blocks, 62 on blocks-plain (pycolmap 4.2)."""
    poses, camera = rig.viewpoints(np.random.default_rng(0), 12), rig.camera(200)
    counts = {}
    for name in ("blocks", "blocks-plain"):
        solids = SCENES[name][0]()
        views = np.stack([picture(solids, pose, camera, WHITE).rgb for pose in poses])
        counts[name] = [len(points) for points, _ in sift(views, tmp_path)]
    assert np.median(counts["blocks"]) > 200 and min(counts["blocks"]) > 120
    assert np.median(counts["blocks-plain"]) < 100

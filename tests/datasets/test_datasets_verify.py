"""`verify` is silent about a good scene and says each thing that is odd about another."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from written import POSES, project

from bench.cli import main
from bench.task import Camera, ViewId
from datasets.epipolar import examine, spread, triangulated
from datasets.folder import AbsentScene, open_folder, sources
from datasets.verify import SIDE, findings, verify


def _first(scene):
    return next(iter(scene.capture.images))


def _with_image(scene, image):
    return replace(scene, capture=replace(scene.capture, images={**scene.capture.images, _first(scene): image}))


def _with_pose(scene, pose):
    return replace(scene, truth=replace(scene.truth, poses={**scene.truth.poses, _first(scene): pose}))


def test_a_good_folder_has_no_findings(transforms_folder):
    assert verify(open_folder(transforms_folder())).faults == []


@pytest.mark.parametrize(
    ("name", "error"),
    [("nerf_llff_data/fern", 0.5), ("dtu/scan24_monosdf", 0.5), ("middlebury/templeRing", 0.3)],
)  # medians that others measured: 0.31, 0.18 and 0.17 px at the full size
def test_the_poses_of_a_published_scene_fit_its_images(data_root, name, error):
    source = open_folder(data_root / name)
    assert verify(source).faults == []
    measured = examine(source.load(SIDE))
    assert measured.error < error
    assert measured.control > 5 * measured.error
    assert "matches between" in measured.sentence and measured.views[0] <= 16 and measured.views[1] > measured.views[0]


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16, 17, 100, 1000])
def test_views_looked_at_are_spread_over_the_capture_and_matched_with_their_neighbours(count):
    chosen, pairs = spread(count)
    assert chosen[0] == 0 and chosen[-1] == count - 1 and len(chosen) == len(set(chosen)) <= 16
    assert max(np.diff(chosen)) <= max(1, count / 3)
    assert all(0 < chosen[b] - chosen[a] <= 3 for a, b in pairs)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda pose: pose @ np.diag([1.0, -1, -1, 1]), "another convention of axes"),
        (lambda pose: np.linalg.inv(pose), "look inverted: they fit as camera_from_world"),
        (lambda pose: np.diag([-1.0, 1, 1, 1]) @ pose @ np.diag([-1.0, 1, 1, 1]), "or mirrored"),
    ],
)
def test_a_mistake_of_conventions_is_called_by_its_name(data_root, spoil, said):
    scene = open_folder(data_root / "nerf_llff_data/fern").load(SIDE)
    poses = {view: spoil(pose) for view, pose in scene.truth.poses.items()}
    assert said in (examine(replace(scene, truth=replace(scene.truth, poses=poses))).verdict or "")


def test_a_wrong_focal_length_is_said(data_root):
    scene = open_folder(data_root / "transforms/dtu_scan24_384").load(SIDE)
    wrong = replace(scene.truth.camera, fx=scene.truth.camera.fx / 1.7, fy=scene.truth.camera.fy / 1.7)
    verdict = examine(replace(scene, truth=replace(scene.truth, camera=wrong))).verdict
    assert verdict is not None and "1.7 times the focal length fits better" in verdict


def test_an_absent_scene_says_how_to_get_it():
    source = next(source for source in sources([]) if isinstance(source, AbsentScene))
    assert verify(source).faults == [f"is not here: {source.missing}"]


def test_a_scene_that_cannot_be_read_is_its_one_finding(transforms_folder):
    folder = transforms_folder()
    (folder / "images" / "04.png").write_bytes(b"")
    (fault,) = verify(open_folder(folder)).faults
    assert "04.png" in fault


def test_few_views_are_said(transforms_folder):
    assert any("only 2 training views" in found for found in verify(open_folder(transforms_folder(images=3))).faults)


def test_blank_and_copied_images_are_said(blocks):
    blank = _with_image(blocks, np.zeros((64, 64, 3), dtype=np.uint8))
    assert findings(blank) == [f"view {_first(blocks)}: its image is of one colour"]
    copied = _with_image(blocks, blocks.capture.images[ViewId("v007")])
    assert findings(copied) == ["views v000 and v007 have the same image"]


def test_poses_that_coincide_or_are_no_rotations_are_said(blocks):
    assert findings(_with_pose(blocks, blocks.truth.poses[ViewId("v007")])) == [
        "views v000 and v007 have the same pose"
    ]
    assert findings(_with_pose(blocks, np.diag([1.0, 1, -1, 1]))) == ["view v000: its pose is not a rotation"]
    assert findings(_with_pose(blocks, np.full((4, 4), np.nan))) == ["view v000: its pose is not finite"]


def test_a_shown_heldout_camera_is_said(blocks):
    assert "views v000 and h003 have the same pose" in findings(_with_pose(blocks, blocks.truth.heldout.poses[3]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"radius": (2.0, 3.0)}, "radius"),
        ({"elevation": (0.0, 20.0)}, "elevation"),
        ({"azimuth": (0.0, 90.0)}, "azimuth"),
        ({"look_at": (1.0, 0.0, 0.0)}, "angle between view and centre"),
    ],
)
def test_a_prior_that_the_cameras_break_is_said(blocks, change, said):
    wrong = replace(blocks, capture=replace(blocks.capture, prior=replace(blocks.capture.prior, **change)))
    assert any(f"have a {said} that the prior does not allow" in found for found in findings(wrong))


def test_a_truth_that_lacks_a_view_is_said(blocks):
    poses = {view: pose for view, pose in blocks.truth.poses.items() if view != "v005"}
    lacking = replace(blocks, truth=replace(blocks.truth, poses=poses))
    assert "100 images, 99 true poses and 100 places do not agree" in findings(lacking)


def test_an_empty_mask_is_said(blocks):
    masks = {**blocks.capture.masks, ViewId("v009"): np.zeros((64, 64), dtype=np.uint8)}
    assert findings(replace(blocks, capture=replace(blocks.capture, masks=masks))) == ["view v009: its mask is empty"]


def test_several_scenes_are_verified_by_name_glob_and_folder_and_drawn(transforms_folder, tmp_path):
    folder, shots = transforms_folder(), tmp_path / "shots"
    done = CliRunner().invoke(main, ["data", "verify", "blocks-p*", str(folder), "--preview", str(shots)])
    assert done.exit_code == 0, done.output
    assert [line.partition(":")[0] for line in done.output.splitlines() if line[0] != " "] == ["blocks-plain", "scene"]
    for name in ("blocks-plain", "scene"):
        with Image.open(shots / f"{name}.png") as drawn:
            assert len(np.unique(np.asarray(drawn.convert("L")))) > 10


def test_matches_meet_where_the_points_are():
    camera = Camera(width=40, height=30, fx=50, fy=51, cx=21, cy=14)
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 3))
    seen = [project(points, pose, camera) for pose in POSES]
    found = [((a, b), np.hstack([seen[a], seen[b]])) for a, b in ((0, 4), (4, 6))]
    images = [np.full((30, 40, 3), k, np.uint8) for k in range(9)]
    met, colours = triangulated(POSES, camera, found, images)
    np.testing.assert_allclose(met, np.concatenate([points, points]), atol=1e-9)
    assert colours[:, 0].tolist() == [0] * 20 + [4] * 20

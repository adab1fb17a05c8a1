"""evo's published figures on TUM fr1_xyz, through our alignment: `evo_ape tum REF EST -a` and `-as`."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.judge.similarity import Similarity, umeyama
from bench.judge.trajectory import trajectory_errors


def read_tum(path):
    """Stamps (N,) and world_from_camera poses (N, 4, 4) of `t x y z qx qy qz qw` lines."""
    rows = np.loadtxt(path)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, 4:]).as_matrix()
    poses[:, :3, 3] = rows[:, 1:4]
    return rows[:, 0], poses


def associated(truth, estimate, limit=0.01):
    """Each pose of the shorter trajectory with the nearest in time of the longer, as evo pairs them."""
    short, long = sorted((truth, estimate), key=lambda track: len(track[0]))
    nearest = np.abs(short[0][:, None] - long[0][None]).argmin(axis=1)
    close = np.abs(long[0][nearest] - short[0]) <= limit
    pair = short[1][close], long[1][nearest[close]]
    return pair if short is truth else pair[::-1]


@pytest.mark.parametrize(
    ("name", "scaled", "rmse"),
    [("rgbdslam", False, 0.013470), ("ORB_kf_mono", False, 0.024302), ("ORB_kf_mono", True, 0.009755)],
)
def test_evo_ape_is_reproduced(data_root, name, scaled, rmse):
    folder = data_root / "trajectories"
    truth, estimate = associated(*(read_tum(folder / f"freiburg1_xyz-{n}.txt") for n in ("groundtruth", name)))
    x, y = estimate[:, :3, 3], truth[:, :3, 3]
    similarity = umeyama(x, y)
    if not scaled:  # the rotation of a least-squares alignment does not depend on the scale (Umeyama, eq. 40-41)
        R = similarity.rotation
        similarity = Similarity(scale=1.0, rotation=R, translation=y.mean(0) - R @ x.mean(0))
    errors = trajectory_errors(similarity.apply(estimate), truth)
    assert float(np.sqrt(np.mean(errors.ate**2))) == pytest.approx(rmse, abs=5e-7)

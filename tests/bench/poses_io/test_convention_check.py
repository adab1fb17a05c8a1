import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.poses_io.convention_check import mistaken
from bench.task import PosePrior, ViewId

TRUTH = dict(
    zip([ViewId(f"v{k:03d}") for k in range(30)], PosePrior().sample(np.random.default_rng(0), 30), strict=True)
)
GL = np.diag([1.0, -1.0, -1.0, 1.0])
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def w_first(pose):
    """What comes of writing a quaternion as w x y z and reading it as x y z w."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    wrong = pose.copy()
    wrong[:3, :3] = Rotation.from_quat([w, x, y, z]).as_matrix()
    return wrong


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (np.linalg.inv, "read as camera_from_world, "),
        (lambda pose: pose @ GL, "read as world_from_camera in OpenGL axes"),
        (lambda pose: np.linalg.inv(pose @ GL), "read as camera_from_world in OpenGL axes"),
        (w_first, "read as quaternions with w first"),
        (lambda pose: MIRROR @ pose @ MIRROR, "read as a mirrored world"),
    ],
)
def test_a_mistake_is_called_by_its_name(wrong, name):
    found = mistaken({view: wrong(pose) for view, pose in TRUTH.items()}, TRUTH)
    assert found is not None
    assert found.startswith(name)
    assert "right to 0.0 deg" in found


def test_right_poses_and_wholly_wrong_ones_are_no_such_mistake():
    assert mistaken(TRUTH, TRUTH) is None
    other = dict(zip(TRUTH, PosePrior().sample(np.random.default_rng(1), 30), strict=True))
    assert mistaken(other, TRUTH) is None
    assert mistaken({}, TRUTH) is None

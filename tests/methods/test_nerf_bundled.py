"""Poses adjusted all at once by what a field shows of where images show the same."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bench.geometry import look_at
from bench.task import Camera
from methods.nerf.cameras import bundle_adjustment
from methods.nerf.cameras.bundle_adjustment import MIN_POINTS, Tracks, _frame_of, adjusted
from methods.nerf.images.patch_tracking import ACROSS, blurred, corners, tracked
from methods.nerf.training import bundled as of_bundled
from methods.nerf.training.bundled import bundled

CAMERA = Camera(width=160, height=120, fx=200.0, fy=200.0, cx=80.0, cy=60.0)


pytestmark = pytest.mark.usefixtures("one_thread")


def texture(points):
    """Colours (..., 3) in [-1, 1], of a solid that varies from place to place and looks the same from all sides."""
    rng = np.random.default_rng(3)
    waves, phases, tints = rng.normal(0, 25, (24, 3)), rng.uniform(0, 6.3, 24), rng.normal(0, 1, (24, 3))
    return np.tanh(0.35 * np.sin(points @ waves.T + phases) @ tints)


@dataclass
class Ball:
    """A ball of that solid, of radius 1 around the origin, before a wall that is plain; a field that knows it all."""

    asked: list

    def render(self, poses, camera):
        self.asked.append(camera)
        distance = np.stack([self.distance(pose, camera)[1] for pose in poses])
        return SimpleNamespace(depth=distance, opacity=np.float32(0.9) * (distance > 0))

    @staticmethod
    def distance(pose, camera):
        """Where each pixel looks (H, W, 3), and the depth there (H, W): 0 beside the ball."""
        ways = camera.directions() @ pose[:3, :3].T
        along, centre = (ways * ways).sum(-1), pose[:3, 3]
        half = ways @ centre
        root = half**2 - along * (centre @ centre - 1)
        depth = np.where(root > 0, (-half - np.sqrt(np.maximum(root, 0))) / along, 0)
        return centre + depth[..., None] * ways, depth.astype(np.float32)

    def image(self, pose):
        points, depth = self.distance(pose, CAMERA)
        return torch.from_numpy(np.where(depth[..., None] > 0, texture(points), 1.0)).permute(2, 0, 1).float()


def ring(count=9):
    angles = np.linspace(-0.5, 0.5, count)
    centres = np.stack([3 * np.sin(angles), 0.4 * np.cos(5 * angles), 3 * np.cos(angles)], axis=1)
    return look_at(centres, np.zeros(3), np.array([0.0, 1.0, 0.0]))


def jolted(poses, degrees, seed=0):
    """The poses, turned about the world's origin, so that they still look at it."""
    rng, found = np.random.default_rng(seed), poses.copy()
    for pose in found:
        turn = Rotation.from_rotvec(np.radians(degrees) * rng.normal(0, 1, 3)).as_matrix()
        pose[:3] = turn @ pose[:3]
    return found


def apart(a, b):
    """Degrees between the rotations of two sets of poses, once the first is turned to lie on the second."""
    frame = Rotation.from_matrix(b[:, :3, :3] @ a[:, :3, :3].transpose(0, 2, 1)).mean().as_matrix()
    return np.degrees(Rotation.from_matrix(frame @ a[:, :3, :3] @ b[:, :3, :3].transpose(0, 2, 1)).magnitude())


def test_a_patch_is_found_to_a_tenth_of_a_pixel_where_it_has_moved_and_turned():
    poses = ring()
    image, other = Ball.image(Ball([]), poses[3]), Ball.image(Ball([]), poses[5])
    points = corners(image)
    assert len(points) > 30
    surface, depth = Ball.distance(poses[3], CAMERA)
    on_ball = [k for k, (x, y) in enumerate(points.long().tolist()) if depth[y - 6 : y + 7, x - 6 : x + 7].all()]
    points = points[on_ball]

    def there(places):
        """Of points in the one image, in the other."""
        x, y, z = ((places - poses[5][:3, 3]) @ poses[5][:3, :3]).T
        return torch.from_numpy(np.stack([200 * x / z + 80, 200 * y / z + 60], 1)).float()

    x, y = points.long().T.numpy()
    right = there(surface[y, x]), there(surface[y, x + 1]), there(surface[y, x - 1])
    down = there(surface[y + 1, x]), there(surface[y - 1, x])
    warps = torch.stack([(right[1] - right[2]) / 2, (down[0] - down[1]) / 2], dim=2)
    off = torch.tensor([1.4, -1.1])
    images, other = blurred(torch.stack([image, other, torch.zeros_like(image)])), torch.tensor([1])
    found, is_there = tracked(images, 0, other, points, (right[0] + off)[None], warps[None])
    left = (found[0] - right[0]).norm(dim=1)
    assert is_there[0].float().mean() > 0.7
    assert left[is_there[0]].median() < 0.1 and left[is_there[0]].quantile(0.9) < 0.25
    # what is looked for where something else is, is not there; nor is it in an image without anything
    _, wrong = tracked(images, 0, other, points, right[0].roll(5, 0)[None], warps[None])
    assert wrong[0].float().mean() < 0.1
    _, nothing = tracked(images, 0, other + 1, points, right[0][None], warps[None])
    assert not nothing.any()


def test_corners_are_where_something_changes_and_not_at_the_edge():
    image = torch.zeros(3, 64, 80)
    image[:, 20:40, 30:60] = 1.0
    found = corners(image)
    for corner in ((30, 20), (60, 20), (30, 40), (60, 40)):
        assert (found - torch.tensor(corner)).norm(dim=1).min() < 4
    assert not len(corners(torch.zeros(3, 64, 80)))
    large = torch.rand(1, 300, 400, generator=torch.Generator().manual_seed(0))
    assert 0.5 * ACROSS**2 < len(corners(large)) <= ACROSS**2  # no more than of a small one


def seen_points(poses, count=200, noise=0.0):
    rng = np.random.default_rng(1)
    points = rng.normal(0, 0.4, (count, 3))
    local = (points[None] - poses[:, None, :3, 3]) @ poses[:, :3, :3]
    pixels = local[..., :2] / local[..., 2:] * 200 + [80, 60] + rng.normal(0, noise, (len(poses), count, 2))
    view, point = np.meshgrid(np.arange(len(poses)), np.arange(count), indexing="ij")
    return points, point.ravel(), view.ravel(), pixels.reshape(-1, 2)


def test_adjusted_poses_are_right_in_the_frame_they_came_in_whatever_a_tenth_of_the_points_say():
    poses = ring()
    points, point, view, pixel = seen_points(poses, noise=0.1)
    wrong = np.random.default_rng(2).random(len(point)) < 0.1
    pixel[wrong] += np.random.default_rng(4).normal(0, 20, (wrong.sum(), 2))
    start = jolted(poses, 1.5)
    rough = points + np.random.default_rng(5).normal(0, 0.05, points.shape)
    tracks = Tracks(points=rough, point=point, view=view, pixel=pixel)
    found = adjusted(tracks, start, CAMERA)
    assert found.supported.all()
    assert apart(start, poses).mean() > 1 and apart(found.poses, poses).max() < 0.1
    turned = Rotation.from_matrix(found.poses[:, :3, :3] @ start[:, :3, :3].transpose(0, 2, 1)).mean().magnitude()
    assert np.degrees(turned) < 1e-6  # in the frame of the start, in which they are as large and as far away
    assert np.allclose(found.poses[:, :3, 3].mean(0), start[:, :3, 3].mean(0))
    assert np.allclose(found.poses[:, :3, :3] @ found.poses[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-9)
    again = adjusted(tracks, start, CAMERA)
    assert np.array_equal(again.poses, found.poses)


def test_what_many_observations_are_off_by_together_hardly_counts_once_poses_are_near(monkeypatch):
    """As where an edge before another surface is followed: too near to be doubted by the first loss."""
    poses, errors = ring(), []
    points, point, view, pixel = seen_points(poses, noise=0.02)
    pixel[(point % 3 == 0) & (view % 2 == 0), 0] += 0.4
    tracks = Tracks(points=points, point=point, view=view, pixel=pixel)
    for losses in (bundle_adjustment.LOSSES, bundle_adjustment.LOSSES[:1]):
        monkeypatch.setattr(bundle_adjustment, "LOSSES", losses)
        found = adjusted(tracks, jolted(poses, 1.0), CAMERA)
        assert found.supported.all()
        errors.append(apart(found.poses, poses).max())
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(("fx", "fy"), [(220.0, 220.0), (184.0, 184.0), (220.0, 231.0)])
def test_a_free_focal_length_is_found_with_the_poses(fx, fy):
    poses = ring()
    points, point, view, pixel = seen_points(poses, noise=0.05)
    pixel[:, 1] = (pixel[:, 1] - 60) * (fy / fx) + 60  # by a camera of 200 px, its pixels as tall as the guess has them
    tracks = Tracks(points=points, point=point, view=view, pixel=pixel)
    guess = replace(CAMERA, fx=fx, fy=fy)
    found = adjusted(tracks, jolted(poses, 1.0), guess, free_focal=True)
    assert found.supported.all() and apart(found.poses, poses).max() < 0.1
    assert abs(found.camera.fx / 200 - 1) < 2e-3  # fifty views would say more than nine
    assert found.camera.fy / found.camera.fx == pytest.approx(fy / fx, rel=2e-3)
    assert adjusted(tracks, jolted(poses, 1.0), guess).camera == guess


def test_a_view_that_sees_too_little_stays_where_it_was_and_is_said_to():
    poses = ring()
    points, point, view, pixel = seen_points(poses)
    scarce = (view == 2) & (point >= MIN_POINTS - 1)  # one too few
    astray = view == 6  # many, of which none is where it should be
    pixel[astray] = np.random.default_rng(0).uniform(0, 90, (astray.sum(), 2))
    kept = ~scarce & (view != 4)
    start = jolted(poses, 1.0)
    found = adjusted(Tracks(points=points, point=point[kept], view=view[kept], pixel=pixel[kept]), start, CAMERA)
    assert found.supported.tolist() == [True, True, False, True, False, True, False, True, True]
    assert np.array_equal(found.poses[[2, 4, 6]], start[[2, 4, 6]])
    assert apart(found.poses[found.supported], poses[found.supported]).max() < 0.01


def test_the_frame_is_kept_whatever_its_size():
    poses = ring()
    turn = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    moved = poses.copy()
    moved[:, :3, :3] = turn @ poses[:, :3, :3]
    moved[:, :3, 3] = 3 * poses[:, :3, 3] @ turn.T + [1.0, 2.0, 3.0]
    assert np.allclose(_frame_of(poses, moved, np.ones(9, dtype=bool)).poses(moved), poses)
    # of views in one place, or in a row, the rotations tell
    for centres in (np.zeros((9, 3)), np.arange(9)[:, None] * [0.0, 1.0, 0.0]):
        line, other = poses.copy(), moved.copy()
        line[:, :3, 3], other[:, :3, 3] = centres, 3 * centres @ turn.T
        assert np.allclose(_frame_of(line, other, np.ones(9, dtype=bool)).poses(other), line)


def test_of_sets_of_views_that_share_nothing_each_is_right_in_itself_and_stays_where_it_was():
    poses = ring()
    points, point, view, pixel = seen_points(poses)
    kept = np.where(view < 4, point < 90, np.where(view < 7, (point >= 90) & (point < 150), point >= 150))
    start = jolted(poses, 0.5)
    found = adjusted(Tracks(points=points, point=point[kept], view=view[kept], pixel=pixel[kept]), start, CAMERA)
    assert found.supported.tolist() == [True] * 7 + [False] * 2  # two alone are no set
    assert np.array_equal(found.poses[7:], start[7:])
    for together in (slice(0, 4), slice(4, 7)):
        assert apart(start[together], poses[together]).max() > 0.3
        assert apart(found.poses[together], poses[together]).max() < 0.1
        turned = found.poses[together, :3, :3] @ start[together, :3, :3].transpose(0, 2, 1)
        assert np.degrees(Rotation.from_matrix(turned).mean().magnitude()) < 1e-6
        assert np.allclose(found.poses[together, :3, 3].mean(0), start[together, :3, 3].mean(0))


def test_what_one_view_alone_sees_agrees_with_itself_and_tells_nothing():
    poses = ring()
    points, point, view, pixel = seen_points(poses, count=50)
    own = Tracks(points=np.tile(points, (9, 1)), point=50 * view + point, view=view, pixel=pixel)
    assert not adjusted(own, poses, CAMERA).supported.any()


def test_what_cannot_be_solved_supports_nothing():
    poses = ring()
    points, point, view, pixel = seen_points(poses)
    points[:] = np.nan
    found = adjusted(Tracks(points=points, point=point, view=view, pixel=pixel), poses, CAMERA)
    assert not found.supported.any() and np.array_equal(found.poses, poses)


def test_without_any_tracks_poses_stay():
    none = Tracks(points=np.zeros((0, 3)), point=np.zeros(0, int), view=np.zeros(0, int), pixel=np.zeros((0, 2)))
    found = adjusted(none, ring(), CAMERA)
    assert not found.supported.any() and np.array_equal(found.poses, ring())


def test_a_field_tells_all_poses_at_once_from_where_they_nearly_are():
    poses, ball = ring(), Ball([])
    images = torch.stack([ball.image(pose) for pose in poses])
    start = jolted(poses, 0.4)
    found = bundled(ball, CAMERA, start, images)
    assert found is not None and found.supported.all()
    assert apart(start, poses).mean() > 0.4 and apart(found.poses, poses).max() < 0.15
    assert (ball.asked[0].width, ball.asked[0].height) == (80, 60)


@dataclass
class Fence:
    """Posts before boards, neither with any mark: all corners are where an edge crosses another one behind it, and move
    like no point. A field that knows it all."""

    def render(self, poses, camera):
        return SimpleNamespace(
            rgb=np.stack([self.image(pose, camera) for pose in poses]),
            depth=np.stack([self.hit(pose, camera)[1] for pose in poses]).astype(np.float32),
            opacity=np.ones((len(poses), camera.height, camera.width), np.float32),
        )

    @staticmethod
    def hit(pose, camera):
        """The grey that each pixel sees, and the depth there, (H, W) each."""
        ways, centre = camera.directions() @ pose[:3, :3].T, pose[:3, 3]
        near, far = ((z - centre[2]) / ways[..., 2] for z in (0.25, 0.0))
        x, y = (centre[0] + near * ways[..., 0]), (centre[1] + far * ways[..., 1])
        post = np.abs((x / 0.22) % 1 - 0.5) < 0.2
        grey = np.where(post, 0.5 + 0.3 * np.sin(3 * np.floor(x / 0.22)), np.sin(np.floor(y / 0.17) * 2.4) / 2 + 0.5)
        return grey, np.where(post, near, far)

    def image(self, pose, camera):
        """(H, W, 3) in [0, 1], of 16 samples a pixel."""
        grey = self.hit(pose, camera.resized(4 * camera.width, 4 * camera.height))[0]
        small = grey.reshape(camera.height, 4, camera.width, 4).mean(axis=(1, 3))
        return np.repeat(small[..., None], 3, axis=2).astype(np.float32)


def test_what_patches_are_found_beside_their_lines_by_is_taken_off_where_the_search_is_calibrated():
    poses, fence = ring(), Fence()
    images = torch.from_numpy(2 * fence.render(poses, CAMERA).rgb - 1).permute(0, 3, 1, 2)
    for degrees in (0.0, 0.2):
        start = jolted(poses, degrees)
        plain, calibrated = (bundled(fence, CAMERA, start, images, calibrated=each) for each in (False, True))
        assert plain is not None and calibrated is not None and calibrated.supported.all()
        errors = [apart(found.poses, poses).mean() for found in (plain, calibrated)]
        assert errors[0] > 0.1 and errors[1] < errors[0] / 3


@pytest.mark.parametrize("picture", ["of something else", "beside it"])
def test_a_patch_that_the_field_shows_elsewhere_is_no_track_where_the_search_is_calibrated(picture):
    poses, ball = ring(), Ball([])
    images = torch.stack([ball.image(pose) for pose in poses])
    depths = torch.from_numpy(ball.render(poses, CAMERA).depth)
    pictures = images.clone()
    pictures[4] = images[4].flip(1) if picture == "of something else" else images[4].roll(3, dims=1)  # cameras in a row
    counts = []
    for shown in (images, pictures):
        tracks = of_bundled._tracks(images, depths, torch.from_numpy(poses).float(), CAMERA, shown)
        counts.append(np.bincount(tracks.view, minlength=9))
    assert counts[0][4] > 300 and counts[1][4] < counts[0][4] / 5
    assert counts[1][0] > counts[0][0] / 2


def test_a_move_along_the_line_of_sight_of_another_camera_is_none_aside():
    poses = torch.from_numpy(ring()).float()
    centre, points = poses[4, :3, 3], torch.tensor([[0.1, 0.2, 0.3], [0.3, -0.2, 0.0]])
    others = poses[[1, 7]]
    here = of_bundled._projected(points, others, CAMERA)[0]
    further = of_bundled._projected(centre + 1.3 * (points - centre), others, CAMERA)[0]
    along = further - here
    assert along.norm(dim=2).min() > 1
    assert of_bundled._aside(along, centre, points, others, CAMERA).abs().max() < 1e-3
    across = torch.stack([-along[..., 1], along[..., 0]], dim=2)
    both = of_bundled._aside(along + across, centre, points, others, CAMERA)
    assert torch.allclose(both, across, atol=1e-3)


def test_a_view_of_something_else_is_not_supported():
    poses, ball = ring(), Ball([])
    images = torch.stack([ball.image(pose) for pose in poses])
    images[4] = images[4].flip(1)
    found = bundled(ball, CAMERA, jolted(poses, 0.3), images)
    assert found is not None and found.supported.tolist() == [k != 4 for k in range(9)]


def test_a_point_is_seen_where_nothing_is_before_it_and_put_where_there_is_no_edge():
    poses, ball = ring(), Ball([])
    seen = ball.render(poses, CAMERA)
    depths, cameras = torch.from_numpy(seen.depth), torch.from_numpy(poses).float()
    towards = poses[4, :3, 3] / np.linalg.norm(poses[4, :3, 3])
    points = torch.tensor(np.stack([towards, -towards, 1.2 * towards, 0.8 * towards])).float()
    pixels, is_seen = of_bundled._seen(points, depths, cameras, CAMERA)
    assert is_seen[4].tolist() == [True, False, False, False]
    assert torch.allclose(pixels[4], torch.tensor([80.0, 60.0]), atol=0.01)
    # 80 px from the middle to the edge of the picture, about 71 to the edge of the ball
    wanted = torch.tensor([[80.5, 60.5], [100.5, 60.5], [149.5, 60.5], [158.5, 60.5]])
    surface = of_bundled._surface(wanted, depths[4], cameras[4], CAMERA)
    assert surface.pixels.tolist() == [[80.5, 60.5], [100.5, 60.5]]
    assert torch.allclose(surface.points.norm(dim=1), torch.ones(2), atol=2e-3)
    there = of_bundled._projected(surface.points + surface.right, cameras[4:5], CAMERA)[0][0] - surface.pixels
    assert torch.allclose(there, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), atol=0.02)


def test_a_handful_among_views_of_something_else_is_not_believed():
    poses, ball = ring(), Ball([])
    images = torch.stack([ball.image(pose) for pose in poses])
    images[[0, 2, 4, 6, 8]] = images[[0, 2, 4, 6, 8]].flip(2)
    assert bundled(ball, CAMERA, poses, images) is None


@pytest.mark.parametrize("spoilt", ["fog", "few", "plain"])
def test_nothing_is_told_by_fog_or_few_views_or_plain_images(spoilt):
    poses, ball = ring(5 if spoilt == "few" else 9), Ball([])
    images = torch.stack([ball.image(pose) for pose in poses])
    if spoilt == "plain":
        images[:] = 0.3
    if spoilt == "fog":
        ball.render = lambda poses, camera: SimpleNamespace(
            depth=np.zeros((len(poses), camera.height, camera.width), np.float32),
            opacity=np.zeros((len(poses), camera.height, camera.width), np.float32),
        )
    assert bundled(ball, CAMERA, poses, images) is None


def test_neighbours_are_spread_from_near_to_far_and_not_too_far(monkeypatch):
    poses = ring(41)
    camera = torch.from_numpy(poses).float()
    points = torch.from_numpy(Ball.distance(poses[20], CAMERA)[0][50:66, 70:90].reshape(-1, 3)).float()
    depths = torch.from_numpy(np.stack([Ball.distance(pose, CAMERA)[1] for pose in poses]))
    found = of_bundled._neighbours(20, points, depths, camera, CAMERA).tolist()
    assert len(found) == of_bundled.NEIGHBOURS == len(set(found)) and 20 not in found
    assert {19, 21} & set(found)  # the next one
    furthest = max(found, key=lambda k: abs(k - 20))
    sides = [points.numpy() - poses[k][:3, 3] for k in (20, furthest)]
    cosine = (sides[0] * sides[1]).sum(1) / np.prod([np.linalg.norm(side, axis=1) for side in sides], axis=0)
    assert 15 < np.degrees(np.arccos(cosine)).mean() < of_bundled.ANGLE

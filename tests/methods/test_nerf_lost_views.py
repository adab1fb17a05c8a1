"""Lost views: how they are told, and how they are placed anew, on a ball whose paint is known in closed form."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from test_pose_margins import CAMERA, Ball, seen

from bench.task import Capture, look_at
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.images.windows import Windows
from methods.nerf.training.lost_views import MOST, Search, doubtful_views, placed_anew
from methods.nerf.training.pose_hypotheses import PoseHypotheses


def ring(count):
    """Poses (count, 4, 4) around the ball, 12 degrees between neighbours, and a little above."""
    angles = np.radians(12.0 * np.arange(count))
    centres = 4 * np.stack([np.cos(angles), np.sin(angles), np.full(count, 0.5)], axis=1)
    return look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))


def pyramid_of(images):
    return ImagePyramid.of(
        Capture(images={f"v{k:03d}": image for k, image in enumerate(images)}, background=(1.0, 1.0, 1.0)),
        masked=False, device=torch.device("cpu"),
    )  # fmt: skip


def turned(pose, degrees):
    """The pose from elsewhere on the ring."""
    moved = pose.copy()
    moved[:3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() @ pose[:3]
    return moved


class Globe(Ball):
    """A ball with finer paint."""

    def __init__(self):
        super().__init__(odd=1.0)

    def paint(self, x, y, z):
        fine = torch.stack([(7 * x + 3 * z).sin(), (5 * y - 6 * z).sin(), (6 * x - 5 * y).sin()], dim=1)
        return super().paint(x, y, z) + 2 * fine


class Fogged(Globe):
    """A globe before whose background, to one side, there is a dark fog that nobody has seen through."""

    def __init__(self, side):
        super().__init__()
        self.side = torch.from_numpy(side).float()

    def shade(self, origins, directions, generator=None):
        found = super().shade(origins, directions, generator)
        fog = 0.6 * (15 * (directions @ self.side - 0.03)).sigmoid() * (1 - found.opacity)
        return replace(found, colour=found.colour + 0.1 * fog[:, None], opacity=found.opacity + fog)


def test_a_lost_view_is_doubtful_and_comes_back_while_all_others_stay():
    """It stands 40 degrees off, in a ring of thirty with 12 between neighbours; others may be in doubt for nothing."""
    truth = ring(30)
    field, wrong = Ball(odd=1.0), truth.copy()
    wrong[7] = turned(truth[7], 40)
    images = seen(field, truth, noise=0.005)
    pyramid = pyramid_of(images)
    intrinsics, rng = Intrinsics(CAMERA, free=False), torch.Generator().manual_seed(0)
    poses = torch.from_numpy(wrong).float()
    assert doubtful_views(field, intrinsics, poses, pyramid, rng) == (7,)
    assert doubtful_views(field, intrinsics, torch.from_numpy(truth).float(), pyramid, rng) == ()
    few = slice(5, 9)
    some = ImagePyramid(ids=pyramid.ids[few], taken=pyramid.images[few], background=pyramid.background)
    assert doubtful_views(field, intrinsics, poses[few], some, rng) == ()  # too few to be judged by
    placed = placed_anew(field, intrinsics, poses, (7, 20), pyramid, 1.0, rng, budget=Search()).numpy()
    now, then = (Rotation.from_matrix(each[[7, 20], :3, :3]) for each in (placed, truth))
    assert np.degrees((now.inv() * then).magnitude()).max() < 1.0  # two pixels
    assert np.linalg.norm(placed[[7, 20], :3, 3] - truth[[7, 20], :3, 3], axis=1).max() < 0.08
    rest = np.delete(np.arange(30), [7, 20])
    assert np.array_equal(placed[rest], poses.numpy()[rest])


def test_a_view_that_looks_past_what_the_others_have_seen_is_placed_by_what_windows_show_and_not_by_colours():
    truth = ring(8)
    side = truth[7, :3, 0]  # the right half of what the last one sees behind the ball
    field = Fogged(side)
    pyramid = pyramid_of(seen(Globe(), truth, noise=0.005))
    intrinsics, rng = Intrinsics(CAMERA, free=False), torch.Generator().manual_seed(0)
    wrong = turned(truth[7], 20)  # from where hardly any of it is in sight
    pair = torch.from_numpy(np.stack([wrong, truth[7]])).float()[None]
    by_colour, by_structure = (
        PoseHypotheses(field, intrinsics, rng, by_structure=how).errors(
            pair, pyramid.images[7:], None if how else 1024
        )[0]
        for how in (False, True)
    )
    assert by_colour[0] < 0.9 * by_colour[1] and by_structure[1] < 0.7 * by_structure[0]
    poses = torch.from_numpy(truth).float()
    poses[7] = torch.from_numpy(wrong)
    placed = placed_anew(field, intrinsics, poses, (7,), pyramid, 1.0, rng, budget=Search()).numpy()
    off = Rotation.from_matrix(placed[7, :3, :3]).inv() * Rotation.from_matrix(truth[7, :3, :3])
    assert np.degrees(off.magnitude()) < 7  # near enough to be brought back by a field that it is part of


def test_windows_lie_over_the_whole_image_and_see_neither_brightness_nor_contrast():
    rng = torch.Generator().manual_seed(0)
    for height, width, overlap in ((48, 64, 1), (64, 64, 1), (24, 24, 2), (20, 64, 1), (5, 9, 1), (1, 3, 1)):
        windows = Windows.over(height, width, overlap=overlap)
        assert len(windows.x) == len(windows.y) and len(windows.x) % windows.size == 0
        assert windows.x.min() == windows.y.min() == 0
        assert width - 3 < windows.x.max() < width and height - 3 < windows.y.max() < height
    images = torch.rand(3, 3, 48, 64, generator=rng) * 2 - 1
    windows = Windows.over(48, 64)
    assert len(windows.x) == 12 * 64
    looks = windows.of(images).flatten(1)
    alike = looks @ looks.T
    assert (alike.diagonal() > 0.98).all() and alike[0, 1].abs() < 0.1
    darker = windows.of(images * 0.5 - 0.3).flatten(1)
    assert (looks * darker).sum(dim=1).min() > 0.97
    plain = windows.of(images * 0.01).flatten(1)  # noise, and no more
    assert (looks * plain).sum(dim=1).abs().max() < 0.15


def test_of_many_lost_views_each_costs_less():
    whole = Search()
    assert whole.shared(1) == whole.shared(MOST) == whole
    some = whole.shared(2 * MOST)
    assert (some.likeliest, some.hypotheses, some.finalists) == (8, 2, 1) and some.closer == whole.closer
    assert whole.shared(1000).likeliest == 2

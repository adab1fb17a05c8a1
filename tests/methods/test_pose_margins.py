"""What a fit says of its own poses, on a ball whose paint is known in closed form."""

import numpy as np
import pytest
import torch

from bench.task import Camera, Capture, Job, PosePrior, look_at
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.levenberg_marquardt import fitted
from methods.nerf.config import FieldConfig
from methods.nerf.field.base import RadianceField, Shade
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.render_and_compare import APART, RenderedCandidates
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.pose_margins import pose_margins, pose_rivals

PRIOR = PosePrior(radius=(4.0, 4.0), elevation=(10.0, 60.0))
CAMERA = Camera(width=64, height=64, fx=110.0, fy=110.0, cx=32.0, cy=32.0)


class Ball(RadianceField):
    """A ball of radius 1 with a soft edge and paint of low frequency; without an `odd` part of it, it is itself after
    half a turn about z."""

    def __init__(self, odd: float) -> None:
        bounds = Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=2.0, far=6.0)
        super().__init__(bounds, torch.ones(3), FieldConfig())
        self.odd = odd

    def shade(self, origins, directions, generator=None):
        middle = -(origins * directions).sum(dim=1)  # of the ray's way through it
        inside = 1 - (origins + middle[:, None] * directions).square().sum(dim=1)
        travelled = middle - inside.clamp(min=1e-6).sqrt()
        colour = 0.5 + 0.15 * self.paint(*(origins + travelled[:, None] * directions).unbind(dim=1))
        opacity = (inside / 0.05).sigmoid()
        return Shade(colour=colour * opacity[:, None], opacity=opacity, depth=travelled.detach())

    def paint(self, x, y, z):
        return torch.stack([2 * x * y, x * x - y * y, (3 * x * y * z).sin()], dim=1) + self.odd * torch.stack(
            [x, y, x - y], dim=1
        )


def seen(field, poses, noise=0.02):
    rng = np.random.default_rng(0)
    rgb = field.render(poses, CAMERA).rgb
    return (255 * np.clip(rgb + noise * rng.standard_normal(rgb.shape), 0, 1)).astype(np.uint8)


def margins(field, poses, images, tmp_path, *, elsewhere=PRIOR, job=None, measured=pose_margins, **options):
    ids = [f"v{k:03d}" for k in range(len(poses))]
    pyramid = ImagePyramid.of(
        Capture(images=dict(zip(ids, images, strict=True)), background=(1.0, 1.0, 1.0)), masked=False,
        device=torch.device("cpu"),
    )  # fmt: skip
    job = job or Job(seed=0, workdir=tmp_path)
    return measured(
        field, Intrinsics(CAMERA, free=False), pyramid, dict(zip(ids, poses, strict=True)), job, Deadline(job),
        elsewhere=elsewhere, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def poses():
    return PRIOR.sample(np.random.default_rng(3), 9)


def test_a_scene_that_is_itself_after_half_a_turn_leaves_no_margin(poses, tmp_path):
    """No candidate stands exactly at a twin, and a few steps bring one there."""
    field = Ball(odd=0.0)
    found = margins(field, poses, seen(field, poses), tmp_path)
    assert len(found) == len(poses)
    assert np.abs(list(found.values())).max() < 0.3


def test_a_scene_that_looks_different_from_everywhere_leaves_one(poses, tmp_path):
    field = Ball(odd=1.0)
    assert min(margins(field, poses, seen(field, poses), tmp_path).values()) > 3


def test_a_view_that_another_pose_explains_better_says_so(poses, tmp_path):
    """One view stands half a turn from where its image was taken, and nothing is symmetric."""
    field, half_turn = Ball(odd=1.0), np.diag([-1.0, -1.0, 1.0, 1.0])
    images, wrong = seen(field, poses), poses.copy()
    wrong[4] = half_turn @ poses[4]
    found = margins(field, wrong, images, tmp_path)
    assert found["v004"] < -3
    assert min(margin for view, margin in found.items() if view != "v004") > 3
    rivals = margins(field, wrong, images, tmp_path, measured=pose_rivals)
    assert {view: rival.margin for view, rival in rivals.items()} == found
    turn = np.degrees(np.arccos((np.trace(rivals["v004"].pose[:3, :3].T @ poses[4][:3, :3]) - 1) / 2))
    assert turn < 2  # that other pose is the one


def test_from_above_the_other_side_is_a_rival_too(tmp_path):
    """Half a turn about z is then hardly another viewing direction."""
    above = PosePrior(radius=(4.0, 4.0), elevation=(82.0, 89.0))
    poses, field = above.sample(np.random.default_rng(3), 9), Ball(odd=0.0)
    found = margins(field, poses, seen(field, poses), tmp_path, elsewhere=above)
    assert len(found) == len(poses) and np.abs(list(found.values())).max() < 0.3


def test_without_a_prior_the_other_views_are_the_places_to_look_from(tmp_path):
    """Two rings of views half a turn apart: each twin is a pose of the rig."""
    field, half_turn = Ball(odd=0.0), np.diag([-1.0, -1.0, 1.0, 1.0])
    first = PRIOR.sample(np.random.default_rng(3), 4)
    poses = np.concatenate([first, half_turn @ first])
    found = margins(field, poses, seen(field, poses), tmp_path, elsewhere=None)
    assert np.abs(list(found.values())).max() < 0.1


def test_views_that_look_one_way_have_no_margin(tmp_path):
    """Nobody could look from elsewhere: a forward-facing rig without a prior."""
    centres = np.array([[4.0, y, z] for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
    poses = look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    field = Ball(odd=1.0)
    assert margins(field, poses, seen(field, poses), tmp_path, elsewhere=None) == {}


def test_it_repeats_and_touches_nothing(poses, tmp_path):
    field, before = Ball(odd=1.0), poses.copy()
    images = seen(field, poses)
    torch.manual_seed(1)
    first = margins(field, poses, images, tmp_path)
    torch.manual_seed(2)
    assert margins(field, poses, images, tmp_path) == first
    assert (poses == before).all()
    assert margins(field, poses, images, tmp_path, views=["v002", "v005"]).keys() == {"v002", "v005"}


def test_there_is_none_where_the_time_is_nearly_over(poses, tmp_path):
    field = Ball(odd=1.0)
    short = Job(seed=0, workdir=tmp_path, seconds=4.0)
    assert margins(field, poses, seen(field, poses), tmp_path, job=short)
    over = Job(seed=0, workdir=tmp_path, seconds=4.0, began=short.began - 3.9)
    assert margins(field, poses, seen(field, poses), tmp_path, job=over) == {}


def test_the_flank_of_a_pose_is_no_rival():
    """Errors rise from the own pose, and fall again to a second valley: the flank is lower, and is not chosen."""
    angles = torch.deg2rad(torch.arange(0.0, 181, 5))
    candidates = torch.eye(4).repeat(len(angles), 1, 1)
    candidates[:, 0, 0], candidates[:, 0, 2] = angles.cos(), angles.sin()
    candidates[:, 2, 0], candidates[:, 2, 2] = -angles.sin(), angles.cos()
    errors = torch.where(angles < 1.5, angles, 3.0 + (angles - 2.5).abs())[None]
    search = RenderedCandidates(candidates=candidates, renders=torch.zeros(len(angles), 1, 1, 1))
    chosen, found = search.rivals(errors, candidates[:1], 2)
    assert angles[chosen[0, 0]] == pytest.approx(2.5, abs=0.05)
    assert angles[chosen[0, 1]] > APART
    assert found.all()


def test_levenberg_marquardt_finds_the_cameras_that_saw_points_where_they_are_seen(poses):
    """Against a pinhole of its own; the start is 4 degrees and a twentieth of the distance off."""
    truth = torch.from_numpy(poses)
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 2

    def projected(cameras):
        inside = (points - cameras[:, None, :3, 3]) @ cameras[:, :3, :3]
        return (inside[..., :2] / inside[..., 2:]).flatten(1)

    turn = torch.tensor([[1.0, -0.07, 0.0], [0.07, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    start = truth.clone()
    start[:, :3, :3] = torch.linalg.qr(turn)[0] * torch.linalg.qr(turn)[1].diagonal().sign() @ truth[:, :3, :3]
    start[:, :3, 3] += 0.2
    pivot = torch.zeros(3, dtype=torch.float64)
    found = fitted(lambda cameras: projected(cameras) - projected(truth), start, pivot=pivot, unit=1.0, steps=12)
    assert (start - truth).abs().amax(dim=(1, 2)).min() > 0.1
    assert (found - truth).abs().max() < 1e-5
    assert torch.allclose(found[:, :3, :3] @ found[:, :3, :3].transpose(1, 2), torch.eye(3, dtype=torch.float64))

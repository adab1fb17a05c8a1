"""The protocol on held-out views: stages apart, flags beside numbers, nothing silently good."""

import numpy as np
import pytest

from bench.judge import metrics, protocol
from bench.judge.align import Alignment
from bench.judge.lpips import Lpips
from bench.judge.poses import judge_poses
from bench.judge.similarity import Similarity
from bench.judge.views import judge_floor, judge_views, mean_colour
from bench.scene import HeldOut, Truth
from bench.task import Camera, ViewId, look_at

SIZE = 40
NO_LPIPS = "no AlexNet backbone"


def smooth(rng, count, channels=3):
    """Images with structure, (N, H, W, C) uint8."""
    x = np.linspace(0, 6, SIZE)
    phase = rng.uniform(0, 6, size=(count, 1, 1, channels))
    waves = np.sin(x[None, :, None, None] + phase) * np.cos(1.7 * x[None, None, :, None] - phase)
    return (127.5 + 120 * waves).round().astype(np.uint8)


def truth_of(images):
    count = len(images)
    angles = np.linspace(0, 5, count)
    centres = 4 * np.stack([np.cos(angles), np.sin(angles), 0.3 * angles], axis=1)
    poses = look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    heldout = HeldOut(ids=tuple(ViewId(f"h{n:03d}") for n in range(count)), poses=poses, images=images)
    camera = Camera(width=SIZE, height=SIZE, fx=50, fy=50, cx=SIZE / 2, cy=SIZE / 2)
    ids = tuple(ViewId(f"v{n:03d}") for n in range(count))
    return Truth(poses=dict(zip(ids, poses, strict=True)), camera=camera, heldout=heldout, reference="exact", order=ids)


@pytest.fixture
def truth():
    return truth_of(smooth(np.random.default_rng(0), 4))


def noisy(truth, amount=0.05, seed=1):
    images = truth.heldout.images / 255
    return np.clip(images + amount * np.random.default_rng(seed).normal(size=images.shape), 0, 1).astype(np.float32)


def judge(renders, truth, **options):
    options = {"colour": np.full(truth.heldout.images.shape[-1], 0.5), "lpips": NO_LPIPS} | options
    return judge_views(renders, truth, **options)


def test_each_stage_has_columns_of_its_own(truth):
    noise = {"aligned": 0.2, "refined": 0.05, "half": 0.1, "registered": 0.07}
    renders = {stage: noisy(truth, std) for stage, std in noise.items()}
    values, per_view, flags, absent = judge(renders, truth)
    targets = truth.heldout.images / 255
    expected = {
        "nvs/mean_colour/psnr": metrics.psnr(np.full(targets.shape, 0.5), targets).mean(),
        **{f"nvs/{s}/psnr": metrics.psnr(renders[s], targets).mean() for s in noise if s != "half"},
        **{f"nvs/{s}/ssim": metrics.ssim(renders[s], targets).mean() for s in noise if s != "half"},
        "nvs/half/psnr": metrics.psnr(renders["half"][:, :, 20:], targets[:, :, 20:]).mean(),
        "nvs/half/ssim": metrics.ssim(renders["half"][:, :, 20:], targets[:, :, 20:]).mean(),
    }
    assert values == pytest.approx(expected)
    assert absent == {f"nvs/{stage}/lpips_alex": NO_LPIPS for stage in protocol.STAGES}
    assert flags == ()
    assert list(per_view) == list(truth.heldout.ids)
    column = [per_view[view]["nvs/aligned/psnr"] for view in truth.heldout.ids]
    assert np.mean(column) == pytest.approx(values["nvs/aligned/psnr"])


def test_the_half_stage_is_scored_on_the_right_half_alone(truth):
    spoiled = noisy(truth)
    before = judge({"half": spoiled}, truth).metrics
    spoiled[:, :, :20] = 0.0
    assert judge({"half": spoiled}, truth).metrics == before
    spoiled[:, :, 20:] = 0.0
    assert judge({"half": spoiled}, truth).metrics["nvs/half/psnr"] < 10


def test_no_field_leaves_reasons_and_not_numbers(truth):
    values, _, flags, absent = judge({}, truth)
    assert list(values) == ["nvs/mean_colour/psnr"]
    assert absent == {f"nvs/{stage}": "the method returned no field" for stage in protocol.STAGES}
    assert flags == ()
    absent = judge({"aligned": noisy(truth)}, truth, missing={"refined": "no gradient", "half": "no gradient"}).absent
    assert absent["nvs/refined"] == "no gradient"
    assert "nvs/aligned" not in absent


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_flagged_and_count_as_wrong_as_can_be(truth, bad):
    renders = noisy(truth)
    good = judge({"aligned": renders}, truth)
    renders[1] = bad
    values, per_view, flags, _ = judge({"aligned": renders}, truth)
    assert any("nvs/aligned: not finite in 1 of 4 views" in flag for flag in flags)
    assert np.isfinite(list(values.values())).all()
    worst = per_view[truth.heldout.ids[1]]["nvs/aligned/psnr"]
    target = truth.heldout.images[1:2] / 255
    assert worst <= min(metrics.psnr(np.full(target.shape, grey), target)[0] for grey in (0, 0.25, 0.5, 0.75, 1))
    assert values["nvs/aligned/psnr"] < good.metrics["nvs/aligned/psnr"] - 3


def test_renders_out_of_range_are_clipped(truth):
    renders = noisy(truth)
    loud = np.where(renders == 1, 7.0, np.where(renders == 0, -3.0, renders))
    assert judge({"aligned": loud}, truth).metrics == judge({"aligned": renders}, truth).metrics


def test_a_constant_image_is_flagged_and_so_is_one_worse_than_the_mean_colour(truth):
    grey = np.full(truth.heldout.images.shape, 0.45)
    flags = judge({"aligned": grey}, truth).flags
    assert "nvs/aligned: constant image in 4 of 4 views" in flags
    assert not any("worse" in flag for flag in judge({"aligned": noisy(truth)}, truth).flags)
    inverted = 1 - truth.heldout.images / 255
    assert judge({"aligned": inverted}, truth).flags == ("nvs/aligned: worse than the mean-colour image",)


def test_the_mean_colour_is_that_of_the_images_shown(truth):
    shown = {ViewId("v000"): np.full((5, 5, 3), (255, 0, 51), np.uint8), ViewId("v001"): np.zeros((5, 5, 3), np.uint8)}
    colour = mean_colour(shown)
    np.testing.assert_allclose(colour, [0.5, 0.0, 0.1])
    targets = truth.heldout.images / 255
    expected = metrics.psnr(np.broadcast_to(colour, targets.shape), targets).mean()
    assert judge_floor(colour, truth) == {"nvs/mean_colour/psnr": pytest.approx(expected)}


def test_silhouettes_are_judged_by_iou_and_the_psnr_of_masks():
    images = np.where(smooth(np.random.default_rng(2), 3, 1) > 150, 255, 0).astype(np.uint8)
    truth = truth_of(images)
    masks = np.roll(images, 2, axis=2) / 255
    values, per_view, _, absent = judge({"aligned": masks}, truth)
    overlap = [(a * b).sum() / np.maximum(a, b).sum() for a, b in zip(masks, images / 255, strict=True)]
    assert values["nvs/aligned/iou"] == pytest.approx(np.mean(overlap))
    assert values["nvs/aligned/psnr"] == pytest.approx(metrics.psnr(masks, images / 255).mean())
    assert "silhouette" in absent["nvs/aligned/ssim"]
    assert "silhouette" in absent["nvs/aligned/lpips_alex"]
    assert set(per_view[truth.heldout.ids[0]]) == {"nvs/aligned/iou", "nvs/aligned/psnr"}


def test_renders_of_another_shape_are_refused_in_a_sentence(truth):
    with pytest.raises(ValueError, match=r"nvs/aligned: renders are \(4, 40, 39, 3\) but the held-out images are"):
        judge({"aligned": noisy(truth)[:, :, 1:]}, truth)


def test_lpips_is_stored_where_there_is_a_backbone(truth, data_root):
    lpips = Lpips.find(data_root / "lpips" / "alexnet_features_torchvision.pth")
    assert isinstance(lpips, Lpips)
    renders = noisy(truth, 0.1)
    values, per_view, _, absent = judge({"aligned": renders, "half": renders}, truth, lpips=lpips)
    distances = lpips(renders.astype(np.float64), truth.heldout.images / 255)
    assert values["nvs/aligned/lpips_alex"] == pytest.approx(distances.mean(), rel=1e-4)
    assert per_view[truth.heldout.ids[2]]["nvs/aligned/lpips_alex"] == pytest.approx(distances[2], rel=1e-4)
    assert "at least 31 px" in absent["nvs/half/lpips_alex"]  # 20 px are left
    assert "nvs/half/psnr" in values


def test_corrections_are_measured_in_degrees_and_scene_units(truth):
    world = Similarity(scale=0.1, rotation=np.eye(3)[[1, 2, 0]], translation=np.array([1.0, 2.0, 3.0]))
    alignment = Alignment(similarity=world, robust=world, registered=(), inliers=(), radius=4.0, flags=())
    refined = protocol.plan_heldout(alignment, truth)
    angle = np.radians(3.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    refined[0, :3, :3] = refined[0, :3, :3] @ turn
    refined[1, :3, 3] += [0.0, 5.0, 0.0]  # half a scene unit
    refined[2] = np.nan
    values, per_view, flags, _ = judge(
        {"refined": noisy(truth)}, truth, alignment=alignment, corrections={"refined": refined}
    )
    views = [per_view[view] for view in truth.heldout.ids]
    found = [(v["nvs/refined/correction_deg"], v["nvs/refined/correction_units"]) for v in views]
    np.testing.assert_allclose(found, [(3, 0), (0, 0.5), (180, 4), (0, 0)], atol=1e-9)
    assert values["nvs/refined/correction_deg"] == pytest.approx(183 / 4)
    assert "nvs/refined: 1 of 4 refined poses are not finite" in flags


def test_psnr_never_certifies_poses(truth):
    """A ball looks the same from everywhere: poses wrong by a random azimuth render perfectly, and are still wrong."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    ball = np.clip(2 - np.hypot(x, y) / 8, 0, 1)[None, :, :, None].repeat(3, axis=3).repeat(4, axis=0)
    symmetric = truth_of((255 * ball).round().astype(np.uint8))
    azimuths = np.random.default_rng(5).uniform(0, 2 * np.pi, size=4)
    centres = 4 * np.stack([np.cos(azimuths), np.sin(azimuths), np.full(4, 0.4)], axis=1)
    wrong = look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    poses = judge_poses(dict(zip(symmetric.order, wrong, strict=True)), symmetric).metrics
    views = judge({"aligned": ball}, symmetric).metrics
    assert views["nvs/aligned/psnr"] > 40
    assert poses["pose/rotation_deg_median"] > 5

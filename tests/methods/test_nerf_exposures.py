"""Exposures of views: told by a known background or by a field, and taken out of what is learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.task import Camera, Capture, Job, PosePrior, ViewId
from methods.nerf.config import Budget, FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.images.exposures import (
    FieldGains,
    centred,
    clipped,
    completed,
    differ,
    encoded,
    evened,
    gains_by_background,
    gains_by_field,
    linear,
    others_for,
    spread_in_stops,
)
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.train import train
from methods.nerf.training import checkpointing
from methods.nerf.training.exposing import (
    even_before_background,
    even_by_field,
    expose_before_background,
    expose_by_field,
)

SIDE = 24
CAMERA = Camera(width=SIDE, height=SIDE, fx=33.0, fy=33.0, cx=12.0, cy=12.0)
POSES = {ViewId(f"v{i:03d}"): pose for i, pose in enumerate(PosePrior().sample(np.random.default_rng(0), 40))}
CPU = torch.device("cpu")
WHITE, GREY = (1.0, 1.0, 1.0), (0.4, 0.45, 0.5)


def ball(background=WHITE) -> GridField:
    """Two colours, none of them near white."""
    field = GridField.empty(Bounds.from_prior(PosePrior()), torch.tensor(background), FieldConfig(), 32)
    axis = torch.linspace(-1, 1, 32)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    with torch.no_grad():
        field.density.copy_(60 * (0.5 - (x * x + y * y + z * z).sqrt()))
        field.colour[..., 0] = torch.where(z > 0, 0.5, -0.7)
        field.colour[..., 4] = torch.where(x > 0, 0.3, -0.5)
    return field


@pytest.fixture(scope="module")
def photographs():
    """Colours (N, 3, H, W) in [0, 1] of a ball on white, at one exposure; and gains (N, 3)."""
    rgb = ball().render(np.stack(list(POSES.values())), CAMERA).rgb
    rng = np.random.default_rng(1)
    level = 0.35 * rng.standard_normal((len(POSES), 1)) + 0.1 * rng.standard_normal((len(POSES), 3))
    return torch.from_numpy(rgb).movedim(-1, 1), torch.from_numpy(np.exp(level)).float()


def exposing(images, by):
    """Images as they would have been taken with gains `by`, in 8 bits."""
    return (encoded(linear(images) * by[:, :, None, None]) * 255).round() / 255


def as_bytes(images) -> dict[ViewId, np.ndarray]:
    pictures = (images.movedim(1, -1) * 255).round().to(torch.uint8).numpy()
    return dict(zip(list(POSES)[: len(pictures)], pictures, strict=True))


def by_background(images, background=None):
    colour = torch.tensor(WHITE) if background is None else background
    return gains_by_background(lambda k: images[k], len(images), colour)


def a_job(folder, **changes) -> Job:
    return replace(Job(seed=3, workdir=folder, threads=2, effort="smoke"), **changes)


def of_pixels(images):
    return images.flatten(2).transpose(1, 2)


def test_what_a_field_shows_tells_the_gains_of_views_cut_off_ones_too(photographs):
    images, by = photographs
    found, scatter = gains_by_field(of_pixels(exposing(images, by)), of_pixels(images))
    assert scatter.max() < 0.01
    assert (found / by).log().abs().max() < 0.05
    assert spread_in_stops(by) == pytest.approx(float(by.log2().mean(dim=1).std()))


def test_where_a_field_is_uncertain_gains_still_differ_by_what_exposures_do(photographs):
    """Of pixels that noise lifts over white none is left: without those that should be there, the span would shrink."""
    images, by = photographs
    seen = (images + 0.08 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    found, _ = gains_by_field(of_pixels(exposing(images, by)), of_pixels(seen))
    assert np.polyfit(by.log().flatten(), found.log().flatten(), 1)[0] > 0.88  # by those alone that are there, 0.82


def test_a_view_of_which_too_little_tells_has_no_gain(photographs):
    black = torch.zeros(2, 50, 3)
    assert torch.equal(gains_by_field(black, of_pixels(photographs[0])[:2, :50]).gains, torch.ones(2, 3))


def test_alike_is_what_differs_by_no_more_than_surfaces_or_the_pixels_of_a_view():
    levels = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    scatter = torch.full((50, 3), 0.1)
    assert not differ(FieldGains((0.08 * levels).exp(), 0 * scatter))
    assert differ(FieldGains((0.3 * levels).exp(), scatter))
    assert not differ(FieldGains((0.3 * levels).exp(), 3 * scatter))  # of fog, any view is as bright as may be
    few = torch.zeros(50, 3)
    few[:10] = 1.0  # views that are lost look brighter or darker than they are
    assert not differ(FieldGains(few.exp(), 0 * scatter))


def test_a_known_background_tells_where_it_is_not_clipped(photographs):
    images, by = photographs
    told = by_background(exposing(images, by))
    assert torch.equal(told.known, by < encoded_limit())
    assert (told.gains / by).log()[told.known].abs().max() < 0.02
    guesses = (told.gains / by).log()[~told.known]
    assert guesses.abs().median() < by[~told.known].log().abs().median()
    assert (told.gains[~told.known] >= 1).all()
    assert not told.clipped[by.amax(dim=1) < 0.9].any()  # nothing was cut off there
    bright = by.amin(dim=1) > 1.1
    assert told.clipped[bright, 0].all() and not told.clipped[bright, SIDE // 2, SIDE // 2].any()


def encoded_limit():
    """The gain from which on white counts as cut off, in 8 bits."""
    return float(linear(torch.tensor(0.99)))


@pytest.mark.parametrize("case", ["one exposure", "noise", "declared wrong", "filled", "dark"])
def test_a_background_that_tells_nothing_leaves_images_as_they_are(photographs, case):
    images, by = photographs
    rng = torch.Generator().manual_seed(0)
    background = torch.tensor(WHITE)
    if case == "noise":
        images = (images + 0.15 * torch.randn(images.shape, generator=rng)).clamp(0, 1)
    elif case == "declared wrong":
        images = exposing(images, torch.full_like(by, 0.6))
    elif case == "filled":
        images = torch.rand(images.shape, generator=rng) * (0.3 + 0.7 * torch.rand(len(images), 1, 1, 1, generator=rng))
    elif case == "dark":
        images, background = exposing(images, by) * (images < 0.99), torch.zeros(3)
    told = by_background(images, background)
    assert told is None if case == "dark" else told.gains is None and told.known.all()


def test_colours_are_evened_and_what_was_cut_off_is_told(photographs):
    images, by = photographs
    taken, gain = exposing(images, by), by[:, :, None, None]
    again = evened(taken, gain)
    kept = taken < 0.99
    assert (again - images)[kept].abs().max() < 0.01
    assert (again[~kept] == taken[~kept]).all()
    cut = clipped(taken.movedim(1, -1), by[:, None, None])
    assert torch.equal(cut, ((taken > 0.99) & (gain > 1)).any(dim=1))


def test_for_pixels_that_say_nothing_others_of_the_same_row_are_taken():
    cut = torch.tensor([[False, True, False, True, True], [True, True, True, True, True], [False] * 5])
    taken = others_for(cut)
    assert taken[0].tolist() == [0, 2, 2, 2, 0]  # where there are two, in turn
    assert taken[1].tolist() == taken[2].tolist() == [0, 1, 2, 3, 4]


def test_drawn_colours_are_of_one_exposure_and_of_pixels_that_say_something(photographs):
    images, by = photographs
    views = PosedImages.of(as_bytes(exposing(images, by)), POSES, CAMERA, WHITE, torch.device("cpu"))
    plain = views.draw(4000, torch.Generator().manual_seed(0))
    even = replace(views, gains=by).draw(4000, torch.Generator().manual_seed(0))
    same = (even.directions == plain.directions).all(dim=1)
    assert 0.3 < same.float().mean() < 1  # the others were cut off
    true = PosedImages.of(as_bytes(images), POSES, CAMERA, WHITE, torch.device("cpu"))
    clean = true.draw(4000, torch.Generator().manual_seed(0))
    assert (even.colours - clean.colours)[same].abs().max() < 0.02
    assert (plain.colours - clean.colours).abs().mean() > 0.05


def test_a_pyramid_shows_images_of_one_exposure_until_it_is_told_otherwise(photographs):
    images, by = photographs
    capture = Capture(images=as_bytes(exposing(images, by)), background=WHITE)
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    before = pyramid.at(12)
    expose_before_background(pyramid)
    assert pyramid.gains_known is not None and pyramid.gains is not None
    pyramid.expose(by)
    kept = ((pyramid.taken + 1) / 2 < 0.99) & ~pyramid.clipped_background[:, None]
    assert ((pyramid.images + 1) / 2 - images)[kept].abs().max() < 0.01
    views, points, colours = pyramid.draw(SIDE, 40 * 60, torch.Generator().manual_seed(0))
    columns, rows = (((points + 1) / 2 * SIDE).long()).unbind(dim=-1)
    shown = images[views[:, None], :, rows, columns]
    said = ~(pyramid.taken[views[:, None], :, rows, columns] > 0.98).any(dim=-1)
    said &= ~pyramid.clipped_background[views[:, None], rows, columns]
    assert (colours - shown)[said].abs().max() < 0.01
    assert not torch.equal(pyramid.at(12), before)
    pyramid.expose(None)
    assert torch.equal(pyramid.at(12), before) and pyramid.images is pyramid.taken


def test_a_view_whose_pixels_do_not_tell_or_do_not_agree_keeps_what_was_guessed():
    before, known = torch.full((3, 3), 2.0), torch.tensor([[True], [False], [False]]).expand(3, 3)
    found = FieldGains(gains=torch.full((3, 3), 1.5), scatter=torch.tensor([[0.1], [0.1], [torch.inf]]).expand(3, 3))
    assert completed(before, known, found)[:, 0].tolist() == [2.0, 1.5, 2.0]
    lost = centred(found._replace(gains=torch.tensor([[2.0], [0.5], [9.0]]).expand(3, 3)))
    assert torch.allclose(lost[:, 0], torch.tensor([2.0, 0.5, 1.0]))  # nor does it shift the others


def test_a_small_object_too_bright_to_tell_keeps_its_guess(photographs):
    """What hardly any pixel of a view tells, the background's word is for."""
    images = torch.ones(20, 3, SIDE, SIDE)
    images[:, :, 10:13, 10:13] = 0.4
    by = torch.cat([torch.full((12, 3), 2.5), torch.full((8, 3), 0.6)])
    views = PosedImages.of(
        as_bytes(exposing(images, by)), dict(list(POSES.items())[:20]), CAMERA, WHITE, torch.device("cpu")
    )
    views = even_before_background(views)
    assert (views.gains / by).log().abs().max() < 0.05
    field = GridField.empty(Bounds.from_prior(PosePrior()), torch.ones(3), FieldConfig(), 8)
    assert torch.equal(even_by_field(views, field).gains, views.gains)


@pytest.mark.parametrize("background", [(0.8, 0.8, 0.8), (0.5, 0.7, 0.9)])
def test_a_background_that_was_too_bright_is_of_its_own_colour_again(background):
    images = torch.tensor(background)[None, :, None, None].expand(12, 3, SIDE, SIDE).clone()
    images[:, :, 8:16, 8:16] = 0.3
    by = torch.tensor([[3.0] * 3, [0.5] * 3, [1.0] * 3]).repeat(4, 1)
    shots = as_bytes(exposing(images, by))
    pyramid = ImagePyramid.of(Capture(images=shots, background=background), masked=False, device=torch.device("cpu"))
    expose_before_background(pyramid)
    assert torch.allclose((pyramid.images[..., 0, 0] + 1) / 2, torch.tensor(background), atol=0.01)
    assert torch.allclose((pyramid.images[..., 12, 12] + 1) / 2, torch.tensor(0.3), atol=0.01)
    poses = dict(list(POSES.items())[:12])
    views = even_before_background(PosedImages.of(shots, poses, CAMERA, background, torch.device("cpu")))
    colours = views.draw(2000, torch.Generator().manual_seed(0)).colours
    off = torch.minimum((colours - torch.tensor(background)).abs().amax(dim=1), (colours - 0.3).abs().amax(dim=1))
    assert off.max() < 0.02


def test_before_white_a_channel_that_is_not_clipped_loses_no_background(photographs):
    images, _ = photographs
    by = torch.tensor([[1.2, 1.1, 0.9], [0.8, 0.8, 0.8]]).repeat(20, 1)
    views = PosedImages.of(as_bytes(exposing(images, by)), POSES, CAMERA, WHITE, torch.device("cpu"))
    views = even_before_background(views)
    assert views.gains_known[0].tolist() == [False, False, True]
    plain = replace(views, gains=None).draw(4000, torch.Generator().manual_seed(0))
    even = views.draw(4000, torch.Generator().manual_seed(0))
    kept = (plain.directions == even.directions).all(dim=1)
    assert kept.float().mean() > 0.98
    true = PosedImages.of(as_bytes(images), POSES, CAMERA, WHITE, torch.device("cpu"))
    empty = (true.draw(4000, torch.Generator().manual_seed(0)).colours > 0.999).all(dim=1) & kept
    assert (even.colours[empty] > 0.98).all()


def test_what_masks_cut_out_stands_before_a_background_that_was_never_taken(photographs):
    images, by = photographs
    masks = {view: np.full((SIDE, SIDE), 255, np.uint8) for view in POSES}
    capture = Capture(images=as_bytes(exposing(images, by)), masks=masks)
    pyramid = ImagePyramid.of(capture, masked=True, device=torch.device("cpu"))
    expose_before_background(pyramid)
    assert pyramid.is_cut_out and pyramid.gains_known is None and pyramid.gains is None


def test_views_with_other_things_at_their_edges_do_not_count(photographs):
    images, _ = photographs
    images = images * 245 / 255  # not the white that was declared, but the same in all
    rng = torch.Generator().manual_seed(0)
    images[:4] = torch.rand(4, 3, SIDE, SIDE, generator=rng)
    assert by_background(images).gains is None


@pytest.mark.parametrize("shape", [(1, 40), (3, 5), (200, 30)])
def test_images_of_any_shape_are_looked_at(shape):
    height, width = shape
    camera = Camera(width=width, height=height, fx=33.0, fy=33.0, cx=width / 2, cy=height / 2)
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    poses = dict(list(POSES.items())[:2])
    views = PosedImages.of(dict(zip(poses, images, strict=True)), poses, camera, None, torch.device("cpu"))
    even_by_field(views, ball())
    assert even_before_background(replace(views, background=torch.ones(3))).gains is None


def test_of_two_views_exposures_are_told_too(photographs):
    images, _ = photographs
    by = torch.tensor([[0.7, 0.7, 0.7], [1.3, 1.3, 1.3]])
    poses = dict(list(POSES.items())[:2])
    shots = dict(list(as_bytes(exposing(images[:2], by)).items()))
    views = PosedImages.of(shots, poses, CAMERA, None, torch.device("cpu"))
    ratio = even_by_field(views, ball()).gains
    assert torch.allclose(ratio[1] / ratio[0], by[1] / by[0], rtol=0.05)


def test_gains_that_were_left_and_come_back_make_the_same_images(photographs):
    """Those that hardly change leave an image as it is; of a checkpoint, every image is as it was."""
    images, by = photographs
    pyramid, again = (
        ImagePyramid.of(Capture(images=as_bytes(exposing(images, by)), background=WHITE), masked=False, device=CPU)
        for _ in range(2)
    )
    for each in (pyramid, again):
        expose_before_background(each)
    first = pyramid.gains.clone()
    pyramid.expose(first * 1.1)
    with pyramid.as_first():
        assert torch.equal(pyramid.images, again.images)
    pyramid.expose(first * 1.003)
    assert not torch.equal(pyramid.images, again.images)
    again.expose(pyramid.gains)
    assert not torch.equal(again.images, pyramid.images)
    again.retake(pyramid.gains)
    assert torch.equal(again.images, pyramid.images) and torch.equal(again.gains, pyramid.gains)


@pytest.mark.parametrize("background", [WHITE, None])
def test_a_field_tells_what_a_background_does_not(photographs, background):
    images, by = photographs
    shots = as_bytes(exposing(images, by))
    views = PosedImages.of(shots, POSES, CAMERA, background, torch.device("cpu"))
    if background is not None:
        views = even_before_background(views)
        told = views.gains_known
    field = ball()
    found = even_by_field(views, field).gains
    if background is None:  # their mean is the field's
        assert (found.log() - (by.log() - by.log().mean(dim=0))).abs().max() < 0.06
    else:
        assert torch.equal(found[told], views.gains[told])
        assert (found / by).log().abs().max() < 0.06
    pyramid = ImagePyramid.of(Capture(images=shots, background=background), masked=False, device=torch.device("cpu"))
    if background is not None:
        expose_before_background(pyramid)
    expose_by_field(pyramid, field, CAMERA, views.poses)
    assert torch.allclose(pyramid.gains, found, atol=1e-5)


def test_silhouettes_and_views_of_one_exposure_stay_as_they_are(photographs):
    images, _ = photographs
    views = PosedImages.of(as_bytes(images), POSES, CAMERA, None, torch.device("cpu"))
    assert even_by_field(views, ball()).gains is None
    masks = {view: image[..., :1] for view, image in as_bytes(images).items()}
    dark = GridField.empty(Bounds.from_prior(PosePrior()), torch.zeros(1), FieldConfig(), 8)
    assert even_by_field(PosedImages.of(masks, POSES, CAMERA, None, torch.device("cpu")), dark).gains is None


def fit(images, job, *, contract, steps=400, **choices):
    budget = Budget(steps=steps, rays=512, side=24)
    config = FieldConfig(grid_smoke=budget, occupancy_every=20, **choices)
    bounds = Bounds.from_prior(PosePrior(), contract=contract, camera=CAMERA)
    return train(images, POSES, CAMERA, bounds, None if contract else WHITE, config, job)


@pytest.mark.parametrize("contract", [False, True])
def test_a_field_is_as_good_as_from_views_of_one_exposure(photographs, tmp_path, contract):
    _, by = photographs
    by = (by.log() - by.log().mean(dim=0)).exp()  # the brightness of all is nobody's to tell
    true = ball(GREY if contract else WHITE).render(np.stack(list(POSES.values())), CAMERA).rgb
    images = torch.from_numpy(true).movedim(-1, 1)
    shots = as_bytes(exposing(images, by))

    def decibels(found):
        rgb = found.render(np.stack(list(POSES.values())), CAMERA).rgb
        return checkpointing.psnr(float(np.mean((rgb - true) ** 2)))

    log: list = []
    job = a_job(tmp_path / "own", sink=lambda *row: log.append(row))
    even = decibels(fit(shots, job, contract=contract))
    mixed = decibels(fit(shots, a_job(tmp_path / "mixed"), contract=contract, exposures=False))
    clean = decibels(fit(as_bytes(images), a_job(tmp_path / "clean"), contract=contract))
    # 39.7, 23.2 and 49.1 dB before white; 28.6, 26.7 and 30.0 before grey that is not known, where few steps tell less
    assert even > mixed + (1.5 if contract else 10)
    assert even > clean - (3 if contract else 12)
    assert log[-2][1]["exposures_stops"] > 0.3


class KilledError(Exception):
    pass


@pytest.mark.parametrize("contract", [False, True])
def test_a_killed_fit_goes_on_with_the_same_exposures(photographs, tmp_path, monkeypatch, contract):
    images, by = photographs
    shots = as_bytes(exposing(images, by))
    monkeypatch.setattr(checkpointing, "LOG_SECONDS", 0.0)
    whole = fit(shots, a_job(tmp_path / "whole"), contract=contract, steps=40)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)

    def kill(step, values, pictures):
        if step == 32:
            raise KilledError

    with pytest.raises(KilledError):
        fit(shots, a_job(tmp_path / "broken", sink=kill), contract=contract, steps=40)
    log: list = []
    again = fit(shots, a_job(tmp_path / "broken", sink=lambda *row: log.append(row)), contract=contract, steps=40)
    assert 1 < log[0][0] <= 32  # a checkpoint was used
    assert torch.equal(again.colour, whole.colour) and torch.equal(again.density, whole.density)

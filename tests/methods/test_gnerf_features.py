"""Rigid groups: where features match they lead, where they mislead they cost time and nothing else."""

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.transform import Rotation
from test_gnerf_train import QUICK, a_job, answers, shown

from bench.judge.metrics import rotation_errors
from bench.matrix.registry import find_scene
from bench.task import Camera, PosePrior, look_at
from methods.gnerf import field as gnerf_field
from methods.gnerf import grouped, groups, train, training_run
from methods.gnerf.collapse import USELESS
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.field import GnerfField
from methods.gnerf.grouped import beyond_family
from methods.gnerf.groups import in_frame_of
from methods.gnerf.model import Model
from methods.gnerf.train import fit
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training import checkpointing
from methods.nerf.training.deadline import Deadline

SIFT = GnerfConfig(**QUICK, features="sift")
CPU = torch.device("cpu")
CAMERA = Camera(width=64, height=64, fx=64.0, fy=64.0, cx=32.0, cy=32.0)


@pytest.fixture(scope="module")
def town():
    """`blocks` at 64 px."""
    return find_scene("blocks", ()).load(64)


def matched(monkeypatch, *models, turns=(), relaxed=False):
    """Structure from motion that answers these models, each a mapping from views to poses, of the town's camera, and
    how views are turned to each other."""
    from methods.sfm import reconstruct

    camera = find_scene("blocks", ()).load(64).truth.camera
    made = reconstruct.PartialModels(models=[(dict(model), camera) for model in models], turns=turns, relaxed=relaxed)
    monkeypatch.setattr(reconstruct, "partial_models", lambda *_, **__: made)


def elsewhere(poses):
    """The same cameras in another frame: turned, moved and half as large."""
    turn = Rotation.from_rotvec([1.0, -2.0, 0.5]).as_matrix()
    moved = {}
    for view, pose in poses.items():
        moved[view] = np.eye(4)
        moved[view][:3, :3] = turn @ pose[:3, :3]
        moved[view][:3, 3] = 0.5 * turn @ pose[:3, 3] + [3.0, 1.0, -2.0]
    return moved


PRIORS = {
    "sphere": PosePrior(elevation=(10, 60), radius=(3.9, 4.1)),
    "half a circle": PosePrior(family="sphere+jitter", azimuth=(-60, 90), elevation=(0, 50), look_at=(1, 2, 3), up="y"),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_group_comes_to_where_its_prior_has_such_cameras(name):
    prior = PRIORS[name]
    truth = dict(enumerate(prior.sample(np.random.default_rng(1), 40)))
    placed = in_frame_of(prior, np.stack(list(elsewhere(truth).values())))
    true = np.stack(list(truth.values()))
    axis = "xyz".index(prior.up)
    # all but a turn about the prior's axis is found, and that to within its azimuths
    turned = placed[:, :3, :3] @ true[:, :3, :3].transpose(0, 2, 1)
    assert np.degrees(np.arccos(turned[:, axis, axis].clip(-1, 1))).max() < 8
    height = (placed[:, :3, 3] - prior.look_at)[:, axis] / (true[:, :3, 3] - prior.look_at)[:, axis].mean()
    assert height.mean() == pytest.approx(1.0, abs=0.15)
    distance = np.linalg.norm(placed[:, :3, 3] - prior.look_at, axis=1)
    assert np.median(distance) == pytest.approx(sum(prior.radius) / 2, rel=1e-6)


def test_without_matches_it_is_gnerf_to_the_last_bit(town, tmp_path, monkeypatch):
    matched(monkeypatch)
    plain = fit(shown(town, 24), GnerfConfig(**QUICK), a_job(tmp_path / "plain"))
    found = fit(shown(town, 24), SIFT, a_job(tmp_path / "sift"))
    assert np.array_equal(answers(plain), answers(found))
    assert found.notes["began_from"] == "nothing" and found.notes["groups"] == 0


@pytest.mark.parametrize(("took", "began_from"), [(600.0, "groups"), (np.inf, "no time for the groups")])
def test_matching_that_took_long_leaves_the_groups_their_share(town, tmp_path, monkeypatch, took, began_from):
    """Two thirds of the limit are more than the share of the groups, of all of it."""
    matched(monkeypatch, dict(list(town.truth.poses.items())[:24]))
    begin = grouped.begin_from_groups

    def after_matching(model, groups, plan, job, *rest):
        if np.isinf(took):
            monkeypatch.setattr(Deadline, "reached", lambda *_: True)
        answered = begin(model, groups, plan, replace(job, began=time.monotonic() - min(took, 600.0)), *rest)
        monkeypatch.setattr(Deadline, "reached", reached)
        return answered

    reached = Deadline.reached
    monkeypatch.setattr(train, "begin_from_groups", after_matching)
    monkeypatch.setattr(train, "misfit", lambda model: 0.1 if model.held is not None else 0.2)
    monkeypatch.setattr(train, "decibels_over_mean", lambda model: 9.0)
    found = fit(shown(town, 24), SIFT, a_job(tmp_path, seconds=900.0))
    assert found.notes["began_from"].endswith(began_from)


def test_matches_that_mislead_are_not_believed(town, tmp_path, monkeypatch):
    """Each view is where another one is: a model as COLMAP makes it of repeated structure."""
    budget = FastBudget(a=60, ab=90, b=10, batch=16, rays=2048, side=32)
    config = GnerfConfig(grid=Fast(smoke=budget), reseed_every=15, candidates=300, features="sift")
    capture = shown(town, 50)
    views = list(capture.images)
    matched(monkeypatch, dict(zip(views, [town.truth.poses[view] for view in views[25:] + views[:25]], strict=True)))
    assert fit(capture, config, a_job(tmp_path)).notes["began_from"] == "nothing"


def test_a_sure_group_is_believed_keeps_its_poses_and_the_other_views_find_to_it(town, tmp_path, monkeypatch):
    budget = FastBudget(a=10, ab=90, b=20, batch=16, rays=4096, side=48)
    sure = dict(list(town.truth.poses.items())[:80])
    others = [view for view in town.truth.poses if view not in sure]
    matched(monkeypatch, elsewhere(sure))
    config = GnerfConfig(grid=Fast(smoke=budget, held_until=1.0), reseed_every=15, candidates=300, features="sift")
    found = fit(shown(town), config, a_job(tmp_path))
    assert found.notes["began_from"] == "groups" and found.notes["grouped_views"] == 80

    def relative(poses, views):
        first = np.linalg.inv(poses[views[0]][:3, :3])
        return np.stack([np.block([[first @ poses[view][:3, :3], np.zeros((3, 1))], [0, 0, 0, 1]]) for view in views])

    views = list(sure)
    kept = rotation_errors(relative(found.poses, views), relative(sure, views))
    assert kept.max() < 0.5  # its cameras are upright and look at one point, to within what `sphere` can say
    assert found.notes["pose_family"] == "sphere"
    errors = rotation_errors(
        relative(found.poses, [views[0], *others]), relative(town.truth.poses, [views[0], *others])
    )
    assert np.median(errors[1:]) < 10


@pytest.mark.parametrize("relaxed", [False, True])
def test_poses_that_few_matches_tell_rest_until_b_and_others_for_a_part_of_it(town, tmp_path, monkeypatch, relaxed):
    budget = FastBudget(a=6, ab=20, b=8, batch=8, rays=512, side=24)
    config = GnerfConfig(
        grid=Fast(smoke=budget, held_until=0.5), reseed=True, reseed_at=(), candidates=60, features="sift"
    )
    capture = shown(town, 40)  # no few views, of which several beginnings are made
    matched(monkeypatch, {view: town.truth.poses[view] for view in capture.images}, relaxed=relaxed)
    monkeypatch.setattr(train, "misfit", lambda model: 1.0 if model.held is not None else 2.0)
    monkeypatch.setattr(train, "decibels_over_mean", lambda _: USELESS)
    moved, plain = [], training_run.TrainingRun.log

    def log(self, iteration, losses, reseeded=None):
        plain(self, iteration, losses, reseeded)
        if iteration.phase == "B":
            moved.append(self.model.poses().detach().clone())

    monkeypatch.setattr(training_run.TrainingRun, "log", log)
    fit(capture, config, a_job(tmp_path))
    stays = [torch.allclose(before, after, atol=1e-5) for before, after in itertools.pairwise(moved)]
    first = stays.index(False)  # however long AB was
    assert stays == [True] * first + [False] * (len(stays) - first)
    assert first == (0 if relaxed else math.ceil(len(moved) / 2) - 1)


@pytest.fixture(scope="module")
def unbroken():
    """Fits that nobody killed, by whether their poses are free of the family."""
    return {}


@pytest.mark.parametrize(("phase", "freed"), [("A", False), ("AB", False), ("B", False), ("B", True)])
def test_a_fit_from_groups_killed_in_any_phase_ends_as_an_unbroken_one(
    town, unbroken, tmp_path, monkeypatch, phase, freed
):
    monkeypatch.setattr(train, "beyond_family", lambda *_: freed)
    if freed:  # and surely gone on from
        monkeypatch.setattr(train, "misfit", lambda model: 1.0 - model.freed)
        monkeypatch.setattr(train, "decibels_over_mean", lambda _: USELESS)
    capture = shown(town, 24)
    matched(monkeypatch, elsewhere({view: town.truth.poses[view] for view in list(capture.images)[:16]}))
    if freed not in unbroken:
        unbroken[freed] = fit(capture, SIFT, a_job(tmp_path / "whole"))
    whole = unbroken[freed]

    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    plain = training_run.TrainingRun.log

    def dying(self, iteration, losses, reseeded=None):
        plain(self, iteration, losses, reseeded)
        if iteration.phase == phase and iteration.index == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_run.TrainingRun, "log", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(capture, SIFT, a_job(tmp_path / "killed"))
    monkeypatch.setattr(training_run.TrainingRun, "log", plain)
    again = fit(capture, SIFT, a_job(tmp_path / "killed"))
    assert np.array_equal(answers(whole), answers(again))
    assert again.notes["began_from"] == whole.notes["began_from"]
    assert again.notes["pose_family"] == whole.notes["pose_family"] == ("full" if freed else "sphere")
    (tmp_path / "saved").mkdir()
    again.field.save(tmp_path / "saved")
    loaded = GnerfField.load(tmp_path / "saved", "cpu")
    images = np.stack(list(capture.images.values())[:1])
    assert np.array_equal(loaded.register(images, CAMERA, 0), again.field.register(images, CAMERA, 0))


def test_poses_of_a_group_may_be_rolled_and_look_elsewhere_where_the_network_still_answers_in_the_priors_family(town):
    sight = ImagePyramid.of(shown(town), masked=False, device=CPU)
    by_hand = np.stack(list(town.truth.poses.values()))
    by_hand[:, :3, :3] = by_hand[:, :3, :3] @ Rotation.from_rotvec([0.1, -0.2, 0.4]).as_matrix()
    poses = torch.from_numpy(by_hand).float()

    def placed(config, **told):
        model = Model(shown(town), sight, config, "smoke", 0, **told)
        model.place(torch.arange(len(poses)), model.family.encode(poses))
        return model, rotation_errors(model.poses().detach().double().numpy(), by_hand).max()

    free, error = placed(SIFT, freed=True)
    assert error < 0.01
    assert free.inverted().shape == (len(poses), 3) and free.answer_family.name == "sphere"
    assert placed(SIFT)[1] > 10
    again = Model(shown(town), sight, SIFT, "smoke", 1, freed=True)
    again.restore(*free.state())
    assert torch.equal(again.poses(), free.poses())


def group_of(poses):
    return groups.RigidGroup(views=tuple(map(str, range(len(poses)))), poses=poses, camera=CAMERA)


def turned(poses, degrees):
    """Each camera turned about its own axis of view, so much."""
    poses = poses.copy()
    poses[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_rotvec([0, 0, degrees], degrees=True).as_matrix()
    return poses


def farther(poses, factors):
    poses = poses.copy()
    poses[:, :3, 3] *= np.asarray(factors)[:, None]
    return poses


UPRIGHT = PosePrior(elevation=(20, 50)).sample(np.random.default_rng(0), 20)


@pytest.mark.parametrize(
    ("found", "beyond"),
    [
        ([UPRIGHT], False),
        ([turned(UPRIGHT, 0.7)], False),
        ([turned(UPRIGHT, 1.5)], True),
        ([np.concatenate([turned(UPRIGHT[:9], 5), UPRIGHT[9:]])], False),  # most are as the family says
        ([np.concatenate([turned(UPRIGHT[:11], 5), UPRIGHT[11:]])], True),
        ([farther(UPRIGHT, np.linspace(0.9, 1.1, 20))], False),
        ([farther(UPRIGHT, np.linspace(0.6, 1.6, 20))], True),  # upright and centred, but on no one sphere
        ([UPRIGHT[:11], turned(UPRIGHT[11:], 5)], False),
        ([turned(UPRIGHT[:11], 5), UPRIGHT[11:]], True),
        ([UPRIGHT[:6], turned(UPRIGHT[6:13], 5), turned(UPRIGHT[13:], 5)], True),  # all groups count
        ([turned(UPRIGHT[:4], 5)], False),  # too few to tell
    ],
)
def test_poses_are_beyond_a_family_where_most_of_them_are_turned_or_moved_from_all_that_it_says(found, beyond):
    assert beyond_family([group_of(poses) for poses in found], PosePrior(), SIFT) is beyond


def test_what_is_beyond_a_family_depends_on_the_family_and_an_option_that_names_one_is_kept_to():
    by_hand = [group_of(turned(UPRIGHT, 20))]
    assert beyond_family(by_hand, PosePrior(), SIFT)
    assert not beyond_family(by_hand, PosePrior(family="sphere+jitter", roll_std=20, look_at_std=0.1), SIFT)
    assert not beyond_family(by_hand, PosePrior(), SIFT.model_copy(update={"pose_family": "sphere"}))
    above = np.tile(np.diag([1.0, -1, -1, 1]), (6, 1, 1))  # exactly above, where upright means nothing
    above[:, 2, 3] = 4
    assert beyond_family([group_of(above)], PosePrior(), SIFT)


NOT_POSED = SIFT.grid.model_copy(update={"posed_open": False})


@pytest.mark.parametrize(
    ("share", "given", "options", "rests", "fields"),
    [
        (0.5, {}, {}, True, 2), (0.4, {}, {}, True, 0), (1.0, {}, {}, False, 0),
        (1.0, {}, {"grid": NOT_POSED}, True, 0), (1.0, {"background": (1.0, 1.0, 1.0)}, {}, True, 0),
        (1.0, {"camera": None}, {"intrinsics": "unknown"}, True, 0), (None, {}, {}, True, 3),
    ],
)  # fmt: skip
def test_b_before_a_real_background_has_two_fields_anew_where_half_of_the_views_rest(
    town, share, given, options, rests, fields
):
    capture = shown(town, 12, **{"background": None, **given})
    model = Model(
        capture, ImagePyramid.of(capture, masked=False, device=CPU), SIFT.model_copy(update=options), "smoke", 0
    )
    model.held, model.rests = None if share is None else torch.arange(12) < 12 * share, rests
    assert model.fields_anew == fields
    length = model.plan.phases["B"]
    assert length == model.budget.b + fields * model.budget.coarse_anew + max(0, fields - 1) * model.budget.fine_anew


def opacity(model, distance):
    """In the middle of an image that is taken at so many of the prior's distances, of a field that fills its cube."""
    model.generator.field.density.data.fill_(20.0)
    place = np.array([[1.0, 0.0, 0.5]]) / np.sqrt(1.25) * distance * np.mean(model.prior.radius)
    pose = torch.from_numpy(look_at(place, np.zeros((1, 3)), np.array([0, 0, 1.0]))).float()
    rays = view_rays(model.intrinsics, pose, torch.zeros(1, 1, 2))
    return float(model.generator.field.shade(*rays).opacity.detach().mean())


def test_cameras_that_are_freed_see_the_object_from_nearer_and_farther_than_the_prior_says(town):
    small = {view: np.full_like(image, 255) for view, image in town.capture.images.items()}
    for view, image in town.capture.images.items():  # the object seen small: the field closes round it
        small[view][16:48, 16:48] = image[::2, ::2]
    capture = shown(town, images=small, prior=PosePrior())
    sight = ImagePyramid.of(capture, masked=False, device=CPU)
    held, freed = (Model(capture, sight, SIFT, "smoke", 0, freed=freed) for freed in (False, True))
    assert opacity(held, 1.0) > 0.99 and opacity(held, 0.4) < 0.01
    for distance in (0.4, 1.0, 2.5):
        assert opacity(freed, distance) > 0.99
    assert freed.generator.field.bounds.half_size == Bounds.from_prior(PosePrior()).half_size


def test_cameras_that_are_freed_go_farther_away_with_a_free_focal_length_as_all_do(town):
    config = SIFT.model_copy(update={"intrinsics": "unknown"})
    sight = ImagePyramid.of(shown(town, camera=None), masked=False, device=CPU)
    model = Model(shown(town, camera=None), sight, config, "smoke", 0, freed=True)
    before = model.poses().detach()
    with torch.no_grad():
        model.intrinsics.log_zoom.fill_(0.5)
    centre = before.new_tensor(model.prior.look_at)
    expected = np.exp(0.5) * (before[:, :3, 3] - centre)
    assert torch.allclose(model.poses()[:, :3, 3] - centre, expected, atol=1e-5)


def test_a_field_registers_in_the_family_of_its_poses_and_hears_the_network_in_its_own(town, tmp_path, monkeypatch):
    model = Model(
        shown(town),
        ImagePyramid.of(shown(town), masked=False, device=CPU),
        SIFT,
        "smoke",
        0,
        freed=True,
    )
    field = GnerfField(
        field=model.generator.field, prior=model.prior, family="full", answer_family="sphere",
        inversion=model.inversion, inversion_kind="cnn", candidates=20, hypotheses=2, side=16,
        known=torch.from_numpy(turned(UPRIGHT, 30)).float(),
    )  # fmt: skip
    field.save(tmp_path)
    again = GnerfField.load(tmp_path, "cpu")
    assert (again.family, again.answer_family) == ("full", "sphere")
    images = np.stack(list(town.capture.images.values())[:2])
    assert np.array_equal(again.register(images, town.truth.camera, 0), field.register(images, town.truth.camera, 0))
    tried = []
    monkeypatch.setattr(gnerf_field, "locate", lambda *given, **_: tried.append(given[4].numpy()) or given[4][:2])
    for each in (again, replace(again, known=None)):
        each.register(images, town.truth.camera, 0)
    replace(again, known=None).save(tmp_path)  # over the other one
    assert GnerfField.load(tmp_path, "cpu").known is None
    with_known, without = tried
    assert np.array_equal(with_known[:20], without)
    rolled, upright = (np.degrees(np.arctan2(poses[:, 2, 0], -poses[:, 2, 1])) for poses in (with_known[20:], without))
    assert len(rolled) == 20 and np.abs(np.abs(rolled) - 30).max() < 0.1  # as many again, like those that are known
    assert np.abs(upright).max() < 0.1


def test_features_found_in_images_that_show_the_same_thing_make_a_group(tmp_path):
    """Real SIFT on twelve neighbouring views: relative rotations are those of the truth."""
    scene = find_scene("blocks", ()).load(200)
    order = sorted(scene.truth.poses, key=lambda view: np.arctan2(*scene.truth.poses[view][:2, 3]))[:12]
    capture = shown(scene, images={view: scene.capture.images[view] for view in order})
    found = groups.rigid_groups(capture, SIFT, a_job(tmp_path))
    assert found and len(found[0].views) >= 6
    true = np.stack([scene.truth.poses[view] for view in found[0].views])

    def seen_from_the_first(poses):
        moved = np.tile(np.eye(4), (len(poses), 1, 1))
        moved[:, :3, :3] = np.linalg.inv(poses[0, :3, :3]) @ poses[:, :3, :3]
        return moved

    assert np.median(rotation_errors(seen_from_the_first(found[0].poses), seen_from_the_first(true))) < 1


def test_matches_tell_a_focal_length_that_is_not_given(town, tmp_path, monkeypatch):
    budget = FastBudget(a=10, ab=30, b=10, batch=16, rays=2048, side=32)
    config = GnerfConfig(grid=Fast(smoke=budget, held_until=1.0), intrinsics="unknown", candidates=60, features="sift")
    matched(monkeypatch, elsewhere(town.truth.poses))
    found = fit(shown(town, camera=None), config, a_job(tmp_path))
    assert found.notes["began_from"] == "groups"
    assert found.camera.fx == pytest.approx(town.truth.camera.fx, rel=1e-4)  # without matches: the guess, and a drift


def test_features_are_for_the_fast_preset_and_all_phases():
    for choices in ({"preset": "published"}, {"schedule": "AB"}, {"reseed": False}, {"prior": "learned"}):
        with pytest.raises(ValidationError, match="goes with preset=fast"):
            GnerfConfig(features="sift", **choices)

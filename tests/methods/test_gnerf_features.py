"""Rigid groups: where features match they lead, where they mislead they cost time and nothing else."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.transform import Rotation
from test_gnerf_train import QUICK, a_job, answers, shown

from bench.judge.metrics import rotation_errors
from bench.matrix.registry import find_scene
from bench.task import PosePrior
from methods.gnerf import groups, train, training_run
from methods.gnerf.collapse import USELESS
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.field import GnerfField
from methods.gnerf.grouped import is_unheard_of
from methods.gnerf.groups import in_frame_of
from methods.gnerf.model import Model
from methods.gnerf.train import fit
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training import checkpointing

SIFT = GnerfConfig(**QUICK, features="sift")


@pytest.fixture(scope="module")
def town():
    """`blocks` at 64 px."""
    return find_scene("blocks", ()).load(64)


def matched(monkeypatch, *models):
    """Structure from motion that answers these models, each a mapping from views to poses, of the town's camera."""
    from methods.sfm import reconstruct

    camera = find_scene("blocks", ()).load(64).truth.camera
    monkeypatch.setattr(reconstruct, "partial_models", lambda *_, **__: [(dict(model), camera) for model in models])


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
    plain = fit(shown(town), GnerfConfig(**QUICK), a_job(tmp_path / "plain"))
    found = fit(shown(town), SIFT, a_job(tmp_path / "sift"))
    assert np.array_equal(answers(plain), answers(found))
    assert found.notes["began_from"] == "nothing" and found.notes["groups"] == 0


def test_matches_that_mislead_are_not_believed(town, tmp_path, monkeypatch):
    """Each view is where another one is: a model as COLMAP makes it of repeated structure."""
    budget = FastBudget(a=60, ab=90, b=10, batch=16, rays=2048, side=32)
    config = GnerfConfig(grid=Fast(smoke=budget), reseed_every=15, features="sift")
    views = list(town.truth.poses)
    matched(monkeypatch, dict(zip(views, [town.truth.poses[view] for view in views[50:] + views[:50]], strict=True)))
    assert fit(shown(town), config, a_job(tmp_path)).notes["began_from"] == "nothing"


def test_a_sure_group_is_believed_keeps_its_poses_and_the_other_views_find_to_it(town, tmp_path, monkeypatch):
    budget = FastBudget(a=10, ab=90, b=20, batch=16, rays=4096, side=48)
    sure = dict(list(town.truth.poses.items())[:80])
    others = [view for view in town.truth.poses if view not in sure]
    matched(monkeypatch, elsewhere(sure))
    config = GnerfConfig(grid=Fast(smoke=budget, held_until=1.0), reseed_every=15, features="sift")
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


@pytest.mark.parametrize(("phase", "freed"), [("A", False), ("AB", False), ("B", False), ("B", True)])
def test_a_fit_from_groups_killed_in_any_phase_ends_as_an_unbroken_one(town, tmp_path, monkeypatch, phase, freed):
    monkeypatch.setattr(train, "is_unheard_of", lambda *_: freed)
    if freed:  # and surely gone on from
        monkeypatch.setattr(train, "misfit", lambda model: 1.0 - model.freed)
        monkeypatch.setattr(train, "decibels_over_mean", lambda _: USELESS)
    matched(monkeypatch, elsewhere(dict(list(town.truth.poses.items())[:60])))
    whole = fit(shown(town), SIFT, a_job(tmp_path / "whole"))

    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    plain = training_run.TrainingRun.log

    def dying(self, iteration, losses, reseeded=None):
        plain(self, iteration, losses, reseeded)
        if iteration.phase == phase and iteration.index == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_run.TrainingRun, "log", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(shown(town), SIFT, a_job(tmp_path / "killed"))
    monkeypatch.setattr(training_run.TrainingRun, "log", plain)
    again = fit(shown(town), SIFT, a_job(tmp_path / "killed"))
    assert np.array_equal(answers(whole), answers(again))
    assert again.notes["began_from"] == whole.notes["began_from"]
    assert again.notes["pose_family"] == whole.notes["pose_family"] == ("full" if freed else "sphere")


def test_poses_of_a_group_may_be_rolled_and_look_elsewhere_where_the_network_still_answers_in_the_priors_family(town):
    sight = ImagePyramid.of(shown(town), masked=False, device=torch.device("cpu"))
    by_hand = np.stack(list(town.truth.poses.values()))
    by_hand[:, :3, :3] = by_hand[:, :3, :3] @ Rotation.from_rotvec([0.1, -0.2, 0.4]).as_matrix()
    poses = torch.from_numpy(by_hand).float()

    def placed(config, **told):
        model = Model(shown(town), sight, config, "smoke", 0, **told)
        model.place(torch.arange(len(poses)), model.family.encode(poses))
        return model, rotation_errors(model.poses().detach().double().numpy(), by_hand).max()

    free, error = placed(SIFT, freed=True)
    assert error < 0.01
    assert free.inverted().shape == (len(poses), 3) and free.answers.name == "sphere"
    assert placed(SIFT)[1] > 10
    group, prior = groups.RigidGroup(views=list(town.truth.poses), poses=by_hand, camera=town.truth.camera), PosePrior()
    assert is_unheard_of(group, prior, SIFT)
    assert not is_unheard_of(group, prior, SIFT.model_copy(update={"pose_family": "sphere"}))  # an option is kept to
    upright = prior.sample(np.random.default_rng(0), 5)
    assert not is_unheard_of(
        groups.RigidGroup(views=list("abcde"), poses=upright, camera=town.truth.camera), prior, SIFT
    )
    again = Model(shown(town), sight, SIFT, "smoke", 1, freed=True)
    again.restore(*free.state())
    assert torch.equal(again.poses(), free.poses())


def test_a_field_registers_in_the_family_of_its_poses_and_hears_the_network_in_its_own(town, tmp_path):
    model = Model(
        shown(town),
        ImagePyramid.of(shown(town), masked=False, device=torch.device("cpu")),
        SIFT,
        "smoke",
        0,
        freed=True,
    )
    field = GnerfField(
        field=model.generator.field, prior=model.prior, family="full", answers="sphere", inversion=model.inversion,
        inversion_kind="cnn", candidates=20, hypotheses=2, side=16,
    )  # fmt: skip
    field.save(tmp_path)
    again = GnerfField.load(tmp_path, "cpu")
    assert (again.family, again.answers) == ("full", "sphere")
    images = np.stack(list(town.capture.images.values())[:2])
    assert np.array_equal(again.register(images, town.truth.camera, 0), field.register(images, town.truth.camera, 0))


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
    config = GnerfConfig(grid=Fast(smoke=budget, held_until=1.0), intrinsics="unknown", features="sift")
    matched(monkeypatch, elsewhere(town.truth.poses))
    found = fit(shown(town, camera=None), config, a_job(tmp_path))
    assert found.notes["began_from"] == "groups"
    assert found.camera.fx == pytest.approx(town.truth.camera.fx, rel=1e-4)  # without matches: the guess, and a drift


def test_features_are_for_the_fast_preset_and_all_phases():
    for choices in ({"preset": "published"}, {"schedule": "AB"}, {"reseed": False}, {"prior": "learned"}):
        with pytest.raises(ValidationError, match="goes with preset=fast"):
            GnerfConfig(features="sift", **choices)

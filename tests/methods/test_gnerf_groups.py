"""What the matches of two views alone say: smaller groups and single views join the largest, and candidates for the
others are like the cameras that are known."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bench.judge.metrics import rotation_errors
from bench.matrix.registry import find_scene
from bench.task import Camera, PosePrior, ViewId
from methods.gnerf import groups as rigid
from methods.gnerf import reseed
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.grouped import beyond_family
from methods.gnerf.groups import RigidGroup, joined, rigid_groups
from methods.gnerf.model import Body, Model
from methods.gnerf.photometric import photometric_step
from methods.gnerf.poses import turned
from methods.gnerf.reseed import candidates, settle
from methods.gnerf.schedule import Iteration
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import generator
from methods.sfm import reconstruct
from methods.sfm.reconstruct import PartialModels, Turn

CAMERA = Camera(width=64, height=64, fx=64.0, fy=64.0, cx=32.0, cy=32.0)
RING = PosePrior(elevation=(5, 35), radius=(4, 4), family="sphere+jitter", roll_std=90.0)


def ring(count):
    """Cameras round the axis, every other one upside down: `world_from_camera` (count, 4, 4)."""
    poses = PosePrior(elevation=(15, 15), radius=(4, 4)).sample(np.random.default_rng(0), count)
    poses = poses[np.argsort(np.arctan2(poses[:, 1, 3], poses[:, 0, 3]))]
    poses[::2, :3, :2] *= -1
    return dict(zip((f"v{k}" for k in range(count)), poses, strict=True))


def group_of(truth, names, seed):
    """Some of the cameras, in a frame and at a scale of their own."""
    rng = np.random.default_rng(seed)
    turn, scale, shift = Rotation.random(rng=rng).as_matrix(), rng.uniform(0.2, 5), rng.normal(size=3)
    poses = np.stack([truth[name] for name in names])
    poses[:, :3, 3] = scale * poses[:, :3, 3] @ turn.T + shift
    poses[:, :3, :3] = turn @ poses[:, :3, :3]
    return RigidGroup(views=tuple(names), poses=poses, camera=CAMERA)


def turn_of(truth, first, second, matches=50, error=0.0):
    rotation = truth[second][:3, :3].T @ truth[first][:3, :3]
    off = Rotation.from_rotvec([0, 0, error], degrees=True).as_matrix()
    return Turn(first=first, second=second, rotation=off @ rotation, matches=matches)


def misplaced(groups, truth):
    """Degrees by which cameras are off, but for one turn of all: their rotations (N,), and where they stand, seen from
    the look-at point (N,)."""
    poses = np.concatenate([group.poses for group in groups])
    true = np.stack([truth[view] for group in groups for view in group.views])
    frame = poses[0, :3, :3] @ true[0, :3, :3].T
    moved = np.tile(np.eye(4), (len(true), 1, 1))
    moved[:, :3, :3], moved[:, :3, 3] = frame @ true[:, :3, :3], true[:, :3, 3] @ frame.T
    apart = [
        np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))
        for a, b in zip(poses[:, :3, 3], moved[:, :3, 3], strict=True)
    ]
    return rotation_errors(poses, moved), np.array(apart)


def test_smaller_groups_and_single_views_join_the_largest_by_the_turns_of_two_views():
    truth = ring(13)
    groups = [group_of(truth, [f"v{k}" for k in range(6)], 1), group_of(truth, ["v7", "v8", "v9"], 2)]
    turns = [
        turn_of(truth, "v5", "v6"),  # a single view
        turn_of(truth, "v7", "v6"),  # a group, by way of it
        turn_of(truth, "v9", "v5", matches=15, error=40.0),  # few matches are outvoted
        turn_of(truth, "v7", "v5", matches=200),
        turn_of(truth, "v11", "v12"),  # two that nothing joins
    ]
    found = joined(groups, turns, RING)
    assert [(sorted(group.views), group.joined) for group in found] == [
        (["v0", "v1", "v2", "v3", "v4", "v5"], False),
        (["v7", "v8", "v9"], True),
        (["v6"], True),
        (["v11", "v12"], False),
    ]
    turned_by, apart = misplaced(found[:3], truth)
    assert turned_by[:6].max() < 1e-5  # what it was
    assert turned_by.max() < 1e-5
    assert apart.max() < 1e-5
    assert misplaced(found[3:], truth)[0].max() < 1e-5
    # all that is joined tells where the prior's axis is: more than half of a ring, all as high
    height = np.concatenate([group.poses[:, 2, 3] for group in found[:3]]) / 4
    assert np.ptp(np.degrees(np.arcsin(height))) < 9


def test_without_turns_groups_are_what_they_were():
    truth = ring(9)
    groups = [group_of(truth, [f"v{k}" for k in range(5)], 1), group_of(truth, ["v6", "v7", "v8"], 2)]
    found = joined(groups, [], RING)
    assert [group.views for group in found] == [group.views for group in groups]
    assert not any(group.joined for group in found)
    assert joined([], [turn_of(truth, "v0", "v1")], RING) == []


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_what_is_joined_comes_to_where_its_prior_has_such_cameras(up):
    prior = PosePrior(azimuth=(-60, 90), elevation=(0, 50), radius=(3, 5), look_at=(1, 2, 3), up=up)
    poses = prior.sample(np.random.default_rng(1), 40)
    truth = {f"v{k}": pose for k, pose in enumerate(poses)}
    group = group_of(truth, [f"v{k}" for k in range(20)], 1)
    found = joined([group], [turn_of(truth, f"v{k - 20}", f"v{k}") for k in range(20, 40)], prior)
    assert len(found) == 21
    placed = np.concatenate([each.poses for each in found])
    assert rotation_errors(placed, poses).max() < 15  # its frame, to within what the ranges leave open
    offset = placed[:, :3, 3] - prior.look_at
    assert np.median(np.linalg.norm(offset, axis=1)) == pytest.approx(4)
    at, of = (way / np.linalg.norm(way, axis=1, keepdims=True) for way in (offset, poses[:, :3, 3] - prior.look_at))
    assert np.degrees(np.arccos((at * of).sum(axis=1))).max() < 15


@pytest.mark.parametrize("degrees", [0.0, 0.3, 1.0, 5.0])
def test_two_single_views_side_by_side_make_a_body_however_near_their_axes_are_to_parallel(degrees):
    apart = Rotation.from_rotvec([0, degrees, 0], degrees=True).as_matrix()
    found = joined(
        [group_of(ring(3), ["v0", "v1", "v2"], 1)],
        [Turn(first=ViewId("a"), second=ViewId("b"), rotation=apart, matches=50)],
        RING,
    )
    assert [group.views for group in found] == [("v0", "v1", "v2"), ("a", "b")]
    first, second = found[1].poses[:, :3, 3]
    assert [np.linalg.norm(first), np.linalg.norm(second)] == pytest.approx([4, 4])
    assert np.linalg.norm(first - second) == pytest.approx(8 * np.sin(np.radians(degrees) / 2), abs=1e-6)


def test_hundreds_of_single_views_and_thousands_of_turns_join_in_seconds():
    count = 305
    truth, rng = ring(count), np.random.default_rng(0)
    pairs = {tuple(sorted(rng.choice(count, 2, replace=False).tolist())) for _ in range(5000)}
    turns = [turn_of(truth, f"v{a}", f"v{b}", matches=int(rng.integers(15, 99))) for a, b in sorted(pairs)]
    start = time.process_time()
    found = joined([group_of(truth, [f"v{k}" for k in range(5)], 1)], turns, RING)
    assert time.process_time() - start < 15  # about two; half a minute where each look at what waits sees all turns
    assert len(found) == 301 and misplaced(found, truth)[0].max() < 1e-5


def test_of_very_many_pairs_that_could_vote_those_with_the_most_matches_do(monkeypatch):
    monkeypatch.setattr(rigid, "VOTES", 3)
    truth = ring(8)
    turns = [turn_of(truth, f"v{k}", "v7", 15, error=90.0) for k in range(3)]
    turns += [turn_of(truth, f"v{k}", "v7", 20) for k in range(3, 6)]
    found = joined([group_of(truth, [f"v{k}" for k in range(6)], 1)], turns, RING)
    assert misplaced(found, truth)[0].max() < 1e-5


def test_what_two_views_alone_tell_does_not_say_whether_poses_are_beyond_a_family():
    """They look at one point because it was so supposed, and are rolled as it comes."""
    truth = ring(16)
    turns = [turn_of(truth, f"v{k}", f"v{k + 1}") for k in range(6, 15)]
    config = GnerfConfig(features="sift")
    few = joined([group_of(truth, ["v0", "v1", "v2"], 1)], turns, RING)
    assert [len(group.views) for group in few] == [3, 10]
    assert not beyond_family(few, PosePrior(), config)  # three views, and none of them can tell
    more = joined(
        [group_of(truth, [f"v{k}" for k in range(6)], 1), group_of(truth, ["v6", "v7", "v8"], 2)], turns, RING
    )
    assert [group.sure for group in more] == [None, 3]
    assert beyond_family(more, PosePrior(), config)  # every other one is upside down


def test_groups_that_were_kept_are_read_again_and_those_of_an_earlier_version_are_found_anew(tmp_path, monkeypatch):
    from test_gnerf_train import a_job, shown

    capture, truth = replace(shown(find_scene("blocks", ()).load(64), 9), prior=RING), ring(9)
    names = dict(zip(truth, capture.images, strict=True))
    model = {names[view]: truth[view] for view in list(truth)[:4]}
    turns = [replace(turn_of(truth, "v3", "v5"), first=names["v3"], second=names["v5"])]
    asked = []

    def found(*_, **__):
        asked.append(True)
        return PartialModels(models=[(model, CAMERA)], turns=turns)

    monkeypatch.setattr(reconstruct, "partial_models", found)
    config, kept = GnerfConfig(features="sift"), tmp_path / "groups.json"
    first = rigid_groups(capture, config, a_job(tmp_path))

    def same(other):
        told = [(group.views, group.camera, group.joined, group.sure) for group in other]
        return told == [(group.views, group.camera, group.joined, group.sure) for group in first] and all(
            np.array_equal(one.poses, another.poses) for one, another in zip(first, other, strict=True)
        )

    assert [group.joined for group in first] == [False, True]
    assert same(rigid_groups(capture, config, a_job(tmp_path))) and len(asked) == 1
    rows = json.loads(kept.read_text())
    for spoilt in (
        [{k: v for k, v in row.items() if k != "joined"} for row in rows],
        [1],
        {"a": 1},
        [dict(rows[0], camera=3)],
    ):
        kept.write_text(json.dumps(spoilt))
        asked.clear()
        assert same(rigid_groups(capture, config, a_job(tmp_path))) and asked


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_candidates_like_known_cameras_are_as_far_as_high_and_as_rolled(up):
    prior = PosePrior(azimuth=(-30, 100), elevation=(5, 60), radius=(3, 5), look_at=(1, 2, 3), up=up)
    known = prior.sample(np.random.default_rng(0), 3)
    known[:, :3, :3] = known[:, :3, :3] @ Rotation.from_rotvec([0.1, 0.2, 0.7]).as_matrix()
    made = turned(torch.from_numpy(known), prior, 300, generator(0, 0)).numpy()
    k = "xyz".index(up)

    def told(poses):
        offset = poses[:, :3, 3] - prior.look_at
        seen = np.einsum("nij,nj->ni", poses[:, :3, :3].transpose(0, 2, 1), offset)
        return np.column_stack([np.linalg.norm(offset, axis=1), offset[:, k], poses[:, k, :3], seen])

    nearest = np.abs(told(made)[:, None] - told(known)[None]).max(axis=2)
    assert nearest.min(axis=1).max() < 1e-9
    assert set(nearest.argmin(axis=1)) == {0, 1, 2}
    offset = made[:, :3, 3] - prior.look_at
    azimuth = np.degrees(np.arctan2(offset[:, (k + 2) % 3], offset[:, (k + 1) % 3]))
    assert azimuth.min() > -30 - 1e-6 and azimuth.max() < 100 + 1e-6
    assert np.ptp(azimuth) > 120


@pytest.fixture(scope="module")
def known_town():
    """A model of `blocks` at 64 px whose field is trained a little from true poses, which are rolled."""
    town = find_scene("blocks", ()).load(64)
    from test_gnerf_train import shown

    capture = shown(town, 40)
    sight = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    config = GnerfConfig(grid=Fast(smoke=FastBudget(a=1, ab=60, b=2, batch=16, rays=4096, side=32)))
    model = Model(capture, sight, config, "smoke", 0)
    truth = torch.from_numpy(np.stack([town.truth.poses[view] for view in sight.ids])).float()
    model.place(torch.arange(len(truth)), model.family.encode(truth))
    model.held = torch.ones(len(truth), dtype=torch.bool)
    for index in range(60):
        iteration = Iteration(preset=model.preset, plan=config.plan("smoke"), phase="AB", index=index, before=1)
        photometric_step(model, iteration, generator(0, index))
    return model, truth


def test_candidates_for_the_views_of_no_group_are_added_where_there_are_some(known_town):
    model, truth = known_town
    model.held = torch.ones(len(truth), dtype=torch.bool)
    plain = candidates(model, generator(0, 0))
    model.held[5] = False
    more = candidates(model, generator(0, 0))
    assert len(more) == len(plain) + model.config.candidates
    assert torch.equal(more[: model.config.candidates], plain[: model.config.candidates])


def test_a_body_whose_every_member_stands_wrong_finds_to_its_place(known_town):
    model, truth = known_town
    views = torch.arange(4)
    body = Body(views=views, poses=truth[views])
    with torch.no_grad():  # half round, and each elsewhere
        wrong = turned(truth[20:21], model.prior, len(views), generator(1, 0))
        model.variables[views] = model.family.encode(wrong)
    model.held[:] = True
    model.held[views] = False
    assert settle(model, [body], generator(0, 0)) == len(views)
    found = model.poses().detach()[views]
    assert rotation_errors(found.double().numpy(), truth[views].double().numpy()).max() < 25
    apart = [(poses[:1].inverse() @ poses).double().numpy() for poses in (found, truth[views])]
    assert rotation_errors(*apart).max() < 5  # as one, to within what `sphere` can say
    assert settle(model, [Body(views=views[:1], poses=truth[:1])], generator(0, 0)) == 0  # one view is no body


def test_placing_a_large_body_costs_about_as_much_as_the_search_for_single_views(known_town, monkeypatch):
    model, truth = known_town
    views, rendered, real = torch.arange(40), [], reseed.render_views
    monkeypatch.setattr(reseed, "render_views", lambda *given: rendered.append(len(given[2])) or real(*given))
    settle(model, [Body(views=views, poses=truth[views])], generator(0, 0))
    assert sum(rendered) < 2 * model.config.candidates  # 1600 where each is tried on all forty, and so on squarely


def test_views_that_were_all_put_elsewhere_are_known_no_more(known_town):
    model, truth = known_town
    model.held[:] = True
    assert torch.equal(model.known, model.poses().detach())
    model.place(torch.arange(len(truth)), model.variables.detach().clone())
    assert model.known is None
    assert len(candidates(model, generator(0, 0))) == model.config.candidates + len(truth)

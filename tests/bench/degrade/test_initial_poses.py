"""Start poses are moved as the published protocols say, and nothing but scene, view and seed decides how."""

from dataclasses import replace

import numpy as np
import pytest

from bench.degrade.initial_poses import generator_of, perturbed, scale_of
from bench.judge.metrics import rotation_errors
from bench.judge.poses import judge_poses
from bench.matrix.plan import plan
from bench.matrix.registry import find_scene
from bench.matrix.selection import Selection
from bench.runner.fit_client import shown_to
from bench.stated_prior import prior_of
from bench.task import Collapsed, InitialPoses, Traits


@pytest.fixture(scope="module")
def capture():
    scene = find_scene("blocks", ()).load(64)
    return replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))


def turns(before, after) -> np.ndarray:
    """Degrees between the poses of two captures, view by view."""
    return rotation_errors(*(np.stack([c.start[view] for view in before.images]) for c in (after, before)))


def test_without_noise_the_start_is_the_truth(capture):
    assert perturbed(capture, InitialPoses(), generator_of("blocks", 0)) is capture


def test_barfs_noise_turns_cameras_by_its_published_mean(capture):
    """Lin et al. 2021, sec. 4.2: std 0.15 on all six components; the mean length of three normals is 1.596."""
    angles = np.concatenate(
        [
            turns(capture, perturbed(capture, InitialPoses(noise=0.15), generator_of("blocks", seed)))
            for seed in range(5)
        ]
    )
    assert angles.mean() == pytest.approx(np.degrees(0.15 * 1.596), rel=0.05)  # n = 500, its own spread is 2 %


def test_barfs_noise_turns_the_world_so_cameras_go_on_looking_at_the_scene(capture):
    moved = perturbed(capture, InitialPoses(noise=0.3), generator_of("blocks", 0))
    pivot, unit = scale_of(capture)
    aims = [np.linalg.norm(p[:3, 3] + (pivot - p[:3, 3]) @ p[:3, 2] * p[:3, 2] - pivot) for p in moved.start.values()]
    assert np.mean(aims) < 3 * 0.3 * unit  # off by the translation alone, not by the angle times the radius (1.9)


def test_inerfs_half_stays_exact_and_the_rest_starts_within_its_bounds(capture):
    moved = perturbed(capture, InitialPoses(turn=20, shift=0.2, exact=0.5), generator_of("blocks", 1))
    assert len(moved.exact) == 50
    for view, angle in zip(capture.images, turns(capture, moved), strict=True):
        offset = np.abs(moved.start[view][:3, 3] - capture.start[view][:3, 3]).max()
        assert angle <= 20 + 1e-6
        assert offset <= 0.2 * scale_of(capture)[1] + 1e-9
        assert (view in moved.exact) == (angle < 1e-5 and offset == 0)


@pytest.mark.parametrize("degradation", ["prior_mismatch@5", "prior_distribution@5", "fewer_views@3", "focal_error@5"])
def test_a_degradation_of_something_else_leaves_the_start_as_it_was(degradation):
    source = find_scene("blocks", ())
    made = plan(
        Selection(
            scenes="blocks", methods="barf", degradations=f"clean,{degradation}", seeds="0", effort="smoke", roots=()
        )
    )
    clean, spoilt = (shown_to(planned, source.load(64)) for planned in made.cells)
    assert clean.start and spoilt.start
    assert all(np.array_equal(clean.start[view], pose) for view, pose in spoilt.start.items())


def test_the_order_of_the_views_decides_nothing(capture):
    turned = replace(
        capture,
        start=dict(reversed(capture.start.items())), images=dict(reversed(capture.images.items())),
    )  # fmt: skip
    spec, rng_of = InitialPoses(noise=0.1, turn=5, exact=0.3), generator_of("blocks", 2)
    one, other = perturbed(capture, spec, rng_of), perturbed(turned, spec, rng_of)
    assert one.exact == other.exact
    assert all(np.array_equal(one.start[view], other.start[view]) for view in one.start)
    assert turns(one, perturbed(capture, spec, generator_of("blocks", 3))).mean() > 1


def test_without_a_prior_the_scene_is_where_the_cameras_look(capture):
    pivot, unit = scale_of(capture)
    other, length = scale_of(replace(capture, prior=None))
    assert np.linalg.norm(other - pivot) < 0.1 * unit
    assert length == pytest.approx(unit, rel=0.05)
    stated = scale_of(replace(capture, prior=prior_of("ring", distance="100")))  # in no frame of these poses
    assert (stated[0] == other).all() and stated[1] == length


def test_what_was_given_says_how_true_the_start_is(capture):
    assert "start" in capture.given
    assert "rough_start" in perturbed(capture, InitialPoses(noise=0.1), generator_of("blocks", 0)).given
    assert "some_start" in perturbed(capture, InitialPoses(turn=5, exact=0.5), generator_of("blocks", 0)).given
    assert not [gift for gift in capture.only(frozenset({"camera"})).given if "start" in gift]


def test_a_method_that_rests_on_true_poses_is_skipped_where_there_are_none(capture):
    asks = InitialPoses(turn=5, exact=0.5)
    traits = Traits(needs=frozenset({"start"}), start=asks)
    assert traits.unmet_by(perturbed(capture, asks, generator_of("blocks", 0))) is None
    noisy = perturbed(capture, InitialPoses(noise=0.1), generator_of("blocks", 0))
    assert traits.unmet_by(perturbed(noisy, asks, generator_of("blocks", 0))) == "needs true poses of some views"


def test_a_method_is_shown_the_start_that_it_asks_for_by_its_seed():
    made = plan(Selection(scenes="blocks", methods="nerf", degradations="clean", seeds="0-1", effort="smoke"))
    scene = find_scene("blocks", ()).load(64)

    shown = []
    for planned in made.cells:
        assert shown_to(planned, scene).start == scene.truth.poses
        said = planned.method.method
        rough = replace(said, traits=replace(said.traits, start=InitialPoses(noise=0.15)))
        shown.append(shown_to(replace(planned, method=replace(planned.method, method=rough)), scene))
    assert not shown[0].exact
    assert turns(*shown).mean() > 5


def test_views_whose_pose_was_given_are_not_judged(capture):
    truth = find_scene("blocks", ()).load(64).truth
    given = frozenset(list(truth.poses)[:60])
    wrong = {view: pose if view in given else pose @ _turn(3.0) for view, pose in truth.poses.items()}
    for view in list(wrong)[60:75]:
        wrong[view][:3, 3] += 5.0  # lost altogether, and heavy in a least-squares alignment
    judged = judge_poses(wrong, truth, given=given)
    assert judged.metrics["pose/rotation_deg_median"] == pytest.approx(3.0, abs=1e-4)
    assert set(judged.per_view) == set(truth.poses) - given
    assert judged.metrics["pose/registered"] == 1.0
    lost = {view: pose for view, pose in wrong.items() if view in given}
    with pytest.raises(Collapsed, match="none of the 40 views"):
        judge_poses(lost, truth, given=given)
    assert judge_poses(truth.poses, truth, given=truth.poses).metrics["pose/rotation_deg_mean"] < 1e-4


def _turn(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose = np.eye(4)
    pose[:2, :2] = [[c, -s], [s, c]]
    return pose

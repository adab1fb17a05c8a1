"""GNeRF as a whole, on the smallest thing that can converge: a small town at 64 px."""

import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.degrade import degrade, parse
from bench.judge.poses import judge_poses
from bench.judge.protocol import plan_heldout
from bench.matrix.registry import find_scene
from bench.task import Capture, Collapsed, Job, PosePrior, RegisteringField
from methods.gnerf import phases, training_run
from methods.gnerf.collapse import inversion_spread, symptom
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.last_look import AT_ONCE, moved_at_last
from methods.gnerf.method import Gnerf
from methods.gnerf.model import Model
from methods.gnerf.photometric import photometric_step
from methods.gnerf.poses import Family
from methods.gnerf.published import Published, PublishedBudget
from methods.gnerf.reseed import reconsider, reseed
from methods.gnerf.schedule import Iteration, Plan
from methods.gnerf.train import _last_look, fit
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.render_and_compare import RenderedCandidates, render_views
from methods.nerf.images import exposures
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training import checkpointing
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.pose_margins import Rival

TINY = Fast(smoke=FastBudget(a=6, ab=6, b=10, batch=4, rays=512, side=24, inversion_render=16))
QUICK = {"grid": TINY, "reseed_every": 3, "candidates": 60}


@pytest.fixture(scope="module")
def town():
    """`blocks` at 64 px."""
    return find_scene("blocks", ()).load(64)


@pytest.fixture(scope="module")
def hamlet():
    """The same at 16 px, for networks, whose rays are dear."""
    return find_scene("blocks", ()).load(16)


def shown(scene, views: int | None = None, **changes) -> Capture:
    """What GNeRF sees of a scene, or of its first `views`: where nothing has to converge, a dozen are enough."""
    capture = replace(scene.capture, **{"start": None, "masks": None, **changes})
    return replace(capture, images=dict(list(capture.images.items())[:views]))


def a_job(folder, log: list | None = None, **changes) -> Job:
    entries = log if log is not None else []
    job = Job(seed=0, workdir=folder, threads=1, effort="smoke", sink=lambda *row: entries.append(row))
    return replace(job, **changes)


def answers(found) -> np.ndarray:
    return np.stack(list(found.poses.values()))


@pytest.fixture(scope="module")
def converged(town, tmp_path_factory):
    """A real fit from random poses, short: half a minute on one core (seeds 0 to 2 end 0.8 to 1.1 degrees off)."""
    budget = FastBudget(a=100, ab=100, b=120, batch=12, rays=3000, side=48)
    log: list = []
    config = GnerfConfig(grid=Fast(smoke=budget), reseed_every=20)
    found = fit(shown(town), config, a_job(tmp_path_factory.mktemp("fit"), log))
    return found, log


def test_random_poses_become_the_true_ones(town, converged):
    found, _ = converged
    judged = judge_poses(found.poses, town.truth)
    assert judged.metrics["pose/inliers_10deg"] == 1
    assert judged.metrics["pose/rotation_deg_median"] < 2  # a pixel is 0.6 degrees
    assert found.notes["reseeded_views"] > 0 and found.notes["restarts"] == 0


def test_its_curves_tell_what_the_field_watches_for(converged):
    _, log = converged
    seen = set().union(*(values for _, values, _ in log))
    assert {
        "loss/generator", "loss/discriminator", "loss/inversion", "loss/photometric", "psnr", "pose_spread", "opacity",
        "side", "phase", "reseeded", "seconds",
    } <= seen  # fmt: skip
    previews = set().union(*(images for _, _, images in log))
    assert previews == {"phase_A", "phase_AB", "phase_B"}
    steps = [step for step, _, _ in log]
    assert steps == sorted(steps)


def test_new_images_are_registered_by_their_pixels_alone(town, converged, tmp_path):
    found, _ = converged
    Gnerf().save(found, tmp_path)
    scene = Gnerf().load(tmp_path, "cpu")
    assert isinstance(scene, RegisteringField) and found.field.views is None  # no real background
    judged = judge_poses(found.poses, town.truth)
    true = plan_heldout(judged.alignment, town.truth)
    poses = scene.register(town.truth.heldout.images, town.truth.camera, seed=0)
    turn = np.einsum("nij,nij->n", poses[:, :3, :3], true[:, :3, :3])
    angles = np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)))
    assert np.median(angles) < 2 and (angles < 10).mean() > 0.9
    assert np.array_equal(poses, scene.register(town.truth.heldout.images, town.truth.camera, seed=0))


def posed(town, converged, **choices) -> Model:
    """A model whose field and poses are those that converged."""
    found, _ = converged
    config = GnerfConfig(**choices)
    capture = shown(town, camera=None) if config.intrinsics == "unknown" else shown(town)
    model = Model(capture, ImagePyramid.of(capture, masked=False, device=torch.device("cpu")), config, "smoke", 0)
    model.generator.grid.training = GridTraining(found.field.field)
    poses = torch.from_numpy(answers(found)).float()
    model.place(torch.arange(len(poses)), model.family.encode(poses))
    return model


@pytest.mark.parametrize("mend", [reseed, reconsider])
def test_flipped_views_are_brought_back_and_the_others_left_alone(town, converged, mend):
    model = posed(town, converged, inversion=False)
    before = model.poses().detach().clone()
    flipped = torch.tensor([3, 50, 77])
    model.place(flipped, model.variables[flipped].detach() * torch.tensor([-1.0, -1.0, 1.0]))  # half a turn about z
    assert mend(model, generator(0, 0)) >= 3
    after = model.poses().detach()
    turn = ((before[:, :3, :3] * after[:, :3, :3]).sum(dim=(1, 2)) - 1) / 2
    angles = torch.rad2deg(torch.acos(turn.clamp(-1, 1)))
    assert angles[flipped].max() < 10
    others = torch.ones(len(before), dtype=torch.bool)
    others[flipped] = False
    assert (angles[others] > 10).sum() == 0


def test_views_that_another_pose_explains_better_at_the_end_are_moved_there_alone(town, converged, tmp_path):
    """Two stand half a turn from where their images were taken, in a field that has learnt the others."""
    model, job = posed(town, converged, inversion=False), a_job(tmp_path, effort="quick")
    before, flipped = model.poses().detach().clone(), torch.tensor([3, 50])
    right, none = _last_look(model, Deadline(job), job)
    assert none == 0 and torch.equal(model.poses().detach(), before)
    model.place(flipped, model.variables[flipped].detach() * torch.tensor([-1.0, -1.0, 1.0]))
    margins, moved = _last_look(model, Deadline(job), job)
    after = model.poses().detach()
    turn = ((before[:, :3, :3] * after[:, :3, :3]).sum(dim=(1, 2)) - 1) / 2
    assert moved == 2 and torch.rad2deg(torch.acos(turn[flipped].clamp(-1, 1))).max() < 3
    others = torch.ones(len(before), dtype=torch.bool)
    others[flipped] = False
    assert torch.equal(after[others], before[others])
    for view in (model.sight.ids[number] for number in flipped.tolist()):
        assert margins[view] == pytest.approx(right[view], abs=1.0)  # of where it stands now


def test_a_better_pose_that_no_camera_of_the_prior_can_have_moves_no_view(town, converged, tmp_path):
    """The image is rolled, and the rival as well: as the family has it, it is where it was."""
    model = posed(town, converged, inversion=False)
    before = model.poses().detach().clone()
    pose = before[7].double().numpy().copy()
    pose[:3, :3] = pose[:3, :3] @ [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    model.sight.images[7] = torch.rot90(model.sight.images[7], 1, (1, 2))
    rivals, deadline = {model.sight.ids[7]: Rival(pose=pose, margin=-3.0)}, Deadline(a_job(tmp_path))
    assert moved_at_last(model, rivals, generator(0, 0), deadline) == []
    assert torch.equal(model.poses().detach(), before)
    model.family = Family.of(model.prior, "full")  # which could
    model.variables = model.family.encode(before)
    assert moved_at_last(model, rivals, generator(0, 0), deadline) == [model.sight.ids[7]]


@pytest.mark.parametrize("why", ["smoke", "a real background", "reseed=false", "no time"])
def test_where_no_view_is_looked_at_again_at_the_end(town, converged, tmp_path, monkeypatch, why):
    model = posed(town, converged, inversion=False, reseed=why != "reseed=false")
    job = a_job(tmp_path, effort="smoke" if why == "smoke" else "quick")
    deadline = Deadline(job)
    if why == "a real background":
        monkeypatch.setattr(model, "open", True)
    if why == "no time":
        monkeypatch.setattr(deadline, "leaves_room", iter([True, False]).__next__)
    model.place(torch.tensor([3]), model.variables[[3]].detach() * torch.tensor([-1.0, -1.0, 1.0]))
    before = model.poses().detach().clone()
    margins, moved = _last_look(model, deadline, job)
    assert moved == 0 and torch.equal(model.poses().detach(), before)
    assert margins[model.sight.ids[3]] < 0  # and it is told
    assert deadline.notes() == ({"no_time_for": "a last look at poses"} if why == "no time" else {})


def test_a_view_that_was_moved_never_keeps_the_margin_of_where_it_stood(town, converged, tmp_path, monkeypatch):
    """There was time to move it, and none to measure again."""
    model, job = posed(town, converged, inversion=False), a_job(tmp_path, effort="quick")
    deadline = Deadline(job)
    monkeypatch.setattr(deadline, "leaves_room", iter([True, True, False]).__next__)
    model.place(torch.tensor([3]), model.variables[[3]].detach() * torch.tensor([-1.0, -1.0, 1.0]))
    margins, moved = _last_look(model, deadline, job)
    assert moved == 1 and margins.keys() == set(model.sight.ids) - {model.sight.ids[3]}


def test_the_worst_are_looked_at_first_and_the_rest_stay_where_the_time_is_over(town, converged, tmp_path, monkeypatch):
    model, job = posed(town, converged, inversion=False), a_job(tmp_path, effort="quick")
    deadline, flipped = Deadline(job), torch.arange(AT_ONCE + 2)
    before = model.poses().detach().double().numpy().copy()
    model.place(flipped, model.variables[flipped].detach() * torch.tensor([-1.0, -1.0, 1.0]))
    rivals = {model.sight.ids[k]: Rival(pose=before[k], margin=-2.0 - k) for k in flipped.tolist()}
    monkeypatch.setattr(deadline, "leaves_room", iter([True, False]).__next__)
    moved = moved_at_last(model, rivals, generator(0, 0), deadline)
    assert moved == [model.sight.ids[k] for k in range(AT_ONCE + 1, 1, -1)]
    assert deadline.notes() == {"no_time_for": "a last look at poses"}


def test_errors_against_all_renders_are_the_mean_squares(town, converged):
    model = posed(town, converged)
    poses = model.poses().detach()[:7]
    search = RenderedCandidates.of(model.generator.field, model.intrinsics, poses, 16)
    targets = model.sight.square(16)[:5]
    direct = torch.stack([(search.renders - target).square().flatten(1).mean(dim=1) for target in targets])
    assert torch.allclose(search.errors(targets), direct, atol=1e-5)
    assert torch.equal(search.renders, render_views(model.generator.field, model.intrinsics, poses, 16))


@pytest.mark.parametrize("elevation", [(0.0, 90.0), (80.0, 90.0)])
def test_hypotheses_are_turned_from_each_other_from_above_as_well(elevation):
    """Where cameras look down, all sides are about one viewing direction."""
    prior = PosePrior(elevation=elevation).sample(np.random.default_rng(0), 300)
    search = RenderedCandidates(candidates=torch.from_numpy(prior).float(), renders=torch.zeros(300, 1, 2, 2))
    errors = torch.rand(4, 300, generator=torch.Generator().manual_seed(0))
    chosen = search.likeliest(errors, 3)
    assert torch.equal(chosen[:, 0], errors.argmin(dim=1))
    for poses in search.candidates[chosen].double():
        turns = ((poses[:, None, :3, :3] * poses[None, :, :3, :3]).sum(dim=(2, 3)) - 1) / 2  # cosines (3, 3)
        assert (turns[[0, 0, 1], [1, 2, 2]] < np.cos(np.radians(19))).all()


def test_what_no_candidate_differs_from_has_one_hypothesis():
    alike = PosePrior(elevation=(40.0, 41.0), azimuth=(0.0, 5.0)).sample(np.random.default_rng(0), 30)
    search = RenderedCandidates(candidates=torch.from_numpy(alike).float(), renders=torch.zeros(30, 1, 2, 2))
    errors = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    assert (search.likeliest(errors, 3) == errors.argmin(dim=1)[:, None]).all()


@contextmanager
def exposing_early(case):
    """For exposures: whatever fog says of them is believed, so that a short fit has gains of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if case == "exposures":
            patch.setattr(exposures, "AGREE", torch.inf)
            patch.setattr(phases, "EVERY", 2)
        yield


@pytest.fixture(scope="module")
def unbroken(town, tmp_path_factory):
    """Captures, configs and fits that nobody killed, with the intrinsics given and unknown, and of any exposures."""
    made = {}
    for case, changes in (("given", {}), ("unknown", {"camera": None}), ("exposures", {})):
        capture = shown(town, 24, **changes)
        if case == "exposures":
            capture = degrade(capture, parse("exposure@3"), "blocks")
        config = GnerfConfig(**QUICK, intrinsics="unknown" if case == "unknown" else "given")
        with exposing_early(case):
            made[case] = capture, config, fit(capture, config, a_job(tmp_path_factory.mktemp(case)))
    return made


@pytest.mark.parametrize(
    ("phase", "case"),
    [
        ("A", "given"),
        ("AB", "given"),
        ("B", "given"),
        ("AB", "unknown"),
        ("B", "unknown"),
        ("AB", "exposures"),
        ("B", "exposures"),
    ],
)
def test_a_fit_killed_in_any_phase_goes_on_and_ends_as_an_unbroken_one(
    unbroken, tmp_path, monkeypatch, phase, case
):  # fmt: skip
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    if case == "exposures":
        monkeypatch.setattr(exposures, "AGREE", torch.inf)
        monkeypatch.setattr(phases, "EVERY", 2)
    capture, config, whole = unbroken[case]
    name, at = {"A": ("adversarial_step", 5), "AB": ("photometric_step", 5), "B": ("photometric_step", 11)}[phase]
    step, calls = getattr(phases, name), []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as context:
        context.setattr(phases, name, killed)
        # A checkpoint every time it is due: so the last one is of the iteration before.
        context.setattr(checkpointing.Checkpoints, "save_due", lambda self: True)
        with pytest.raises(KeyboardInterrupt):
            fit(capture, config, a_job(tmp_path / "broken"))
    assert list((tmp_path / "broken" / "checkpoints").glob("*.safetensors"))
    log: list = []
    again = fit(capture, config, a_job(tmp_path / "broken", log))
    assert log[0][0] > 1  # it did not start again
    assert ("exposures_stops" in log[0][1]) == (case == "exposures")
    assert np.array_equal(answers(again), answers(whole))
    assert again.notes == whole.notes and again.camera == whole.camera


BRIEF = Published(smoke=PublishedBudget(a=2, ab=1, b=1, batch=2, inversion_render=8), inversion_side=16)


@pytest.mark.parametrize(
    "config", [GnerfConfig(**QUICK), GnerfConfig(preset="published", mlp=BRIEF)], ids=["fast", "published"]
)
def test_a_collapse_is_restarted_counted_and_in_the_end_reported(town, hamlet, tmp_path, monkeypatch, config):
    capture = shown(hamlet if config.preset == "published" else town, 12)
    looks = iter([None, "told to"])
    monkeypatch.setattr(training_run, "symptom", lambda *a, **k: next(looks, None))
    found = fit(capture, config, a_job(tmp_path / "once"))
    assert found.notes["restarts"] == 1
    assert found.notes["collapses"] == "told to"
    assert found.notes["restart_seconds"] > 0
    monkeypatch.setattr(training_run, "symptom", lambda *a, **k: "told to")
    with pytest.raises(Collapsed, match="told to, after 1 restarts"):
        fit(capture, config.model_copy(update={"restarts": 1}), a_job(tmp_path / "always"))


def test_a_collapse_that_comes_twice_is_told_once(town, tmp_path, monkeypatch):
    looks = iter(["told to", "told to"])
    monkeypatch.setattr(training_run, "symptom", lambda *a, **k: next(looks, None))
    found = fit(shown(town, 12), GnerfConfig(**QUICK), a_job(tmp_path))
    assert found.notes["restarts"] == 2
    assert found.notes["collapses"] == "told to (2 times)"


def test_a_fit_that_breaks_in_its_last_phase_is_seen_there_and_begun_again(town, tmp_path, monkeypatch):
    capture = shown(town, 12)
    looked, step = [], phases.photometric_step

    def breaks(model, iteration, *rest):
        losses = step(model, iteration, *rest)
        if iteration.phase == "B" and iteration.index == 3 and not looked:
            looked.append(iteration.number)
            with torch.no_grad():
                model.variables.fill_(math.nan)
        return losses

    monkeypatch.setattr(phases, "CHECK_LATER", 2)
    monkeypatch.setattr(phases, "photometric_step", breaks)
    log: list = []
    found = fit(capture, GnerfConfig(**QUICK), a_job(tmp_path, log))
    assert found.notes["collapses"] == "values that are not finite"
    first = [step for step, values, _ in log if values.get("attempt") == 0]
    assert max(first) <= looked[0] + 1  # not at the end of the phase
    assert np.isfinite(answers(found)).all()


@pytest.fixture(params=["fast", "published"])
def untrained(request, town) -> Model:
    """With a field in which something is to be seen."""
    capture = shown(town, 12)
    sight = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    model = Model(capture, sight, GnerfConfig(preset=request.param), "smoke", 0)
    field = model.generator.field
    with torch.no_grad():
        if request.param == "fast":
            field.density.copy_(10 * torch.randn(field.density.shape, generator=generator(0, 1)))
        else:
            for layer in [*field.coarse.trunk, field.coarse.density, field.coarse.colour]:
                layer.weight.mul_(2.5)
            field.coarse.density.weight.mul_(10)
            field.coarse.colour.weight.mul_(10)
    return model


def noticed(model, **when) -> str | None:
    return symptom(model, generator(0, 0), **{"iterations": 500, "fitted": False, **when})


def test_a_field_that_renders_one_colour_is_noticed(untrained):
    """White everywhere, though the losses look healthy: what most users of the authors' code met."""
    assert noticed(untrained, iterations=50) is None
    field = untrained.generator.field
    with torch.no_grad():
        (field.density if hasattr(field, "density") else field.coarse.density.bias).fill_(-1e4)
    assert "one colour" in noticed(untrained, iterations=max(1, untrained.preset.fog_until))
    fresh = noticed(untrained, iterations=1)  # a network takes a while to show anything
    assert fresh is None if untrained.preset.fog_until else "one colour" in fresh


def test_an_inversion_network_that_sends_all_images_to_one_place_is_noticed(untrained):
    with torch.no_grad():
        untrained.inversion.tell[-1].weight.zero_()
    assert inversion_spread(untrained) < 1e-3
    assert noticed(untrained, iterations=50) is None  # too early to tell
    assert "one place" in noticed(untrained)


def test_a_field_that_fits_no_better_than_the_mean_colour_is_noticed(untrained):
    assert "mean colour" in noticed(untrained, fitted=True)


def test_values_that_are_not_finite_are_noticed(untrained):
    with torch.no_grad():
        untrained.variables[0] = torch.nan
    assert "not finite" in noticed(untrained, fitted=True)


@pytest.mark.parametrize(
    "choices",
    [
        {"adversarial": False}, {"inversion": False}, {"photometric": False}, {"reseed": False}, {"schedule": "A-B"},
        {"schedule": "AB"}, {"schedule": "B"}, {"prior": "learned"}, {"pose_family": "full"},
        {"pose_family": "sphere+jitter"},
    ],
    ids=lambda choices: next(f"{name}={value}" for name, value in choices.items()),
)  # fmt: skip
def test_every_ablation_runs_to_its_end(town, tmp_path, choices):
    found = fit(shown(town, 24), GnerfConfig(**QUICK, restarts=0, **choices), a_job(tmp_path))
    assert np.isfinite(answers(found)).all() and len(found.poses) == 24
    ran = {name.split("/")[1] for name in found.notes if name.startswith("iterations/")}
    assert ran == set(GnerfConfig(**choices).plan("smoke").phases)
    assert sum(found.notes[f"iterations/{phase}"] for phase in ran) == TINY.smoke.a + TINY.smoke.ab + TINY.smoke.b
    assert max(found.field.field.shape) == 24


@pytest.mark.parametrize("phase", ["a", "ab", "b"])
def test_a_fit_stops_in_time_in_any_phase_and_says_that_it_was_too_short(town, tmp_path, phase):
    budget = TINY.smoke.model_copy(update={"a": 1, "ab": 1, "b": 4, phase: 10**6})
    config = GnerfConfig(**{**QUICK, "grid": Fast(smoke=budget)})
    found = fit(shown(town, 12), config, a_job(tmp_path, seconds=8.0))
    assert found.notes["stopped_early"] is True and 0 < found.notes["share_done"] < 0.01
    assert [name for name in found.notes if name.startswith("iterations/")][-1] == f"iterations/{phase.upper()}"
    assert len(found.poses) == 12 and np.isfinite(answers(found)).all()
    assert found.flags[0].startswith("too short to converge")
    Gnerf(config).save(found, tmp_path / "saved")
    assert Gnerf(config).load(tmp_path / "saved", "cpu") is not None


def test_a_smoke_fit_that_was_still_reseeding_says_that_it_was_too_short(town, tmp_path):
    """One re-seeding cannot have found nothing to do three times in a row."""
    config = GnerfConfig(**{**QUICK, "reseed_every": 100})
    found = fit(shown(town, 12), config, a_job(tmp_path))
    assert found.flags == ("too short to converge: phase AB ended while re-seeding still moved views",)


def test_where_no_time_is_left_after_a_collapse_there_is_no_answer(town, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "symptom", lambda *a, **k: "told to")
    shared = []  # the deadline of all attempts: over as soon as the first of them has collapsed
    monkeypatch.setattr(
        Deadline, "reached", lambda self, done, *_: shared and setattr(self, "share_done", done) is None
    )
    check = training_run.TrainingRun.check

    def over(*arguments, **options):
        shared.append(True)
        check(*arguments, **options)

    monkeypatch.setattr(training_run.TrainingRun, "check", over)
    with pytest.raises(Collapsed, match="told to, and there was no time to begin again"):
        fit(shown(town, 12), GnerfConfig(**QUICK), a_job(tmp_path))


def test_a_focal_length_that_is_wrong_by_a_quarter_comes_back_by_perspective_alone(town, converged, monkeypatch):
    """In a field that has converged at the true one: cameras move along, so that the size of things says nothing."""
    monkeypatch.setattr(Intrinsics, "guessed", lambda *_: town.truth.camera)
    budget = FastBudget(a=0, ab=0, b=200, batch=16, rays=4000, side=64)
    model = posed(town, converged, intrinsics="unknown", grid=Fast(smoke=budget))
    with torch.no_grad():
        model.intrinsics.log_zoom.fill_(math.log(1.25))
    plan = Plan.of("B", 0, 0, 200)
    for index in range(150):
        step = Iteration(preset=model.preset, plan=plan, phase="B", index=index, before=0)
        photometric_step(model, step, generator(0, index))
    found = model.intrinsics.estimate().fx / town.truth.camera.fx
    assert found == pytest.approx(1, abs=0.1)  # the rest is slow: the field has followed part of the way
    assert model.found_prior.radius[0] == pytest.approx(found * town.capture.prior.radius[0])


def test_silhouettes_are_one_channel_throughout(town, tmp_path):
    masks = {view: mask[..., None] for view, mask in town.capture.masks.items()}
    found = fit(shown(town, 12, images=masks, background=(0.0, 0.0, 0.0)), GnerfConfig(**QUICK), a_job(tmp_path))
    assert found.field.render(answers(found)[:1], town.capture.camera).rgb.shape == (1, 64, 64, 1)


def test_masks_cut_the_object_out_of_a_real_background(town):
    noisy = {
        view: np.where(town.capture.masks[view][..., None] > 0, image, np.uint8(90)).astype(np.uint8)
        for view, image in town.capture.images.items()
    }
    capture = shown(town, images=noisy, masks=town.capture.masks, background=None)
    cut = ImagePyramid.of(capture, masked=True, device=torch.device("cpu"))
    assert cut.background == (1.0, 1.0, 1.0)
    outside = torch.from_numpy(np.stack([town.capture.masks[view] == 0 for view in cut.ids]))
    assert (cut.images.permute(0, 2, 3, 1)[outside] == 1).all()
    assert ImagePyramid.of(capture, masked=False, device=torch.device("cpu")).background is None


def test_a_learned_prior_draws_from_where_views_were_found(town):
    capture = shown(town)
    sight = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    model = Model(capture, sight, GnerfConfig(prior="learned"), "smoke", 0)
    north = torch.tensor([[0.0, 1.0, 0.3]]).expand(len(sight.ids), 3)
    model.place(torch.arange(len(sight.ids)), north)
    model.learn_prior()
    drawn = model.family.encode(model.sample(2000, generator(0, 0)))
    near = (torch.nn.functional.normalize(drawn, dim=1) @ torch.nn.functional.normalize(north[0], dim=0)) > 0.9
    assert 0.75 < near.float().mean() < 0.9


def test_the_published_preset_runs_all_its_phases(hamlet, tmp_path):
    short = Published(
        smoke=PublishedBudget(a=3, ab=2, b=3, batch=2, inversion_render=12), inversion_side=16
    )  # fmt: skip
    config = GnerfConfig(preset="published", mlp=short)
    log: list = []
    found = fit(shown(hamlet, 6), config, a_job(tmp_path, log))
    assert found.notes["pose_family"] == "position" and found.notes["reseeded_views"] == 0
    assert [found.notes[f"iterations/{phase}"] for phase in ("A", "AB", "B")] == [3, 2, 3]
    assert {"loss/generator", "loss/inversion", "loss/pull", "loss/photometric"} <= set().union(*(v for _, v, _ in log))
    Gnerf(config).save(found, tmp_path / "saved")
    scene = Gnerf(config).load(tmp_path / "saved", "cpu")
    camera = hamlet.capture.camera.resized(8, 8)
    assert np.allclose(scene.render(answers(found)[:1], camera).rgb, found.field.render(answers(found)[:1], camera).rgb)

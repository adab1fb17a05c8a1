"""A scene that looks alike from several sides: told from one that does not, and its views brought to one side."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_gnerf_train import a_job, shown

from bench.matrix.registry import find_scene
from bench.task import Job, PosePrior
from methods.gnerf import majority, phases
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.majority import agree, agreed, looks_alike
from methods.gnerf.model import Model
from methods.gnerf.train import fit
from methods.gnerf.training_run import Progress, TrainingRun
from methods.nerf.backends.select import set_threads
from methods.nerf.field.render_and_compare import APART
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import Checkpoints, generator
from methods.nerf.training.deadline import Deadline

VIEWS = 60
SECONDS_A_STEP = 0.25
"""Of phase B, as foreseen."""

FLAG = "it looks alike from several sides, and views still turned from one to another"

TURNED = 12
"""Views that stand a quarter turn from their place."""


def a_model(name: str, turned: int) -> tuple[Model, torch.Tensor]:
    """Its views in their places, but so many a quarter turn beside, and a field that has learnt them so; the places."""
    set_threads(1)  # torch adds up a gradient in the order of its threads; in a field so brief a view may hang on it
    scene = find_scene(name, ()).load(64)
    capture = shown(scene, VIEWS)
    sight = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    model = Model(capture, sight, GnerfConfig(candidates=400), "quick", 0)
    places = torch.from_numpy(np.stack([scene.truth.poses[view] for view in sight.ids])).float()
    quarter = torch.tensor([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    stand = places.clone()
    stand[:turned] = quarter @ stand[:turned]  # the towers stand around the axis that the cameras look at
    model.place(torch.arange(VIEWS), model.family.encode(stand))
    grid, rng = majority._begun(model, generator(0, 0), 32), generator(0, 1)
    majority._taught(model, grid, torch.arange(VIEWS), 150, rng)
    model.generator.grid = grid
    return model, places


def a_run(model: Model, job: Job, progress: Progress | None = None) -> TrainingRun:
    """As it stands before phase B."""
    run = TrainingRun(model, progress or Progress(), Checkpoints(job, "gnerf", {}), job, Deadline(job), seed=0)
    run.progress.ran = {phase: model.plan.phases[phase] for phase in ("A", "AB")}
    run.progress.phase = 2
    return run


def in_place(model: Model, places: torch.Tensor) -> int:
    cosine = ((model.poses().detach()[:, :3, :3] * places[:, :3, :3]).sum(dim=(1, 2)) - 1) / 2
    return int((cosine > math.cos(math.radians(15))).sum())


@pytest.fixture(scope="module")
def towers():
    return a_model("blocks-repeat", TURNED)


def test_a_scene_that_looks_alike_from_several_sides_is_told(towers):
    model, places = towers
    assert in_place(model, places) == VIEWS - TURNED
    assert looks_alike(model, seed=0)
    assert not looks_alike(a_model("blocks", 0)[0], seed=0)


@pytest.fixture
def brief(monkeypatch):
    for name, value in {"STEPS": 120, "SIDE": 40, "ROUNDS": 3}.items():
        monkeypatch.setattr(majority, name, value)


def test_its_views_come_to_the_side_that_most_are_on(towers, brief, tmp_path):
    model, places = towers
    before, stood, said = model.generator.field, model.poses().detach().clone(), []
    run = a_run(model, replace(a_job(tmp_path), place=lambda *row: said.append(row)))
    agree(run, after=10)
    assert in_place(model, places) >= VIEWS - 5
    turned = run.progress.turned
    assert 1 <= len(turned) <= majority.ROUNDS and TURNED - 5 <= sum(turned) <= TURNED + 5
    assert model.generator.field is not before  # which had learnt them elsewhere
    assert model.generator.field.config.sh_degree == 0  # coarse, as at the end of AB: B begins from it as ever
    stays = (model.poses().detach() == stood).all(dim=2).all(dim=1)
    assert stays[TURNED:].sum() >= (VIEWS - TURNED) / 2  # not moved a little by what a coarse field shows
    done, total = run._steps(run._next("B"))
    assert said == [("views to one side", done, total)]


def test_without_time_for_a_round_all_stays_as_it_is(tmp_path):
    model, _ = a_model("blocks-repeat", TURNED)
    before, poses = model.generator.field, model.poses().detach().clone()
    job = a_job(tmp_path)
    run = a_run(model, replace(job, seconds=1e-3, began=job.began - 1))
    run.deadline.reached(0, 10)
    run.deadline.reached(1, 10)
    assert run.deadline.stopped
    agree(run, after=10)
    assert run.progress.turned == []
    assert run.deadline.notes()["no_time_for"] == "bringing views to one of several sides"
    assert model.generator.field is before and torch.equal(model.poses(), poses)


def test_the_second_half_learns_from_where_the_first_has_come(monkeypatch):
    model, _ = a_model("blocks-repeat", TURNED)
    taught, teach = [], majority._taught

    def seen(model, grid, views, steps, rng):
        taught.append((views, model.poses().detach()[views].clone()))
        return teach(model, grid, views, 20, rng)

    monkeypatch.setattr(majority, "_taught", seen)
    monkeypatch.setattr(majority, "BETTER", 1e9)  # every view moves, if only to where it fits a little better
    stood = model.poses().detach().clone()
    majority._round(model, generator(0, 3))
    (first, before), (second, after) = taught
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(VIEWS)) and len(first) == VIEWS // 2
    assert torch.equal(before, stood[first])
    assert not (after == stood[second]).all(dim=2).all(dim=1).any()


def test_a_kill_in_the_rounds_costs_one_round_and_no_bit(brief, monkeypatch, tmp_path):
    monkeypatch.setattr(majority, "agreed", lambda turned, count: False)  # all three rounds
    whole = a_run(a_model("blocks-repeat", TURNED)[0], a_job(tmp_path / "whole"))
    agree(whole, after=10)
    # As where writing takes next to nothing beside a round, whatever these brief ones take on a busy machine.
    monkeypatch.setattr(Checkpoints, "is_worth", lambda self, seconds: True)
    round_, calls = majority._round, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return round_(*arguments)

    job = a_job(tmp_path / "broken")
    with monkeypatch.context() as context:
        context.setattr(majority, "_round", killed)
        run = a_run(a_model("blocks-repeat", TURNED)[0], job)
        context.setattr(run.deadline, "foreseen", lambda steps: steps * SECONDS_A_STEP)
        with pytest.raises(KeyboardInterrupt):
            agree(run, after=10)
    found = Checkpoints(job, "gnerf", {}).resume()
    assert found is not None
    model, _ = a_model("blocks-repeat", 0)
    model.restore(*found)
    again = a_run(model, job, Progress(**found[0]["progress"]))
    assert len(again.progress.turned) == 2
    assert again.progress.seconds_after == 10 * SECONDS_A_STEP
    agree(again, after=10)
    assert again.progress.turned == whole.progress.turned
    assert torch.equal(again.model.poses(), whole.model.poses())
    fields = [run.model.generator.field.state_dict() for run in (again, whole)]
    assert fields[0] and all(torch.equal(value, fields[1][name]) for name, value in fields[0].items())


@pytest.mark.parametrize(
    ("rounds", "there_is_time", "ran"),
    [
        ([9, 4, 0, 7], [True] * 4, 3),
        ([9, 1, 1, 7], [True] * 4, 3),
        ([9, 1, 2, 9], [True] * 4, 4),
        ([9, 9], [True, False], 1),
    ],
    ids=["none turns", "one turns, twice", "they never agree", "there is time for B alone"],
)
def test_rounds_end_when_views_agree_or_time_is_over(monkeypatch, tmp_path, rounds, there_is_time, ran):
    left, time = iter(rounds), iter(there_is_time)
    monkeypatch.setattr(majority, "ROUNDS", 4)
    monkeypatch.setattr(majority, "_round", lambda model, rng: next(left))
    monkeypatch.setattr(majority, "_taught", lambda model, grid, views, steps, rng: grid.field)
    model, _ = a_model("blocks-repeat", 0)
    run = a_run(model, a_job(tmp_path))
    monkeypatch.setattr(run.deadline, "leaves", lambda seconds: next(time))
    agree(run, after=10)
    assert run.progress.turned == rounds[:ran]
    assert agreed(run.progress.turned, VIEWS) == (ran == 3)


def test_the_time_that_phase_b_is_foreseen_to_take_is_not_that_of_rounds_after_a_kill(monkeypatch, tmp_path):
    """After one, a mean over all steps so far would count the rounds among them."""
    asked = []
    monkeypatch.setattr(majority, "agreed", lambda turned, count: False)
    monkeypatch.setattr(majority, "_taught", lambda model, grid, views, steps, rng: grid.field)
    model, _ = a_model("blocks-repeat", 0)
    run = a_run(model, a_job(tmp_path), Progress(turned=[9], round_seconds=12.0, seconds_after=50.0))
    monkeypatch.setattr(run.deadline, "leaves", lambda seconds: asked.append(seconds) or False)
    agree(run, after=10**6)
    assert asked == [2 * 12.0 + 50.0]


def test_views_that_do_not_agree_are_flagged(monkeypatch, tmp_path):
    monkeypatch.setattr(phases, "looks_alike", lambda model, seed: True)
    monkeypatch.setattr(phases, "agree", lambda run, after: run.progress.turned.extend([9, 9]))
    capture = shown(find_scene("blocks", ()).load(32), 12)
    found = fit(capture, GnerfConfig(grid=TINY, candidates=30), a_job(tmp_path, effort="quick"))
    assert FLAG in found.flags


def test_views_that_came_to_rest_are_not_flagged(monkeypatch, tmp_path):
    monkeypatch.setattr(phases, "looks_alike", lambda model, seed: True)
    monkeypatch.setattr(phases, "agree", lambda run, after: run.progress.turned.extend([9, 0]))
    capture = shown(find_scene("blocks", ()).load(32), 12)
    found = fit(capture, GnerfConfig(grid=TINY, candidates=30), a_job(tmp_path, effort="quick"))
    assert FLAG not in found.flags and "looks_alike" in found.notes


def test_of_many_views_hardly_one_is_more_than_one():
    assert agreed([9, 3, 3], 300) and not agreed([9, 4, 3], 300) and not agreed([9, 3, 3], 200)
    assert not agreed([], 300) and not agreed([3], 300)


@pytest.mark.parametrize(("degrees", "turned"), [(90.0, VIEWS), (5.0, 0)])
def test_a_view_from_above_that_is_placed_on_another_side_has_turned(monkeypatch, degrees, turned):
    """Though it looks down as before."""
    model, _ = a_model("blocks-repeat", 0)
    above = PosePrior(elevation=(84.0, 86.0), radius=(4.0, 4.0)).sample(np.random.default_rng(0), VIEWS)
    model.place(torch.arange(VIEWS), model.family.encode(torch.from_numpy(above).float()))
    angle = math.radians(degrees)
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def placed(model, field, views, rng):
        return torch.arange(len(views)), turn @ model.poses().detach()[views]

    monkeypatch.setattr(majority, "_placed", placed)
    monkeypatch.setattr(majority, "_taught", lambda model, grid, views, steps, rng: grid.field)
    stood = model.poses().detach()[:, :3, 2].clone()
    assert majority._round(model, generator(0, 5)) == turned
    assert ((model.poses().detach()[:, :3, 2] * stood).sum(dim=1) > math.cos(APART)).all()


def test_few_views_are_never_halved():
    model, _ = a_model("blocks-repeat", TURNED)
    model.sight = replace(model.sight, ids=model.sight.ids[: majority.FEWEST - 1])
    assert not looks_alike(model, seed=0)


BUDGET = FastBudget(a=6, ab=6, ab_open=12, b=10, batch=4, rays=512, side=24, inversion_render=16)
TINY = Fast(smoke=BUDGET, quick=BUDGET, few_views=0)


@pytest.mark.parametrize(("alike", "choice", "asked"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_a_fit_asks_once_before_phase_b_and_says_so(monkeypatch, tmp_path, alike, choice, asked):
    calls = []

    def rounds(run, after):
        calls.append(after)
        run.progress.turned = [5, 2]

    monkeypatch.setattr(phases, "looks_alike", lambda model, seed: alike)
    monkeypatch.setattr(phases, "agree", rounds)
    capture = shown(find_scene("blocks", ()).load(32), 12)
    brief = {"grid": TINY, "candidates": 30, "majority": choice}
    found = fit(capture, GnerfConfig(**brief), a_job(tmp_path, effort="quick"))
    assert len(calls) == asked
    assert found.notes.get("looks_alike") == ("from several sides: views turned by majority 5 2" if asked else None)


@pytest.mark.parametrize(
    ("effort", "change", "choices"),
    [("smoke", {}, {}), ("quick", {"background": None}, {"intrinsics": "unknown"}), ("quick", {}, {"reseed": False})],
    ids=["smoke", "a real background", "without re-seeding"],
)
def test_nobody_asks_where_there_is_no_time_for_it_or_it_was_not_made_for(
    monkeypatch, tmp_path, never_collapses, effort, change, choices
):
    monkeypatch.setattr(phases, "looks_alike", lambda model, seed: pytest.fail("asked"))
    capture = shown(find_scene("blocks", ()).load(32), 12, **change)
    if choices.get("intrinsics") == "unknown":
        capture = replace(capture, camera=None)
    fit(capture, GnerfConfig(grid=TINY, candidates=30, **choices), a_job(tmp_path, effort=effort))


def test_where_no_round_had_time_views_are_re_seeded_as_ever(monkeypatch, tmp_path, never_collapses):
    monkeypatch.setattr(phases, "looks_alike", lambda model, seed: True)
    monkeypatch.setattr(phases, "agree", lambda run, after: None)
    asked = []
    monkeypatch.setattr(phases, "reseed", lambda model, rng, free=None: asked.append(model.plan) or 0)
    capture = shown(find_scene("blocks", ()).load(32), 12)
    found = fit(capture, GnerfConfig(grid=TINY, candidates=30, reseed_every=1000), a_job(tmp_path, effort="quick"))
    assert len(asked) == 2  # at the beginning of AB, and at that of B
    assert "looks_alike" not in found.notes

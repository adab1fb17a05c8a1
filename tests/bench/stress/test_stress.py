"""Breaking points, found through the real worker with a method that breaks where it is told to."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cell import Cell
from bench.cli import main
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import ROTATION, Result, read_suite
from bench.stress.breaking_points import keep, read
from bench.stress.search import parse_kinds, stress

SCRIPTED = Path(__file__).parents[2] / "plugins" / "scripted.py"
FOCAL = 88.9  # of `blocks` at 64 px


@pytest.fixture
def fragile(tmp_path):
    """Collapses once the declared focal length is too long: by more than 10 %, that is severity 3 of focal_error."""
    source, start = tmp_path / "fragile.py", "poses = dict(capture.start)\n"
    text = SCRIPTED.read_text().replace('name = "scripted"', 'name = "fragile"')
    assert start in text
    collapse = f"        if capture.camera.fx > {1.1 * FOCAL + 0.2}:\n            raise Collapsed('too long')\n"
    source.write_text(text.replace(start, start + collapse, 1))
    return f"{source}[behaviour=poses_only]"


@pytest.fixture
def unposed():
    def call(*arguments):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
        return done.exit_code, done.output

    return call


def test_a_breaking_point_is_found_written_and_found_again_from_what_is_settled(unposed, fragile, tmp_path):
    suite = tmp_path / "suite"
    command = ("stress", "-m", f"{fragile},{SCRIPTED}[behaviour=collapse]", "-d", "focal_error", "--effort", "smoke",
               "--tolerance", 1.25, "-o", suite, "--no-track",
               "--grant", "scripted: threads=1", "--grant", "frigile: threads=1")  # fmt: skip
    code, text = unposed(*command)
    assert code == 0, text
    assert text.count("for no cell") == text.count("grant 'frigile: threads=1' is for no cell of this matrix") == 1
    rounds = [line for line in text.splitlines() if line.startswith("round ")]
    assert rounds[0] == "round 1: 2 cells, then at most 6 cells more"  # per method the other end, and 4 steps halved
    assert rounds[-1] == "round 4: 1 cell"
    with (suite / "stress.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    found, hopeless = rows["fragile[behaviour=poses_only]"], rows["scripted[behaviour=collapse]"]
    assert (found["verdict"], found["cells"], found["saved"]) == ("2.5-3.75", "4", "1")
    assert (found["trials"], found["family"]) == ("0:1/1 2.5:1/1 3.75:0/1 5:0/1", "camera")
    assert (hopeless["verdict"], hopeless["cells"], hopeless["saved"]) == ("fails when clean", "1", "4")
    labels = {result.cell.degradation for _, result in read_suite(suite) if result.cell.method.startswith("fragile")}
    assert labels == {"clean", "focal_error@2.5", "focal_error@3.75", "focal_error@5"}

    before = (suite / "stress.json").read_bytes()
    (suite / "blocks" / "focal_error@3.75" / "fragile+behaviour=poses_only" / "seed0" / "result.json").unlink()
    code, text = unposed(*command)  # as after a kill
    assert code == 0
    assert text.count("(cached)") == 4
    assert (suite / "stress.json").read_bytes() == before


def a_plan(methods="scripted", seeds="0-2"):
    return plan(
        Selection(
            scenes="blocks",
            methods=str(SCRIPTED) if methods == "scripted" else methods,
            degradations="clean",
            seeds=seeds,
            effort="smoke",
        )
    )


def answer(cell: Cell, rotation: float | None, **facts) -> Result:
    """A result with this rotation error; None: a collapse."""
    metrics = {} if rotation is None else {ROTATION: rotation}
    return Result(
        cell=cell, config={}, status="collapsed" if rotation is None else "done", protocol="posefree/1",
        metrics=metrics, **facts,
    )  # fmt: skip


def test_half_of_the_seeds_are_enough_and_a_large_error_is_no_success():
    rotations = {0: 1.0, 1: 4.9, 2: 5.0, 3: None}  # two successes in four
    plans = []

    def settle(made):
        plans.append(made)
        return [answer(p.cell, rotations[p.cell.seed] if p.degradation.severity <= 3 else 90.0) for p in made.cells]

    (row,) = stress(a_plan(seeds="0-3"), ["jpeg"], 1.0, settle)
    assert (row.verdict, row.seeds) == ("3-4", (0, 1, 2, 3))
    assert (row.cells, row.saved) == (4 * 5, 4 * (6 - 5))
    assert [len(made.cells) for made in plans] == [4] * 5
    assert [trial.rotation_deg for trial in row.trials] == [4.95, 4.95, 4.95, 90, 90]
    assert [trial.severity for trial in row.trials] == [0, 2, 3, 4, 5]


def test_a_round_is_one_plan_and_kinds_share_the_clean_cells():
    plans = []

    def settle(made):
        plans.append([planned.cell.degradation for planned in made.cells])
        return [answer(planned.cell, 0.0) for planned in made.cells]

    rows = stress(a_plan(seeds="0"), ["jpeg", "contrast"], 0.25, settle)
    assert plans == [["clean"], ["jpeg@5", "contrast@5"]]
    assert [row.verdict for row in rows] == ["> 5", "> 5"]
    assert [row.saved for row in rows] == [19, 19]


def test_a_method_that_is_not_told_what_is_spoilt_is_not_run_at_all():
    (row,) = stress(a_plan(methods="colmap_nerf"), ["prior_radius"], 0.25, lambda made: pytest.fail("was run"))
    assert (row.verdict, row.cells, row.saved) == ("-", 0, 0)
    assert row.reason == "prior_radius spoils the prior, which it is not given"


def test_a_method_that_cannot_run_on_what_is_left_is_given_up_with_the_reason():
    def settle(made):
        return [
            answer(p.cell, 0.0) if p.degradation.is_identity
            else Result(cell=p.cell, config={}, status="skipped", protocol="posefree/1", reason="needs colour images")
            for p in made.cells
        ]  # fmt: skip

    (row,) = stress(a_plan(), ["silhouette"], 0.25, settle)
    assert (row.verdict, row.reason, len(row.trials)) == ("-", "needs colour images", 1)


def test_answers_to_other_questions_stay_and_the_same_question_is_answered_anew(tmp_path):
    def settle(limit):
        return lambda made: [answer(p.cell, 90.0 if p.degradation.severity > limit else 0.0) for p in made.cells]

    keep(tmp_path, stress(a_plan(), ["jpeg"], 1.0, settle(1)))
    keep(tmp_path, stress(a_plan(seeds="0"), ["jpeg", "contrast"], 1.0, settle(2)))
    keep(tmp_path, stress(a_plan(), ["jpeg"], 1.0, settle(3)))
    found = {(row.kind, row.seeds): row.verdict for row in read(tmp_path)}
    assert found == {("contrast", (0,)): "2-3", ("jpeg", (0,)): "2-3", ("jpeg", (0, 1, 2)): "3-4"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-d", "jpeg@3"], "names a severity, which is what is looked for"),
        (["-d", "jepg"], "did you mean jpeg"),
        (["-d", "clean"], "clean is no kind of degradation"),
        (["-d", ","], "no kind of degradation is named"),
        (["-d", "jpeg", "--tolerance", "0"], "step of the severity"),
        ([], "--degradations"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_run(unposed, tmp_path, arguments, sentence):
    code, text = unposed("stress", "-m", SCRIPTED, *arguments, "-o", tmp_path / "suite", "--no-track")
    assert code == 2
    assert sentence in text
    assert not (tmp_path / "suite").exists()


def test_kinds_are_named_once_each():
    assert parse_kinds("jpeg, contrast,jpeg") == ["jpeg", "contrast"]

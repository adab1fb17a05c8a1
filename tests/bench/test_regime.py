"""Labels of a regime: one way to write each, and what a run does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cell import Cell
from bench.cli.app import main
from bench.matrix.plan import plan
from bench.matrix.restated import read_as
from bench.matrix.selection import Selection
from bench.regime import NATIVE, UNBOUNDED, Regime, effort_of, parse_regime, pixels_of
from bench.runner.fit_client import fit_ingredients
from bench.scene import SceneError
from datasets.procedural import EmbeddedScene


@pytest.mark.parametrize(
    ("text", "label", "effort", "pixels"),
    [
        ("quick", "quick", "quick", 200),
        ("quick@200", "quick", "quick", 200),
        ("quick@800", "quick@800", "quick", 800),
        ("800", "full@800", "full", 800),
        ("400", "full", "full", 400),
        ("native", "full@native", "full", UNBOUNDED),
        ("smoke@native+heldout=every:8+views=20", "smoke@native+views=20+heldout=8", "smoke", UNBOUNDED),
        ("full+background=real+prior=ring", "full+background=real+prior=ring", "full", 400),
    ],
)
def test_a_side_is_another_axis_than_a_budget(text, label, effort, pixels):
    regime = parse_regime(text)
    assert regime.label == label and parse_regime(label) == regime
    assert (effort_of(text), pixels_of(text)) == (effort, pixels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "smoke, quick, full"), ("quick@", "smoke"), ("quick@8", "16 px"), ("@800", "smoke"),
        ("quick+views=3", "from 4 on"), ("quick+heldout=every:1", "from 2 on"), ("quick+prior=round", "orbit"),
        ("quick+side=8", "views="), ("quick+views", "from 4 on"),
    ],
)  # fmt: skip
def test_what_is_no_regime_is_one_sentence(text, said):
    if text == "quick@":
        assert parse_regime(text).label == "quick"
        return
    with pytest.raises(ValueError, match=said):
        parse_regime(text)
    refused = CliRunner().invoke(main, ["plan", "--effort", text])
    assert refused.exit_code == 2 and "Traceback" not in refused.output


def test_cells_of_two_regimes_are_two_questions_with_one_budget():
    cells = [
        plan(Selection(scenes="blocks", methods="nerf", effort=effort)).cells[0]
        for effort in ("smoke", "smoke@96", "smoke+views=20")
    ]
    assert [planned.cell.effort for planned in cells] == ["smoke", "smoke@96", "smoke+views=20"]
    digests = [planned.source.digest(pixels_of(planned.cell.effort)) for planned in cells]
    parts = [fit_ingredients(planned, digest, "cpu") for planned, digest in zip(cells, digests, strict=True)]
    assert {part["effort"] for part in parts} == {"smoke"}  # what a method is told
    assert len({part["scene"]["digest"] for part in parts}) == 3


def test_views_are_evenly_chosen_and_the_held_out_ones_stay():
    whole = EmbeddedScene(name="blocks")
    fewer = read_as(whole, Regime(views=20))
    every, some = whole.load(64), fewer.load(64)
    order = every.truth.order
    assert some.truth.order == tuple(order[round(k * 99 / 19)] for k in range(20))
    assert set(some.capture.images) == set(some.truth.poses) == set(some.truth.order)
    assert all((some.capture.images[view] == every.capture.images[view]).all() for view in some.truth.order)
    assert (some.truth.heldout.images == every.truth.heldout.images).all()
    assert fewer.digest(64) != whole.digest(64)
    assert read_as(fewer, Regime()) is whole
    with pytest.raises(SceneError, match="blocks: its split"):
        read_as(whole, Regime(heldout=8))


def folder_of(scene: EmbeddedScene, folder: Path, count: int = 24) -> Path:
    """Some views of an embedded scene as a folder of photographs."""
    folder.mkdir()
    images = list(scene.load(64).capture.images.values())[:count]
    for k, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{k:02d}.png")
    return folder


def test_a_folder_is_split_thinned_and_told_anew_for_one_run(tmp_path):
    folder = folder_of(EmbeddedScene(name="blocks"), tmp_path / "vase")
    asked = "smoke+views=6+heldout=4+background=real+prior=ring"
    made = plan(Selection(scenes=str(folder), methods="nerfmm", effort=asked))
    (planned,) = made.cells
    scene = planned.source.load(64)
    assert (len(scene.capture.images), len(scene.truth.heldout.ids)) == (6, 6)
    assert scene.truth.heldout.after == (0, 1, 2, 3, 4, 5) and scene.capture.background is None
    assert scene.capture.prior is not None and planned.source.inputs == {"prior"}
    plain = plan(Selection(scenes=str(folder), methods="nerfmm", effort="smoke")).cells[0].source
    assert len(plain.load(64).capture.images) == 21 and plain.digest(64) != planned.source.digest(64)
    assert not (folder / "unposed.toml").exists()


def test_images_are_shown_at_any_side_and_never_enlarged(tmp_path):
    folder = tmp_path / "vase"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    for effort, shape in (("quick@96", (72, 96, 3)), (f"quick@{NATIVE}", (90, 120, 3)), ("800", (90, 120, 3))):
        (planned,) = plan(Selection(scenes=str(folder), methods="nerfmm", effort=effort)).cells
        assert planned.source.load(pixels_of(effort)).capture.shape == shape


def test_the_options_of_the_command_line_are_one_label_and_name_the_suite():
    asked = ["plan", "-s", "blocks", "-m", "nerf", "--effort", "smoke@96", "--views", "20", "--prior", "dome"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "suite runs/smoke@96+views=20+prior=dome" in done.output.replace("\n", " ")


def test_the_folder_of_a_cell_says_nothing_of_its_regime():
    cell = Cell(scene="blocks", degradation="clean", method="nerf", seed=0, effort="full@800+views=20")
    assert cell.folder.as_posix() == "blocks/clean/nerf/seed0"

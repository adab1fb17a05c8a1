"""`import unposed`: what a notebook needs, tried on one small real suite."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import unposed
from bench import task
from bench.task import Field

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The oracle, a method that returns poses alone, and one that fails."""
    heard = []
    methods = ["nerf[steps=60]", str(PLUGINS / "noisy.py"), f"{PLUGINS / 'scripted.py'}[behaviour=raise]"]
    folder = tmp_path_factory.mktemp("runs") / "s"
    made = unposed.run(methods=methods, effort="smoke", out=folder, data=[], listen=heard.append)
    assert sorted(cell.id for cell in heard) == [cell.id for cell in made.cells]
    return made


def test_importing_it_imports_nothing_heavy():
    look = "import sys, unposed; print(*{'numpy', 'torch', 'pandas', 'bench'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_what_an_author_imports_is_what_the_suite_checks_for():
    for name in set(unposed.__all__) - {"Cameras", "RecordedCell", "Suite", "load", "run"}:
        assert getattr(unposed, name) is getattr(task, name)
    with pytest.raises(AttributeError, match="has no attribute 'camera'"):
        unposed.camera  # noqa: B018


def test_a_suite_is_read_as_a_table_with_a_row_a_cell(suite):
    again = unposed.load(str(suite.folder))
    assert [cell.id for cell in again.cells] == [cell.id for cell in suite.cells]
    table = again.results.set_index("method")
    assert dict(table["status"]) == {"nerf[steps=60]": "done", "noisy": "done", "scripted[behaviour=raise]": "failed"}
    assert table.loc["nerf[steps=60]", "pose/rotation_deg_median"] == pytest.approx(0, abs=1e-4)


def test_a_cell_has_curves_values_for_each_view_and_pictures(suite):
    cell = suite.cell("blocks/clean/nerf[steps=60]/seed0")
    assert {"step", "seconds", "psnr"} <= set(cell.curves.columns)
    assert cell.curves["psnr"].dropna().iloc[-1] > cell.curves["psnr"].dropna().iloc[0]
    heldout = cell.views.loc[list(cell.cameras.heldout), "nvs/aligned/psnr"]
    assert heldout.mean() == pytest.approx(cell.result.metrics["nvs/aligned/psnr"])
    made, target = cell.renders("aligned"), cell.renders("truth")
    assert list(made) == list(target) == list(cell.cameras.heldout)
    size = (cell.cameras.intrinsics.height, cell.cameras.intrinsics.width, 3)
    assert {image.shape for image in (*made.values(), *target.values())} == {size}


def test_a_field_is_rendered_from_a_pose_of_the_truth_as_the_judge_did(suite):
    cell = suite.cell("blocks/clean/nerf[steps=60]/seed0")
    field = cell.field()
    assert isinstance(field, Field)
    poses = cell.field_from_truth(np.stack(list(cell.cameras.heldout.values())))
    seen = field.render(poses[:1], cell.cameras.intrinsics)
    kept = next(iter(cell.renders("aligned").values()))
    assert seen.rgb[0] == pytest.approx(kept / 255, abs=1.5 / 255)  # 8 bits, and the last digits of the alignment


def test_estimates_are_in_the_methods_own_frame_until_they_are_aligned(suite):
    cell = suite.cell("blocks/clean/noisy/seed0")
    cameras = cell.cameras
    assert set(cameras.estimate) == set(cell.poses) < set(cameras.truth)  # two are lost
    views = sorted(cameras.estimate)
    carried = cell.field_from_truth(np.stack([cameras.estimate[view] for view in views]))
    assert carried == pytest.approx(np.stack([cell.poses[view] for view in views]), abs=1e-9)


@pytest.mark.parametrize(
    ("cell", "look", "said"),
    [
        ("noisy", lambda cell: cell.field(), "has no field: it is done"),
        ("noisy", lambda cell: cell.renders("refined"), "has no refined renders: "),
        ("scripted[behaviour=raise]", lambda cell: cell.cameras, "keeps no cameras: it is failed (RuntimeError"),
        ("scripted[behaviour=raise]", lambda cell: cell.poses, "has no poses: it is failed (RuntimeError"),
    ],
)
def test_what_is_not_there_is_refused_with_the_reason(suite, cell, look, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        look(suite.cell(f"blocks/clean/{cell}/seed0"))


def test_names_that_are_not_there_are_refused_in_a_sentence(suite, tmp_path):
    with pytest.raises(ValueError, match="holds no results yet"):
        unposed.load(tmp_path)
    with pytest.raises(ValueError, match="has no cell 'blocks/clean/nerf/seed9'; it has blocks/clean/"):
        suite.cell("blocks/clean/nerf/seed9")
    with pytest.raises(ValueError, match="did you mean"):
        unposed.run(methods="nurf", out=tmp_path / "never")
    with pytest.raises(ValueError, match="is not a folder"):
        unposed.run(data=tmp_path / "absent", out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_run_goes_on_where_the_last_one_stopped(suite):
    before = suite.cell("blocks/clean/nerf[steps=60]/seed0").result.provenance
    again = unposed.run(methods="nerf[steps=60]", effort="smoke", out=suite.folder, data=())
    assert again.cell("blocks/clean/nerf[steps=60]/seed0").result.provenance == before
    assert len(again.cells) == 3


def test_no_room_rests_on_the_public_module():
    rooms = [path for room in ("bench", "methods", "datasets", "reports") for path in (ROOT / room).rglob("*.py")]
    assert not [path for path in rooms if "import unposed" in path.read_text() or "from unposed" in path.read_text()]

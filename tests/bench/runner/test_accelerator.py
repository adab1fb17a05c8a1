"""A method that cannot run without a GPU is a skipped row, with the reason, wherever there is none."""

import pytest
from scripted_cells import SCRIPTED

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import read_result
from bench.runner.contract import examine
from bench.runner.devices import Devices
from bench.runner.outlook import outlook
from bench.runner.run import Runner, run
from bench.runner.settings import Settings
from bench.task import Accelerator

PLAIN = '"camera"}), silhouettes'
NEEDING = (
    '"camera"}), accelerator=Accelerator(why="told to; elsewhere=yes does not", packages=("PACKAGE",)), silhouettes'
)


def planned_needing(folder, package):
    text = SCRIPTED.read_text().replace("import Camera", "import Accelerator, Camera")
    assert PLAIN in text
    (folder / "method.py").write_text(text.replace(PLAIN, NEEDING.replace("PACKAGE", package)))
    asked = Selection(
        scenes="blocks", methods=str(folder / "method.py"), degradations="clean", seeds="0", effort="smoke"
    )
    return plan(asked)


def test_what_is_missing_is_said_device_first():
    needed = Accelerator(why="told to", packages=("no_such_package",))
    assert needed.lack("cpu") == needed.lack("mps") == "needs --device cuda: told to"
    assert needed.lack("cuda:1") == ("needs no_such_package, which is not installed: pip install no_such_package")
    brought = Accelerator(why="told to", packages=("no_such_package", "neither"), extra="gsplat")
    assert brought.lack("cuda") == (
        "needs no_such_package and neither, which are not installed: pip install 'unposed[gsplat]'"
    )
    assert Accelerator(why="told to", packages=("numpy",)).lack("cuda") is None


@pytest.mark.parametrize(
    ("device", "package", "reason"),
    [
        ("cpu", "numpy", "needs --device cuda: told to; elsewhere=yes does not"),
        ("cuda", "no_such_package", "needs no_such_package, which is not installed: pip install no_such_package"),
    ],
)
def test_its_cells_are_skipped_rows(tmp_path, monkeypatch, device, package, reason):
    monkeypatch.setattr(Devices, "check", lambda self: None)  # as on a machine that has one
    made = planned_needing(tmp_path, package)
    settings = Settings(suite=tmp_path / "suite", devices=Devices.of(device))
    (row,) = outlook(made, settings)
    assert row.state == f"skip: {reason}"
    (result,) = run(made, settings, lambda *_: None)
    assert (result.status, result.reason) == ("skipped", reason)
    assert read_result(settings.suite / made.cells[0].cell.folder).reason == reason


def test_on_its_device_it_runs_and_the_packages_there_decide_the_fit(tmp_path):
    made = planned_needing(tmp_path, "numpy")
    runner = Runner(Settings(suite=tmp_path / "suite", devices=Devices.of("cuda")), lambda *_: None)
    assert runner.resolved(made.cells[0]).skip is None
    assert "numpy" in runner.fingerprints.ingredients(made.cells[0])["fit"]["libraries"]


def test_the_contract_says_so_and_asks_no_further(tmp_path):
    planned_needing(tmp_path, "numpy")
    ((clause, fault),) = examine(str(tmp_path / "method.py"))
    assert clause.startswith("it can be found") and fault == "needs --device cuda: told to; elsewhere=yes does not"

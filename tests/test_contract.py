"""Every method of this project holds to the contract, and the contract catches those that do not."""

import shutil
from pathlib import Path

import pytest

from bench.contract import examine
from bench.registry import method_refs

SCRIPTED = Path(__file__).parent / "plugins" / "scripted.py"

POSES = "poses = dict(capture.start)"


@pytest.mark.parametrize("name", sorted(method_refs()))
def test_our_methods_hold_to_it(name):
    faults = {clause: fault for clause, fault in examine(name) if fault}
    assert not faults


@pytest.mark.parametrize(
    ("edit", "clause", "fault"),
    [
        (('name = "scripted"', 'name = "Bad Name"'), "it declares name", "lower-case"),
        (('extra="forbid", ', ""), "its config is frozen", "forbid"),
        (("import signal\n", "import signal\nimport torch\n"), "listing it imports", "imports torch"),
        (('behaviour: Literal[\n', 'behavior: Literal[\n'), "it answers on a tiny scene", "AttributeError"),
        ((POSES, f"{POSES}\n        poses['v000'] = 2 * poses['v000']"), "its poses are", "not a rotation"),
        ((POSES, f"{POSES}\n        poses['v000'][0, 3] += np.random.rand()"), "the same seed", "differ"),
        (("depth=np.ones(size, np.float32)", "depth=np.ones(3)"), "its renders have", "depth has shape"),
        (("size = (len(poses)", "size = (1 + len(poses)"), "its renders have", "rgb has shape"),
    ],
)  # fmt: skip
def test_a_broken_method_is_told_what_to_mend(tmp_path, edit, clause, fault):
    text = SCRIPTED.read_text()
    assert edit[0] in text
    (tmp_path / "method.py").write_text(text.replace(*edit))
    faults = {name: found for name, found in examine(str(tmp_path / "method.py")) if found}
    found = [text for name, text in faults.items() if name.startswith(clause)]
    assert found
    assert fault in found[0]


def test_a_file_without_a_method_is_refused(tmp_path):
    (tmp_path / "method.py").write_text("x = 1\n")
    ((_, fault),) = examine(str(tmp_path / "method.py"))
    assert "exactly one class" in fault


def test_a_good_stranger_passes(tmp_path):
    shutil.copy(SCRIPTED, tmp_path / "method.py")
    clauses = list(examine(str(tmp_path / "method.py")))
    assert len(clauses) >= 8
    assert not [fault for _, fault in clauses if fault]

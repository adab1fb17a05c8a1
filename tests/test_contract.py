"""Every method of this project holds to the contract, and the contract catches those that do not."""

import shutil
from pathlib import Path

import pytest

from bench.matrix.registry import find_method, method_refs
from bench.runner import contract
from bench.runner.contract import examine

SCRIPTED = Path(__file__).parent / "plugins" / "scripted.py"

POSES = "poses = dict(capture.start)"
SAVE = 'np.save(folder / "colour.npy", fit.field.colour)'
RENDER = "    def render("
PIXELS = "    def render_pixels(self, poses, camera, pixels):\n        "
CARRY = "its pixels carry gradients to the poses"
FOUND, ANSWERS, AXES = "it can be found", "it answers on a tiny scene", "its poses are world_from_camera"


BRIEF = {
    "barf": "grid.smoke.coarse=40,grid.smoke.fine=20",
    "colmap_nerf": "steps=40",
    "gnerf": "grid.smoke.a=10,grid.smoke.ab=10,grid.smoke.b=20,candidates=60",
    "inerf": "steps=40,registration.steps=60,registration.tries=24",
    "nerf": "steps=40",
    "nerfmm": "grid.smoke.coarse=40,grid.smoke.fine=20",
    "poses+nerf": "steps=40",
}
"""Of methods that train: all that is asked of them can be told after a fraction of the steps of `smoke`."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(method_refs()))
def test_our_methods_hold_to_it(name, monkeypatch):
    """With time enough on a busy machine: a fit that stops in time is not the one that had more of it. On one thread,
    for other files of tests run beside it."""
    monkeypatch.setattr(contract, "cpu_count", lambda: 1)
    if lacking := find_method(name).lacking:
        pytest.skip(lacking)
    clauses = dict(examine(f"{name}[{BRIEF[name]}]" if name in BRIEF else name, limit=800.0))
    assert not {clause: fault for clause, fault in clauses.items() if fault}
    if name in BRIEF:  # the last of them: it has not said that it has collapsed
        assert "its colours carry gradients to the rays" in clauses


def test_a_field_without_rays_holds_to_it(monkeypatch):
    monkeypatch.setattr(contract, "cpu_count", lambda: 1)
    clauses = dict(examine("nerf[field=gaussians,gaussians.backend=torch,steps=20]", limit=800.0))
    assert CARRY in clauses and not any(clauses.values()), clauses


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
        (('    version = "1"\n', ""), FOUND, "its class has no version"),
        (("        self.traits = Traits(", "        self.trait = Traits("), FOUND, "an instance of it has no traits"),
        (("Traits(needs=", "dict(needs="), FOUND, "its traits must be Traits, not dict"),
        (('{"start", "camera"}', '{"start", "intrinsics"}'), FOUND, "'intrinsics' is nothing that is given"),
        (("    Config = Config\n", "    Config = dict\n"), FOUND, "its Config is no pydantic model"),
        (("        self.config = config", "        self.config = Config()"), "it keeps", "is not what the config says"),
        (("return Fit(poses=poses, field", "return Fit(poses=[*poses.values()], field"), ANSWERS, "poses as list"),
        ((POSES, f"{POSES}\n        poses['v999'] = np.eye(4)"), ANSWERS, "views that it was not shown: v999"),
        (("field=ConstantField(mean)", "field=mean"), ANSWERS, "a field of type ndarray, which has no render"),
        (('{"behaviour": self.config.behaviour}', '{"where": job.workdir}'), ANSWERS, "a note 'where' of type Posix"),
        (("margins = {}", "margins = {'v000': np.inf}"), ANSWERS, "a margin of inf for v000: it must be a number"),
        ((POSES, "poses = {}"), "its poses are rigid", "no pose at all: raise bench.task.Collapsed"),
        ((POSES, "poses = {v: np.linalg.inv(p) for v, p in capture.start.items()}"), AXES, "read as camera_from_world"),
        ((SAVE, "return"), "what it saves", "save wrote nothing"),
        ((SAVE, "(folder / 'c').write_bytes(__import__('pickle').dumps(1))"), "what it saves", "c is a pickle"),
        (("return ConstantField(np.load(path))", "return None"), "it loads the field", "load returned None"),
        (("return Rendering(rgb=rgb, ", "return dict(rgb=rgb, "), "its renders have", "render returned dict"),
        (("    def render(", "    def register(self, *_):\n        return np.eye(4)\n\n    def render("),
         "it registers new images", "shape (4, 4) for 2 images"),
        ((RENDER, f"{PIXELS}return poses[:, :3, 3]\n\n{RENDER}"), CARRY, "shape (2, 3), must be (2, 64, 3)"),
        ((RENDER, f"{PIXELS}return 0 * poses[:, :1, :3].repeat(1, 64, 1)\n\n{RENDER}"), CARRY, "the poses is zero"),
        ((RENDER, f"{PIXELS}return poses[:, :1, :3].repeat(1, 64, 1)\n\n{RENDER}"), CARRY, "and render differ by"),
    ],
)  # fmt: skip
def test_a_broken_method_is_told_what_to_mend(tmp_path, edit, clause, fault):
    text = SCRIPTED.read_text()
    assert edit[0] in text
    (tmp_path / "method.py").write_text(text.replace(*edit))
    name, found = next((name, found) for name, found in examine(str(tmp_path / "method.py")) if found)
    assert name.startswith(clause)
    assert fault in found
    assert "\n" not in found


def test_a_file_without_a_method_is_refused(tmp_path):
    (tmp_path / "method.py").write_text("x = 1\n")
    ((_, fault),) = examine(str(tmp_path / "method.py"))
    assert "exactly one class" in fault


def test_a_good_stranger_passes(tmp_path):
    shutil.copy(SCRIPTED, tmp_path / "method.py")
    clauses = list(examine(str(tmp_path / "method.py")))
    assert len(clauses) >= 8
    assert not [fault for _, fault in clauses if fault]

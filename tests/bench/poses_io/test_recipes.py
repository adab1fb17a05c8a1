"""Estimators in environments of their own: each one's convention is turned into ours, by calls as its README has them.

The libraries are not here: stand-ins answer as they document, with the true poses, in a frame of their own.
"""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli.app import main
from bench.matrix.registry import find_scene
from bench.poses_io.recipes import ESTIMATE, RECIPES
from bench.record import ROTATION, read_suite

ANSWERS = """
import os
from pathlib import Path
import numpy as np, torch
STORED = np.load(os.environ["TRUE_POSES"])
class Moved:
    @classmethod
    def from_pretrained(cls, weights):
        assert "/" in weights
        return cls()
    def to(self, device): return self
    def eval(self): return self
def world(paths): return torch.tensor(np.stack([STORED[Path(p).stem] for p in paths]))
def camera(paths): return torch.linalg.inv(world(paths))[:, :3]
def inner(paths): return torch.eye(3).repeat(len(paths), 1, 1)
"""

STAND_INS = {
    "vggt": {
        "vggt/models/vggt.py": '''
from answers import *
class VGGT(Moved):
    def __call__(self, shown): return {"pose_enc": shown.paths}
''',
        "vggt/utils/load_fn.py": '''
class Shown:
    shape = (2, 3, 518, 518)
    def __init__(self, paths): self.paths = paths
    def to(self, device): return self
def load_and_preprocess_images(paths): return Shown(paths), "masks"
''',
        "vggt/utils/pose_enc.py": '''
from answers import *
def pose_encoding_to_extri_intri(pose_enc, hw): return camera(pose_enc)[None], inner(pose_enc)[None]
''',
    },
    "da3": {
        "depth_anything_3/api.py": '''
from answers import *
from types import SimpleNamespace
class DepthAnything3(Moved):
    def inference(self, images): return SimpleNamespace(
        extrinsics=camera(images).numpy().astype("float32"), intrinsics=inner(images), depth=np.zeros((1, 504, 504)))
''',
    },
    "mapanything": {
        "mapanything/models.py": '''
from answers import *
class MapAnything(Moved):
    def infer(self, views): return [
        {"camera_poses": world([view]), "intrinsics": inner([view]), "img_no_norm": torch.zeros(1, 518, 518, 3)}
        for view in views]
''',
        "mapanything/utils/image.py": "def load_images(paths): return paths",
    },
    "pi3": {
        "pi3/models/pi3.py": '''
from answers import *
class Shown(list):
    pass
class Pi3(Moved):
    def __call__(self, shown): return {"camera_poses": world(shown[0])[None]}
''',
        "pi3/utils/basic.py": '''
from pathlib import Path
class Images(list):
    def to(self, device): return self
    def __getitem__(self, key): return [self] if key is None else list.__getitem__(self, key)
def load_images_as_tensor(folder, interval): return Images(sorted(Path(folder).glob("*.png")))
''',
    },
    "mast3r": {
        "dust3r/dust3r/utils/image.py": "def load_images(paths, size): return paths",
        "mast3r/utils/path_to_dust3r.py": """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parents[2] / "dust3r"))
""",
        "mast3r/image_pairs.py": "def make_pairs(images, **options): return images",
        "mast3r/model.py": '''
from answers import *
class AsymmetricMASt3R(Moved): pass
''',
        "mast3r/cloud_opt/sparse_ga.py": '''
from answers import *
from types import SimpleNamespace
def sparse_global_alignment(paths, pairs, cache, model, **options):
    return SimpleNamespace(
        get_im_poses=lambda: world(paths), get_focals=lambda: torch.ones(len(paths)))
''',
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes") / "export"
    done = CliRunner().invoke(main, ["data", "export", "blocks", "--effort", "smoke", "--to", str(folder)])
    assert done.exit_code == 0, done.output
    truth = find_scene("blocks", ()).load(64).truth
    frame = np.eye(4)
    frame[:3, :3] = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    frame[:3, :3] *= np.linalg.det(frame[:3, :3])
    frame[:3, 3] = (1, -2, 3)
    np.savez(folder.parent / "poses.npz", **{view: frame @ pose for view, pose in truth.poses.items()})
    return folder


def run(name, export, answer, tmp_path):
    for file, text in {"answers.py": ANSWERS, **STAND_INS[name]}.items():
        (tmp_path / "libraries" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "libraries" / file).write_text(text)
    environment = {
        **os.environ, "PYTHONPATH": str(tmp_path / "libraries"), "TRUE_POSES": str(export.parent / "poses.npz"),
    }  # fmt: skip
    command = [sys.executable, "-P", str(ESTIMATE), name, str(export), str(answer), "--device", "cpu"]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", STAND_INS)
def test_each_convention_comes_in_as_ours(name, export, tmp_path):
    done = run(name, export, tmp_path / "answer" / "transforms.json", tmp_path)
    assert done.returncode == 0, done.stderr
    suite = tmp_path / "suite"
    command = [
        "submit",
        "-s",
        "blocks",
        "--name",
        name,
        str(tmp_path / "answer" / "transforms.json"),
        "--effort",
        "smoke",
    ]
    said = CliRunner().invoke(main, [*command, "-o", str(suite), "--no-track"])
    assert said.exit_code == 0, said.output
    ((_, result),) = read_suite(suite)
    assert result.metrics[ROTATION] < 1e-4
    assert result.metrics["pose/translation_relative"] < 1e-5
    assert result.metrics["pose/registered"] == 1


def test_the_environment_without_the_library_is_named_by_python_and_an_empty_export_in_a_sentence(export, tmp_path):
    (tmp_path / "nothing").mkdir()
    command = [sys.executable, str(ESTIMATE), "vggt", str(tmp_path / "nothing"), str(tmp_path / "a.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "holds no v000.png" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_ready_to_paste(name):
    said = CliRunner().invoke(main, ["submit", "-s", "a b/chair", "--recipe", name, "--effort", "full"])
    assert said.exit_code == 0, said.output
    lines = [line for line in said.output.splitlines() if not line.startswith("#")]
    assert [shlex.split(lines[0])[:4], shlex.split(lines[-1])[:4]] == [
        ["unposed", "data", "export", "a b/chair"], ["unposed", "submit", "-s", "a b/chair"],
    ]  # fmt: skip
    export = shlex.split(lines[0])[-1]
    assert export in lines[1]
    assert "run from there" not in said.output
    assert ('PYTHONPATH="$PWD/mast3r" python' in lines[1]) == (name == "mast3r")
    assert not {"EXPORT", "ANSWER"} & set(lines[1].split())
    assert subprocess.run(["bash", "-n", "-c", said.output], check=False).returncode == 0


def test_a_recipe_that_is_not_known_has_a_hint():
    said = CliRunner().invoke(main, ["submit", "-s", "blocks", "--recipe", "vgt"])
    assert (said.exit_code, "did you mean vggt?" in said.output) == (2, True)

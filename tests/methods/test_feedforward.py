"""Pretrained pose estimators: each library's convention becomes ours, intrinsics too, and a row says what it is.

The libraries are not here: stand-ins answer as they document, with the true cameras.
"""

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from bench.matrix.plan import plan
from bench.matrix.registry import find_method, find_scene
from bench.matrix.selection import Selection, select_methods
from bench.record import ROTATION
from bench.runner.contract import examine
from bench.runner.run import run
from bench.runner.settings import Settings
from methods.feedforward import train
from methods.feedforward.config import FeedforwardConfig
from methods.feedforward.method import Feedforward
from methods.feedforward.runners import estimate
from reports.analysis.entries import read, tier

SIZES = [(48, 80), (90, 60)]  # a portrait and a landscape: what is cut off is at the top, or at the sides


class Model:
    """`from_pretrained`, `to`, `eval` and nothing else."""

    @classmethod
    def from_pretrained(cls, weights):
        return cls()

    def to(self, device):
        return self

    def eval(self):
        return self


def modules(monkeypatch, **contents):
    for name, held in contents.items():
        module = ModuleType(name.replace("__", "."))
        vars(module).update(held)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def resized(K, scale, margins=(0, 0)):
    """Intrinsics of an image that was resized by (x, y) and then lost (left, top) pixels."""
    return np.array([[1, 0, -margins[0]], [0, 1, -margins[1]], [0, 0, 1]]) @ np.diag([*scale, 1]) @ K


def vggt(monkeypatch, poses, K, size):
    width, height = size
    rows = round(height * 518 / width / 14) * 14
    shown, top = min(rows, 518), max(rows - 518, 0) // 2
    inner = resized(K, (518 / width, rows / height), (0, top))
    answer = torch.tensor(np.linalg.inv(poses)[None, :, :3]), torch.tensor(np.tile(inner, (1, len(poses), 1, 1)))
    kind = type("VGGT", (Model,), {"__call__": lambda self, shown: {"pose_enc": None}})
    modules(
        monkeypatch, vggt__models__vggt={"VGGT": kind},
        vggt__utils__load_fn={"load_and_preprocess_images": lambda paths: torch.zeros(len(paths), 3, shown, 518)},
        vggt__utils__pose_enc={"pose_encoding_to_extri_intri": lambda encoding, hw: answer},
    )  # fmt: skip


def da3(monkeypatch, poses, K, size):
    scale = 504 / max(size)
    columns, rows = (round(side * scale / 14) * 14 for side in size)
    inner = np.tile(resized(K, (columns / size[0], rows / size[1])), (len(poses), 1, 1)).astype("float32")
    answer = SimpleNamespace(
        extrinsics=np.linalg.inv(poses)[:, :3], intrinsics=inner, depth=np.zeros((len(poses), rows, columns))
    )
    kind = type("DepthAnything3", (Model,), {"inference": lambda self, paths: answer})
    modules(monkeypatch, depth_anything_3__api={"DepthAnything3": kind})


def mapanything(monkeypatch, poses, K, size):
    columns, rows = (518, 392) if size[0] > size[1] else (294, 518)
    scale = max(columns / size[0], rows / size[1])
    margins = ((size[0] * scale - columns) / 2, (size[1] * scale - rows) / 2)
    inner = torch.tensor(resized(K, (scale, scale), margins))[None]
    answer = [
        {"camera_poses": torch.tensor(pose)[None], "intrinsics": inner, "img_no_norm": torch.zeros(1, rows, columns, 3)}
        for pose in poses
    ]
    kind = type("MapAnything", (Model,), {"infer": lambda self, views: answer})
    modules(monkeypatch, mapanything__models={"MapAnything": kind},
            mapanything__utils__image={"load_images": lambda paths: paths})  # fmt: skip


def pi3x(monkeypatch, poses, K, size):
    kind = type("Pi3X", (Model,), {"__call__": lambda self, shown: {"camera_poses": torch.tensor(poses)[None]}})
    load = {"load_images_as_tensor": lambda folder, interval: torch.zeros(len(poses), 3, 14, 14)}
    modules(monkeypatch, pi3__models__pi3x={"Pi3X": kind}, pi3__utils__basic=load)


def mast3r(monkeypatch, poses, K, size):
    focals = torch.full((len(poses),), K[0, 0] * 512 / max(size))
    scene = SimpleNamespace(get_im_poses=lambda: torch.tensor(poses), get_focals=lambda: focals)
    modules(
        monkeypatch, mast3r={}, mast3r__utils__path_to_dust3r={},
        dust3r__utils__image={"load_images": lambda paths, size: paths},
        mast3r__cloud_opt__sparse_ga={"sparse_global_alignment": lambda *_, **__: scene},
        mast3r__image_pairs={"make_pairs": lambda images, **_: images},
        mast3r__model={"AsymmetricMASt3R": type("AsymmetricMASt3R", (Model,), {})},
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("library", [vggt, da3, mapanything, pi3x, mast3r])
def test_each_convention_and_each_crop_becomes_ours(monkeypatch, tmp_path, library, size):
    truth = find_scene("blocks", ()).load(64).truth
    poses = np.stack(list(truth.poses.values())[:3])
    K = np.array([[70.0, 0, size[0] / 2], [0, 70.0, size[1] / 2], [0, 0, 1]])
    images = [tmp_path / f"v{k:03d}.png" for k in range(3)]
    for image in images:
        Image.new("RGB", size).save(image)
    library(monkeypatch, poses, K, size)
    found, inner = getattr(estimate, library.__name__)(images, "some/weights", "cpu")
    np.testing.assert_allclose(found, poses, atol=1e-6)
    if library is pi3x:
        assert inner is None
    else:
        off = 0.5 if library is mapanything else 1e-3  # whole pixels are cut off
        np.testing.assert_allclose(inner, np.tile(K, (3, 1, 1)), atol=off)


def test_the_digest_is_of_the_files_or_said_to_be_unknown(monkeypatch, tmp_path):
    folder = tmp_path / "hub" / "models--a--b" / "snapshots" / "1"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert estimate.digest("a/b") == "unknown"
    (folder / "model.safetensors").write_bytes(b"one")
    one = estimate.digest("a/b")
    assert len(one) == 64 and one == estimate.digest(str(folder))
    (folder / "model.safetensors").write_bytes(b"other")
    assert estimate.digest("a/b") not in (one, "unknown")


LIBRARY = """
from pathlib import Path
from types import SimpleNamespace
import numpy as np
STORED = np.load(Path(__file__).with_name("true.npz"))
class DepthAnything3:
    @classmethod
    def from_pretrained(cls, weights): return cls()
    def to(self, device): return self
    def inference(self, paths):
        poses = np.stack([STORED[Path(path).stem] for path in paths])
        inner = np.tile(STORED["inner"], (len(paths), 1, 1))
        depth = np.zeros((len(paths), 504, 504))
        return SimpleNamespace(extrinsics=TURNED(poses)[:, :3], intrinsics=inner, depth=depth)
"""


def environment(folder, turned):
    """The python of a venv with numpy, and with a stand-in for Depth Anything 3 that answers with the true cameras."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(str(Path(np.__file__).parents[1]))
    library = packages / "depth_anything_3"
    library.mkdir()
    (library / "api.py").write_text(LIBRARY.replace("TURNED", turned))
    truth = find_scene("blocks", ()).load(64).truth
    inner = truth.camera.resized(504, 504).matrix
    np.savez(library / "true.npz", inner=inner, **truth.poses)
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(b"none")
    return folder / "bin" / "python"


def test_a_cell_is_at_0_deg_and_says_what_it_is(tmp_path):
    python = environment(tmp_path / "venv", "np.linalg.inv")
    label = f"feedforward[model=da3,intrinsics=estimated,python={python},weights={python.parents[1] / 'weights'}]"
    made = plan(Selection(scenes="blocks", methods=label, effort="smoke"))
    suite = tmp_path / "suite"
    (result,) = run(made, Settings(suite=suite, refine=None), lambda *_: None)
    assert result.status == "done", result.reason
    assert result.metrics[ROTATION] < 1e-3
    assert result.metrics["camera/focal_relative_error"] < 1e-6
    assert result.metrics["nvs/aligned/psnr"] > 20
    assert result.given == ("pretrained",) and result.pretrained_on
    assert result.notes["weights_sha256"] == estimate.digest(str(python.parents[1] / "weights"))
    assert (result.notes["weights_licence"], result.pretrained_on) == ("unknown", ("unknown",))
    assert str(python) not in result.cell.method and result.provenance["method_python"] == str(python)
    (entry,) = read(suite)
    assert entry.given_poses and tier([entry]) == 1
    unnamed = plan(Selection(scenes="blocks", methods=label.replace(f"python={python},", ""), effort="smoke"))
    assert unnamed.cells[0].skip
    assert [stays.status for stays in run(unnamed, Settings(suite=suite, refine=None), lambda *_: None)] == ["done"]


def test_inverted_poses_are_told_by_the_check(tmp_path):
    python = environment(tmp_path / "venv", "")
    clauses = examine(f"feedforward[model=da3,python={python}]")
    fault = next(fault for name, fault in clauses if name == "its poses are world_from_camera in OpenCV axes")
    assert "read as camera_from_world, the poses would be right to 0.0 deg" in fault


def test_without_its_library_its_cells_are_skipped_and_say_how_to_get_it(tmp_path):
    lacking = find_method("feedforward[model=vggt]").lacking
    assert "as feedforward[model=vggt,python=/path/to/venv/bin/python]; to get it: git clone" in lacking
    assert "non-commercial" in lacking
    python = environment(tmp_path / "venv", "")
    label = f"feedforward[model=mast3r,python={python}]"
    assert f"needs mast3r, which is not installed for {python}" in find_method(label).lacking
    assert "a .pth file in its site-packages that names mast3r" in find_method(label).lacking
    (planned,) = plan(Selection(scenes="blocks", methods=label, effort="smoke")).cells
    assert planned.skip == find_method(label).lacking
    assert "feedforward" not in {method.label for method in select_methods("all")[0]}


@pytest.mark.parametrize(
    ("weights", "licence", "seen"),
    [("", "CC-BY-NC", "CO3Dv2"), ("yyfz233/Pi3", "CC-BY-NC", "CO3Dv2"), ("me/mine", "unknown", "unknown")],
)
def test_of_weights_of_ones_own_nobody_knows_the_licence_nor_what_they_saw(weights, licence, seen):
    method = Feedforward(FeedforwardConfig(model="pi3", weights=weights))
    assert (method.licence, method.traits.pretrained_on[0]) == (licence, seen)
    assert method.traits.extra.endswith(f"weights: {licence}")


def test_what_an_estimator_said_last_is_the_reason_and_all_of_it_is_kept(tmp_path, capfd):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nfor word in one two three '' four; do echo $word >&2; done; exit 3\n")
    python.chmod(0o755)
    job = SimpleNamespace(device="cpu")
    with pytest.raises(RuntimeError, match=r"^pi3 could not be run, its process ended with 3: two / three / four$"):
        train.run(FeedforwardConfig(model="pi3", python=str(python)), tmp_path, tmp_path / "a.npz", job)
    assert capfd.readouterr().err.split() == ["one", "two", "three", "four"]

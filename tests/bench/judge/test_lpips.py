"""Our LPIPS against the lpips package itself, on real images, to the last bit."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.judge.lpips import BACKBONE_VARIABLE, MIN_SIDE, Lpips

# torchvision beside a foreign torch lacks two schemas: defined here, where no other test can meet them.
PACKAGE = """
import sys, warnings, numpy as np, torch
warnings.simplefilter("ignore")
torch.set_num_threads(1)
try:
    import lpips
except RuntimeError:
    for name in [name for name in sys.modules if name.split(".")[0] in ("lpips", "torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import lpips
folder, backbone = sys.argv[1:]
metric = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
held = torch.load(backbone, weights_only=True)
metric.net.load_state_dict({
    f"slice{k + 1}.{n}.{part}": held[f"features.{n}.{part}"]
    for k, n in enumerate((0, 3, 6, 8, 10)) for part in ("weight", "bias")
})
pairs = np.load(folder + "/pairs.npz")
a, b = (torch.from_numpy(pairs[name]).permute(0, 3, 1, 2) for name in ("a", "b"))
with torch.no_grad():
    np.save(folder + "/theirs.npy", metric(a, b, normalize=True).flatten().numpy())
"""


@pytest.fixture(scope="module")
def backbone(data_root) -> Path:
    return data_root / "lpips" / "alexnet_features_torchvision.pth"


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch, tmp_path):
    monkeypatch.delenv(BACKBONE_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def found(path=None) -> Lpips:
    metric = Lpips.find(path)
    assert isinstance(metric, Lpips), metric
    return metric


def test_it_is_the_package_to_the_last_bit(data_root, backbone, tmp_path):
    files = sorted((data_root / "nerf_synthetic" / "chair" / "test").glob("r_*.png"))[:4]
    images = [Image.open(file).convert("RGBA").resize((100, 100)) for file in files]
    white = Image.new("RGBA", (100, 100), "white")
    stack = [Image.alpha_composite(white, image).convert("RGB") for image in images]
    a = np.stack(stack).astype(np.float32)[:, :, :90] / 255
    b = np.roll(a, 1, axis=0)
    b[0] = np.roll(a[0], 2, axis=1)
    np.savez(tmp_path / "pairs.npz", a=a, b=b)
    child = subprocess.run(
        [sys.executable, "-c", PACKAGE, str(tmp_path), str(backbone)], capture_output=True, text=True, timeout=120
    )
    assert child.returncode == 0, child.stderr[-800:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the child: the order of a sum is part of its last bit
    ours = found(backbone)(a, b)
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(ours.astype(np.float32), np.load(tmp_path / "theirs.npy"))
    assert ours.min() > 0.01


def test_equal_images_are_at_no_distance_and_batches_do_not_matter(backbone):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 40, 48, 3))
    metric = found(backbone)
    np.testing.assert_array_equal(metric(a, a), 0.0)
    np.testing.assert_allclose(metric(a, b, batch=2), metric(a, b), rtol=1e-5)


def test_the_smallest_image_is_the_stated_one(backbone):
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 1, MIN_SIDE, MIN_SIDE, 3))
    assert found(backbone)(a, b)[0] > 0
    with pytest.raises(ValueError, match=f"at least {MIN_SIDE} px"):
        found(backbone)(a[:, 1:], b[:, 1:])


def test_the_weights_are_named_by_their_hash(backbone):
    provenance = found(backbone).provenance
    assert provenance["net"] == "alex"
    assert provenance["backbone_sha256"] == "e7811f103c38dc40d3c27045f43ff813616076608a4dfa7af0b169dcdb13fa52"
    assert len(provenance["heads_sha256"]) == 64
    assert Lpips.identify(backbone) == provenance["backbone_sha256"]
    assert Lpips.identify() == "absent"


def test_the_backbone_is_found_by_its_variable_and_in_the_hub_cache(backbone, monkeypatch, tmp_path):
    assert "set UNPOSED_LPIPS_BACKBONE" in str(Lpips.find())
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "alexnet-owt-7be5be79.pth").symlink_to(backbone)
    assert Path(torch.hub.get_dir()) == cache.parent
    found()
    (cache / "alexnet-owt-7be5be79.pth").unlink()
    monkeypatch.setenv(BACKBONE_VARIABLE, str(backbone))
    found()


def test_what_is_not_a_backbone_is_refused_in_a_sentence(tmp_path, monkeypatch):
    broken, other = tmp_path / "broken.pth", tmp_path / "other.pth"
    broken.write_bytes(b"not a state dict")
    torch.save({"features.0.weight": torch.zeros(3, 3)}, other)
    assert "no AlexNet backbone at" in str(Lpips.find(tmp_path / "none.pth"))
    assert "cannot be read" in str(Lpips.find(broken))
    assert "not torchvision's AlexNet" in str(Lpips.find(other))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install lpips" in str(Lpips.find(other))


def test_the_judge_imports_no_torch_until_a_backbone_is_read():
    child = "import sys, bench.judge.protocol; sys.exit('torch' in sys.modules or 'evo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", child], cwd=Path(__file__).parents[3], timeout=60).returncode == 0

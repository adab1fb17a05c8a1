"""A scene whose cameras nobody knows, through the real worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.poses_io.export import export
from bench.record import read_cameras
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.view.viewer import stage
from datasets.procedural import EmbeddedScene


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Neighbouring views of `blocks`, as somebody's own photographs."""
    scene = EmbeddedScene(name="blocks").load(64)
    folder = tmp_path_factory.mktemp("home") / "vase"
    folder.mkdir()
    centres = {view: pose[:3, 3] for view, pose in scene.truth.poses.items()}
    first = centres[scene.truth.order[0]]
    near = sorted(centres, key=lambda view: float(np.linalg.norm(centres[view] - first)))[:12]
    for k, view in enumerate(near):
        Image.fromarray(scene.capture.images[view]).save(folder / f"{k}.png")
    return folder


def test_view_synthesis_alone_is_judged_where_nobody_knows_the_cameras(photographs, tmp_path):
    made = plan(Selection(scenes=str(photographs), methods="nerf,gnerf,nerfmm", effort="smoke"))
    assert made.assumed == (
        "vase: 12 photographs of 64x64 px",
        "vase: no focal length is known: methods are given no intrinsics",
        "vase: background: plain, for 100% of the images' borders are (255, 255, 255) (70% is enough); `background = "
        '"real"` in its unposed.toml, or --background real, says that it is not',
    )
    results = {each.cell.method: each for each in run(made, Settings(suite=tmp_path, limit=600.0), lambda *_: None)}
    assert results["nerf"].status == results["gnerf"].status == "skipped"
    assert "nobody knows the cameras" in results["nerf"].reason
    assert "unposed data prior" in results["gnerf"].reason and "focal = 26" in results["gnerf"].reason
    done = results["nerfmm"]
    assert (done.status, done.outcome, done.reference, done.reason) == ("done", "done", "none", None)
    assert not any(name.startswith(("pose/", "camera/", "nvs/aligned")) for name in done.metrics)
    assert {"nvs/refined/psnr", "nvs/half/psnr", "nvs/mean_colour/psnr"} <= set(done.metrics)
    assert done.metrics["nvs/half/psnr"] > done.metrics["nvs/mean_colour/psnr"]
    folder = tmp_path / done.cell.folder
    cameras = read_cameras(folder)
    assert not cameras["truth"] and len(cameras["estimate"]) == 10 and set(cameras["heldout"]) == {"h000", "h001"}
    assert set(stage(folder).lines) == {"estimate", "held out"}
    list(export([(folder, done)], tmp_path / "out", forms=["tum"], aligned=False, truth=True, roots=()))
    header, *rows = (tmp_path / "out" / "poses.tum").read_text().splitlines()
    assert (header[0], len(rows)) == ("#", 10)
    assert not (tmp_path / "out" / "truth").exists()

"""What is quoted of real captures, repeated by hand, for it takes minutes: `make captures DATA=...`."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bench.judge.agreement import between
from bench.record import cells_of, read_cameras
from datasets.folder import open_folder
from datasets.originals import originals

pytestmark = pytest.mark.skipif("UNPOSED_CAPTURES" not in os.environ, reason="by hand: make captures")


def run(out, *words):
    """The cells of a run into `out`, by method, each with its result."""
    command = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        *map(str, words),
        "--effort",
        "quick",
        "--no-track",
        "-o",
        str(out),
    ]
    subprocess.run(command, check=False)
    return {result.cell.method: (folder, result) for folder, result in cells_of(out)}


def test_the_oracle_on_a_ring_before_black_reaches_24_db(data_root, tmp_path):
    _, result = run(tmp_path / "out", "-s", data_root / "middlebury" / "templeRing", "-m", "nerf")["nerf"]
    sys.stdout.write(f"templeRing: {result.metrics['nvs/aligned/psnr']:.2f} dB\n")
    assert result.metrics["nvs/aligned/psnr"] >= 24


def test_plain_photographs_of_the_fox_are_placed_within_a_third_of_a_degree_of_the_reference(data_root, tmp_path):
    """Fifty photographs without a word about them; the reference is COLMAP's with the lens known."""
    reference = open_folder(data_root / "transforms" / "fox_480").recording
    (tmp_path / "fox").mkdir()
    for frame in reference.frames:
        shutil.copy(frame.image, tmp_path / "fox")
    words = ("-s", tmp_path / "fox", "-m", "colmap_nerf,nerfmm,gnerf", "--prior", "orbit")
    cells = run(tmp_path / "out", *words)
    assert set(cells) == {"colmap_nerf", "nerfmm", "gnerf"}
    names = {view: original.name for view, original in originals(open_folder(tmp_path / "fox")).items()}
    truth = {frame.image.name: frame.pose for frame in reference.frames}
    estimate = read_cameras(cells["colmap_nerf"][0])["estimate"]
    found = between(
        {view: np.array(pose) for view, pose in estimate.items()}, {view: truth[names[view]] for view in estimate}
    )
    sys.stdout.write(f"fox: {found.rotation_deg:.3f} deg, {100 * found.centre:.2f} %, {found.views} views\n")
    assert found.rotation_deg < 0.3 and found.views >= 40
    report = [sys.executable, "-m", "bench.cli", "report", "-o", str(tmp_path / "out")]
    assert subprocess.run(report, check=False).returncode == 0

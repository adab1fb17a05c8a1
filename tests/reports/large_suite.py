"""A suite of thousands of cells, to time what is made of it: `python tests/reports/large_suite.py FOLDER [CELLS]`.

Cells are as large as those of a real run at `quick`: 100 training and 25 held-out views of 200 px, three pictures of
each held-out view, 300 lines of log. Pictures are hard links to a few, so that the suite takes little disk.
"""

import json
import math
import os
import sys
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
from synthetic_suite import done, ended, picture, ring

from bench.record import Result, encoded, write_result
from reports import parallel

TRAINING = tuple(f"v{k:03d}" for k in range(100))
HELD_OUT = tuple(f"h{k:03d}" for k in range(25))
SCENES = tuple(f"scene{k:02d}" for k in range(20))
DEGRADATIONS = ("clean", *(f"gaussian_noise@{k}" for k in range(1, 6)), *(f"low_texture@{k}" for k in (1, 2, 3, 5)))
METHODS = ("nerf", *(f"m{k}" for k in range(7)), "m7[field=mlp]", "m7[field=grid]")
SEEDS = range(5)


def cells(count: int) -> list[tuple[int, tuple[str, str, str, int]]]:
    """The first of 10,000, by number: scene after scene, 500 cells each."""
    return list(enumerate(islice(product(SCENES, DEGRADATIONS, METHODS, SEEDS), count)))


def result(n: int, scene: str, degradation: str, method: str, seed: int) -> Result:
    """One in 17 fails; the others are the worse the later their method."""
    rng, m = np.random.default_rng(n), METHODS.index(method)
    given = ("camera", "start") if method == "nerf" else ("camera",)
    if n % 17 == 5:
        return ended(scene, degradation, method, seed, "failed", f"ValueError: {n % 3} images")
    rotation = 0.0 if method == "nerf" else float(rng.exponential(0.5 + m))
    base = done(scene, degradation, method, seed, rotation=rotation, psnr=30 - m + rng.normal(), given=given)
    posed = zip(TRAINING, rng.exponential((2.0, 0.1), (len(TRAINING), 2)).tolist(), strict=True)
    per_view = {view: {"pose/rotation_deg": far, "pose/translation": off} for view, (far, off) in posed}
    names = [f"nvs/{stage}/{name}" for stage in ("aligned", "refined", "half") for name in ("psnr", "ssim")]
    for view, numbers in zip(HELD_OUT, rng.normal(20, 1, (len(HELD_OUT), len(names))).tolist(), strict=True):
        per_view[view] = dict(zip(names, numbers, strict=True))
    return replace(base, per_view=per_view)


def log() -> str:
    rows = (
        {"step": k, "seconds": k / 3, "loss/photometric": math.exp(-k / 90), "psnr": 10 + k / 20,
         "loss/generator": 1 / (1 + k), "side": 16.0 + k}
        for k in range(300)
    )  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


def cameras(seed: int) -> str:
    truth = ring(len(TRAINING))
    estimate = truth.copy()
    estimate[:, :3, 3] += np.random.default_rng(seed).normal(scale=0.1, size=(len(truth), 3))
    return json.dumps(encoded({
        "camera": {"width": 200, "height": 200, "fx": 277.0, "fy": 277.0},
        "truth": dict(zip(TRAINING, truth, strict=True)),
        "estimate": dict(zip(TRAINING, estimate, strict=True)), "heldout": {},
    }), indent=1)  # fmt: skip


def write(suite: Path, count: int) -> None:
    """By all CPUs: a suite of 10,000 cells holds 750,000 pictures by name."""
    pool = suite / ".pictures"
    pool.mkdir(parents=True)
    for k, view in enumerate(HELD_OUT):
        for stage, noise in (("truth", 0.0), ("aligned", 0.05), ("refined", 0.03), ("depth", 0.0)):
            made = picture(k % 5, noise, side=200)
            (made.convert("L") if stage == "depth" else made).save(pool / f"{view}.{stage}.png")
    learnt, posed = log(), [cameras(seed) for seed in SEEDS]

    def captured(home: Path) -> None:
        for name, views in (("truth", HELD_OUT), ("shown", HELD_OUT[:6])):
            (home / name).mkdir(parents=True)
            for view in views:
                shown = view if name == "truth" else view.replace("h", "v")
                os.link(pool / f"{view}.truth.png", home / name / f"{shown}.png")

    def fitted(numbered: tuple[int, tuple[str, str, str, int]]) -> None:
        made = result(numbered[0], *numbered[1])
        folder = suite / made.cell.folder
        write_result(folder, made)
        if made.status == "done":
            (folder / "renders").mkdir()
            for view in HELD_OUT:
                for stage in ("aligned", "refined", "depth"):
                    os.link(pool / f"{view}.{stage}.png", folder / "renders" / f"{view}.{stage}.png")
            (folder / "cameras.json").write_text(posed[made.cell.seed])
            (folder / "log.jsonl").write_text(learnt)

    asked = cells(count)
    homes = sorted({suite / scene / degradation for _, (scene, degradation, _, _) in asked})
    for work, items in ((captured, homes), (fitted, asked)):
        for _ in parallel.each(work, items):
            pass


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)

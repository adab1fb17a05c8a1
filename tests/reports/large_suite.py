"""A suite of thousands of cells, to time its report: `python tests/reports/large_suite.py FOLDER [CELLS]`.

Cells are as large as those of a real run at `quick`: 100 training and 25 held-out views of 200 px, three pictures of
each held-out view, 300 lines of log. Pictures are hard links to a few, so that the suite takes little disk.
"""

import json
import math
import os
import sys
import time
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
from synthetic_suite import done, ended, picture, ring

from bench.record import Result, write_json, write_result

TRAINING = tuple(f"v{k:03d}" for k in range(100))
HELD_OUT = tuple(f"h{k:03d}" for k in range(25))
METHODS = ("nerf", *(f"m{k}" for k in range(7)), "m7[field=mlp]", "m7[field=grid]")
DEGRADATIONS = ("clean", *(f"gaussian_noise@{k}" for k in range(1, 5)), *(f"low_texture@{k}" for k in (1, 3, 5)))


def results(cells: int) -> list[Result]:
    """5 scenes x 8 degradations x 10 methods x seeds; one in 17 fails."""
    found = []
    matrix = product(range(-(-cells // 400)), range(5), DEGRADATIONS, enumerate(METHODS))
    for n, (seed, scene, degradation, (m, method)) in enumerate(islice(matrix, cells)):
        rng = np.random.default_rng(n)
        given = ("camera", "start") if method == "nerf" else ("camera",)
        if n % 17 == 5:
            found.append(ended(f"scene{scene}", degradation, method, seed, "failed", f"ValueError: {n % 3} images"))
            continue
        rotation = 0.0 if method == "nerf" else float(rng.exponential(0.5 + m))
        base = done(
            f"scene{scene}", degradation, method, seed, rotation=rotation, psnr=30 - m + rng.normal(), given=given
        )
        per_view = {view: {"pose/rotation_deg": rng.exponential(2.0), "pose/translation": rng.exponential(0.1)}
                    for view in TRAINING}  # fmt: skip
        for view in HELD_OUT:
            per_view[view] = {f"nvs/{stage}/{name}": 20 + rng.normal()
                              for stage in ("aligned", "refined", "half") for name in ("psnr", "ssim")}  # fmt: skip
        found.append(replace(base, per_view=per_view))
    return found


def write(suite: Path, cells: int) -> None:
    pool = suite / ".pictures"
    pool.mkdir(parents=True)
    for k, view in enumerate(HELD_OUT):
        for stage, noise in (("truth", 0.0), ("aligned", 0.05), ("refined", 0.03), ("depth", 0.0)):
            made = picture(k % 5, noise, side=200)
            (made.convert("L") if stage == "depth" else made).save(pool / f"{view}.{stage}.png")
    truth = ring(len(TRAINING))
    log = "".join(json.dumps({"step": k, "seconds": k / 3, "loss/photometric": math.exp(-k / 90), "psnr": 10 + k / 20,
                              "loss/generator": 1 / (1 + k), "side": 16.0 + k}) + "\n" for k in range(300))  # fmt: skip
    for result in results(cells):
        folder = suite / result.cell.folder
        write_result(folder, result)
        for name in ("truth", "shown"):
            home = folder.parent.parent / name
            home.mkdir(exist_ok=True)
            for view in HELD_OUT if name == "truth" else HELD_OUT[:6]:
                target = home / f"{view.replace('h', 'v') if name == 'shown' else view}.png"
                if not target.exists():
                    os.link(pool / f"{view}.truth.png", target)
        if result.status != "done":
            continue
        (folder / "renders").mkdir()
        for view in HELD_OUT:
            for stage in ("aligned", "refined", "depth"):
                os.link(pool / f"{view}.{stage}.png", folder / "renders" / f"{view}.{stage}.png")
        estimate = truth.copy()
        estimate[:, :3, 3] += np.random.default_rng(result.cell.seed).normal(scale=0.1, size=(len(truth), 3))
        write_json(folder / "cameras.json", {
            "camera": {"width": 200, "height": 200, "fx": 277.0, "fy": 277.0},
            "truth": dict(zip(TRAINING, truth, strict=True)),
            "estimate": dict(zip(TRAINING, estimate, strict=True)), "heldout": {},
        })  # fmt: skip
        (folder / "log.jsonl").write_text(log)


def main(suite: Path, cells: int) -> None:
    from reports.build import build

    if not suite.exists():
        write(suite, cells)
    start, used = time.perf_counter(), time.process_time()
    index = build(suite)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
    sys.stdout.write(f"{index}\n{seconds:.1f} s, of which {used:.1f} s of CPU; {size / 2**20:.0f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)

"""A suite on disk, made through `bench.record`: every status, several seeds, silhouettes, NaN, a hostile name."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bench.cell import Cell
from bench.record import Result, write_json, write_result
from bench.task import look_at

HOSTILE = "<script>alert(1)</script>"
LPIPS = ("nvs/aligned/lpips_alex", "no AlexNet backbone: pass --lpips PATH")
TRUTH_VIEWS = tuple(f"v{k:03d}" for k in range(30))
HELD_OUT = tuple(f"h{k:03d}" for k in range(5))


def done(scene: str, degradation: str, method: str, seed: int, *, rotation: float, psnr: float, given=()) -> Result:
    """A finished cell; all its numbers follow from `rotation` and `psnr`."""
    return Result(
        cell=Cell(scene=scene, degradation=degradation, method=method, seed=seed, effort="quick"),
        config={"field": "grid", "steps": 2000, "sift": {"peak": 0.0067}},
        status="done",
        protocol="posefree/1",
        given=given,
        metrics={
            "pose/rotation_deg_median": rotation,
            "pose/rotation_deg_mean": 1.2 * rotation,
            "pose/translation_relative": rotation / 60,
            "pose/auc_15": max(0.0, 1 - rotation / 15),
            "pose/registered": 0.9,
            "nvs/aligned/psnr": psnr,
            "nvs/aligned/ssim": psnr / 40,
            "nvs/refined/psnr": psnr + 0.6,
            "nvs/half/psnr": psnr + 0.3,
            "nvs/mean_colour/psnr": 12.5,
        },
        per_view={view: {"nvs/aligned/psnr": psnr + k - 2} for k, view in enumerate(HELD_OUT)},
        absent=dict([LPIPS]),
        notes={"attempts": 1},
        cost={"fit_seconds": 120.0 + seed, "peak_rss_mb": 1400.0},
        fingerprints={"fit": "a1" * 32, "judgement": "b2" * 32},
        provenance={
            "git": "0123abcd", "versions": {"python": "3.11.9", "torch": "2.13.0"}, "threads": 2, "device": "cpu",
            "command": "unposed run -s all", "finished": f"2024-05-01T10:0{seed}:00+00:00",
        },
    )  # fmt: skip


def ended(scene: str, degradation: str, method: str, seed: int, status, reason: str) -> Result:
    """A cell without an answer: skipped before it was given anything, or ended in its fit."""
    skipped = status == "skipped"
    base = done(scene, degradation, method, seed, rotation=0, psnr=0, given=() if skipped else ("camera",))
    stage = None if skipped else "fit"
    return replace(base, status=status, stage=stage, reason=reason, metrics={}, per_view={}, absent={}, cost={})


def ring(n: int, radius: float = 4.0) -> np.ndarray:
    """(n, 4, 4) cameras on an upper hemisphere."""
    turn, rise = np.linspace(0, 9, n), np.linspace(0.1, 1.2, n)
    offset = np.stack([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)], axis=1)
    return look_at(radius * offset, np.zeros(3), np.array([0.0, 0.0, 1.0]))


def picture(k: int, noise: float = 0.0, side: int = 48) -> Image.Image:
    """A disc on white, smooth shading, seeded noise."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    disc = (np.hypot(x - 0.05 * (k - 2), y) < 0.3)[..., None]
    colour = np.stack([0.8 + x, 0.4 + 0.5 * y, 0.3 - 0.5 * x], axis=-1)
    pixels = np.where(disc, colour, 1.0) + noise * np.random.default_rng(k).standard_normal((side, side, 3))
    return Image.fromarray((255 * np.clip(pixels, 0, 1)).astype(np.uint8))


def write_cell(suite: Path, result: Result, *, noise: float = 0.04, files: bool = True) -> Path:
    folder = suite / result.cell.folder
    write_result(folder, result)
    home = folder.parent.parent
    for name, views in (("truth", HELD_OUT), ("shown", TRUTH_VIEWS[:3])):
        (home / name).mkdir(exist_ok=True)
        for k, view in enumerate(views):
            picture(k).save(home / name / f"{view}.png")
    if result.status == "done" and files:
        (folder / "renders").mkdir()
        for k, view in enumerate(HELD_OUT):
            picture(k, noise).save(folder / "renders" / f"{view}.aligned.png")
        truth = ring(len(TRUTH_VIEWS))
        rng = np.random.default_rng(result.cell.seed)
        estimate = truth.copy()
        estimate[:, :3, 3] += 4 * noise * rng.standard_normal((len(truth), 3))
        write_json(
            folder / "cameras.json",
            {
                "camera": {"width": 48, "height": 48},
                "truth": dict(zip(TRUTH_VIEWS, truth, strict=True)),
                "estimate": dict(list(zip(TRUTH_VIEWS, estimate, strict=True))[3:]),
                "heldout": {},
            },
        )
        steps = range(0, 400, 4)
        lines = [
            json.dumps({"step": k, "seconds": k / 4, "loss": math.exp(-k / 90), "psnr": 10 + k / 20}) for k in steps
        ]
        (folder / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 4')
    elif result.status == "failed":
        (folder / "stderr.txt").write_text("Traceback (most recent call last):\nValueError: <b>no</b> images\n")
    return folder


def suite_results() -> list[Result]:
    start = ("camera", "start")
    blind = ("camera",)
    prior = ("camera", "prior")
    silhouette = done("blocks", "silhouette", "gnerf", 0, rotation=8.0, psnr=15.0, given=("camera", "prior"))
    silhouette = replace(
        silhouette,
        metrics={"pose/rotation_deg_median": 8.0, "nvs/aligned/iou": 0.83, "nvs/aligned/psnr": 15.0},
        absent={"nvs/aligned/ssim": "silhouettes have no colour", **dict([LPIPS])},
    )
    constant = done("blocks", "clean", "colmap_nerf[mapper=global]", 1, rotation=0.9, psnr=11.0, given=blind)
    constant = replace(constant, flags=("nvs/aligned: constant image", "nvs/aligned: worse than the mean-colour image"))
    broken = done(HOSTILE, "clean", "gnerf", 0, rotation=math.nan, psnr=math.inf, given=("camera", "prior"))
    agreement = done("transforms/fox", "clean", "colmap_nerf", 0, rotation=0.3, psnr=24.0, given=blind)
    return [
        *(done("blocks", "clean", "nerf", k, rotation=0.0, psnr=33.0 + k / 10, given=start) for k in range(2)),
        *(done("blocks", "clean", "colmap_nerf", k, rotation=0.2 + k / 10, psnr=31 + k, given=blind) for k in range(2)),
        done("blocks", "clean", "colmap_nerf[mapper=global]", 0, rotation=0.1, psnr=30.5, given=blind),
        constant,
        *(done("blocks", "clean", "gnerf", k, rotation=2.0 + k, psnr=27.0 - k, given=prior) for k in range(5)),
        ended("blocks", "clean", "gnerf", 5, "timeout", "killed after 900 s"),
        ended("blocks", "clean", "inerf", 0, "skipped", "needs start poses"),
        done("blocks-plain", "clean", "nerf", 0, rotation=0.0, psnr=35.0, given=start),
        ended("blocks-plain", "clean", "colmap_nerf", 0, "collapsed", "no model: too few matches"),
        ended("blocks-plain", "clean", "gnerf", 0, "out_of_memory", "killed at 8,123 MB"),
        ended(HOSTILE, "clean", "colmap_nerf", 0, "failed", "ValueError: <b>no</b> images | `x`"),
        broken,
        silhouette,
        replace(agreement, reference="colmap"),
    ]  # fmt: skip

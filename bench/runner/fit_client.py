"""Ask a method for its answer: the capture goes into a folder, a worker process is started on it, and watched."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.degrade import HOMES, Degradation, degrade
from bench.degrade.initial_poses import generator_of, perturbed, scale_of
from bench.matrix.code_digest import code_digests, module_path
from bench.matrix.plan import Planned
from bench.poses_io.submission import HELDOUT
from bench.record import read_json, write_json
from bench.runner import worker_io
from bench.runner.executors.base import Executor, WorkerEnd
from bench.runner.provenance import versions
from bench.scene import Scene
from bench.task import INTERFACE, Capture

PICTURES = frozenset({"numpy", "scipy", "PIL"})
"""What images are read, resampled and degraded with."""

CARRIERS = frozenset({"pydantic", "safetensors"})
"""What checks and stores numbers, and makes none."""


def fit_ingredients(planned: Planned, digest: str, device: str) -> dict[str, Any]:
    """All that decides a fit, `digest` being its scene's; their sha256 is the cell's fit fingerprint.

    Of the device its kind counts, not which of several it is.
    """
    method, start = planned.method, planned.method.method.traits.start
    initial = module_path("bench.degrade.initial_poses")
    moved = {} if start.is_exact else {"start": asdict(start), "start_code": code_digests(initial)}
    brought = {"estimate": planned.submission.digest} if planned.submission else {}
    return {
        "scene": {"name": planned.source.name, "digest": digest},
        "degradation": planned.degradation.parameters() | {"code": _degradation_code(planned.degradation)},
        **moved,
        **brought,
        "method": {"name": method.method.name, "version": method.method.version},
        "config": method.config,
        "code": method.ref.code(),
        "seed": planned.cell.seed,
        "effort": planned.cell.effort,
        "interface": INTERFACE,
        "device": device.partition(":")[0],
        "libraries": versions((method.ref.libraries() | PICTURES) - CARRIERS),
    }


def _degradation_code(degradation: Degradation) -> dict[str, str]:
    """Digests of the file that defines it and of what that imports: an edited filter makes other pixels, and leaves
    those of other files as they are."""
    if degradation.is_identity:
        return {}
    home = HOMES[degradation.kind]
    return code_digests(module_path(home), apart=[module_path(other) for other in {*HOMES.values()} - {home}])


def shown_to(planned: Planned, scene: Scene) -> Capture:
    """The capture as this cell's method may see it: degraded, its start poses moved as far as the method wants them,
    and without what its traits do not ask for."""
    traits = planned.method.method.traits
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))
    scale = scale_of(capture)
    capture = degrade(capture, planned.degradation, scene.name)
    if "start" in traits.needs | traits.uses:
        capture = perturbed(capture, traits.start, generator_of(scene.name, planned.cell.seed), scale)
    if planned.submission:
        estimate = planned.submission.estimate
        capture = replace(capture, estimate=estimate, camera=None if estimate.camera else capture.camera)
    return capture.only(traits.needs | traits.uses)


def request_fit(
    planned: Planned, capture: Capture, folder: Path, executor: Executor, *, fit: str, limit: float, device: str,
    retries: int,
) -> dict[str, Any]:  # fmt: skip
    """Run the fit to its end in `folder`, or go on with one that a kill cut short.

    Returns its outcome: `status`, `reason`, the CPU `threads` it had, and `seconds`, `peak_rss_mb`, `attempts` of all
    attempts together.
    A worker that dies by a signal is tried again `retries` times; its time counts. Raises Stopped.
    """
    outcome, stderr = folder / "outcome.json", folder.parent / "stderr.txt"
    if not _is_for(folder, fit):
        discard(folder)
        write_request(planned, capture, folder, fit=fit, limit=limit, device=device, threads=executor.threads)
    attempts, peak, seconds = 0, 0.0, 0.0
    answer: dict[str, Any] | None = read_json(outcome) if outcome.exists() else None  # of a judge that was killed here
    while answer is None:
        attempts += 1
        end = executor.run("fit", folder, limit=limit - _spent(folder), stderr=stderr)
        peak, seconds = max(peak, end.peak_rss_mb), end.seconds
        if outcome.exists() and end.kind == "exit":
            answer = read_json(outcome)
        elif outcome.exists() or end.kind != "signal" or attempts > retries:
            answer = _outcome_of(end)
    answer["seconds"] = answer.get("seconds") or max(_spent(folder), seconds)
    answer["attempts"] = max(attempts, 1)
    answer["threads"] = executor.threads if attempts else _threads_asked_for(folder)
    answer["memory"] = {
        **answer.get("memory", {}),
        "peak_rss_mb": max(peak, answer.get("memory", {}).get("peak_rss_mb", 0)),
    }
    write_json(outcome, answer)
    tidy(folder)
    return answer


def write_request(
    planned: Planned, capture: Capture, folder: Path, *, fit: str, limit: float, device: str, threads: int
) -> None:
    """The folder that a worker's fit starts from; `request.json`, written last, makes it complete."""
    folder.mkdir(parents=True)
    worker_io.write_capture(folder, capture)
    if capture.start is not None and len(capture.exact) < len(capture.start):
        write_json(folder / "start.json", {"poses": dict(capture.start), "exact": sorted(capture.exact)})
    write_json(
        folder / "request.json",
        {
            "fingerprint": fit,
            "log": str(folder.parent / "log.jsonl"),
            "method": asdict(planned.method.ref),
            "config": planned.method.config,
            "job": {
                "seed": planned.cell.seed,
                "device": device,
                "threads": threads,
                "effort": planned.cell.effort,
                "seconds": limit,
            },
        },
    )


def finished_fit(folder: Path, fit: str) -> Mapping[str, Any] | None:
    """The outcome of a fit with this fingerprint that ran to its end and that `request_fit` completed, or None."""
    if not _is_for(folder, fit) or not (folder / "outcome.json").exists():
        return None
    answer = read_json(folder / "outcome.json")
    return {"threads": _threads_asked_for(folder), **answer} if "attempts" in answer else None


def _threads_asked_for(folder: Path) -> int:
    """CPU threads that a fit was begun with; earlier versions left them in the request alone."""
    return read_json(folder / "request.json")["job"]["threads"]


def rename(folder: Path, earlier: str, fit: str) -> None:
    """Let a fit that was made under an earlier form of its fingerprint be known by the present one."""
    if _is_for(folder, earlier):
        write_json(folder / "request.json", read_json(folder / "request.json") | {"fingerprint": fit})


def discard(folder: Path) -> None:
    """Forget a fit, its log and its messages, and what a judge made of it."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("log.jsonl", "stderr.txt", "cameras.json", HELDOUT):
        (folder.parent / name).unlink(missing_ok=True)
    for name in ("previews", "renders"):
        shutil.rmtree(folder.parent / name, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Drop what only the fit itself needed; what is left can be judged again at any time."""
    (folder / "capture.npz").unlink(missing_ok=True)
    shutil.rmtree(folder / "work", ignore_errors=True)
    shutil.rmtree(folder / "field.tmp", ignore_errors=True)


def _is_for(folder: Path, fit: str) -> bool:
    request = folder / "request.json"
    return request.exists() and read_json(request)["fingerprint"] == fit


def _spent(folder: Path) -> float:
    """Wall seconds that this fit has used so far, those before a kill included."""
    clock = folder / "clock.json"
    return float(read_json(clock)["seconds"]) if clock.exists() else 0.0


def _outcome_of(end: WorkerEnd) -> dict[str, Any]:
    status = end.kind if end.kind in ("timeout", "out_of_memory") else "failed"
    return {"status": status, "reason": end.reason}

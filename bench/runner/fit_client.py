"""Ask a method for its answer: the capture goes into a folder, a worker process is started on it, and watched."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.degrade import HOMES, Degradation, degrade
from bench.degrade.initial_poses import generator_of, perturbed, scale_of
from bench.files import remove
from bench.matrix.code_digest import code_digests, module_path
from bench.matrix.plan import Planned
from bench.poses_io.saved_fit import OUTCOME, REQUEST, damage, read_object, read_outcome, write_outcome
from bench.record import read_json, write_json
from bench.regime import effort_of
from bench.runner import prepared, worker_io
from bench.runner.drafts import FIT_DRAFT
from bench.runner.executors.base import Executor, Request, WorkerEnd
from bench.runner.fit_clock import LOGS, spent, wind_back
from bench.runner.method_probe import code_of
from bench.runner.provenance import versions
from bench.runner.scratch import forget, make, note, noted, place
from bench.scene import Scene
from bench.stated_prior import StatedPrior
from bench.submission import HELDOUT
from bench.task import INTERFACE, Capture

PICTURES = frozenset({"numpy", "scipy", "PIL"})
"""What images are read, resampled and degraded with."""

CARRIERS = frozenset({"pydantic", "pydantic_core", "safetensors"})
"""What checks and stores numbers, and makes none."""


def fit_ingredients(planned: Planned, digest: str, device: str) -> dict[str, Any]:
    """All that decides a fit, `digest` being its scene's; their sha256 is the cell's fit fingerprint.

    Of the device its kind counts, not which of several it is.
    """
    method, traits = planned.method, planned.method.method.traits
    there = traits.accelerator.packages if traits.accelerator else ()
    start, libraries = traits.start, method.ref.libraries() | {*traits.packages, *there}
    initial = module_path("bench.degrade.initial_poses")
    moved = {} if start.is_exact else {"start": asdict(start), "start_code": code_digests(initial)}
    elsewhere = {"environment": method.environment()} if method.ref.python else {}
    brought = {"estimate": planned.submission.digest} if planned.submission else {}
    return {
        "scene": {"name": planned.source.name, "digest": digest},
        "degradation": planned.degradation.parameters() | {"code": _degradation_code(planned.degradation)},
        **moved,
        **brought,
        **elsewhere,
        "method": {"name": method.method.name, "version": method.method.version},
        "config": {name: value for name, value in method.config.items() if not (elsewhere and name == "python")},
        "code": method.ref.code(),
        "seed": planned.cell.seed,
        "effort": effort_of(planned.cell.effort),
        "interface": INTERFACE,
        "device": device.partition(":")[0],
        "libraries": versions((PICTURES if method.ref.is_elsewhere else libraries | PICTURES) - CARRIERS),
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
    true = scene.truth.poses
    capture = replace(scene.capture, start=true or None, exact=frozenset(true))
    scale = scale_of(capture) if true else None
    capture = degrade(capture, planned.degradation, scene.name)
    if "start" in traits.needs | traits.uses:
        if true and isinstance(capture.prior, StatedPrior):  # its frame is not that of the poses
            capture = replace(capture, prior=None)
        capture = perturbed(capture, traits.start, generator_of(scene.name, planned.cell.seed), scale)
    if planned.submission:
        estimate = planned.submission.estimate
        capture = replace(capture, estimate=estimate, camera=None if estimate.camera else capture.camera)
    return capture.only(traits.needs | traits.uses)


def request_fit(
    planned: Planned, capture: Capture, cell: Path, executor: Executor, *, fit: str, limit: float, device: str,
    retries: int,
) -> dict[str, Any]:  # fmt: skip
    """Run the fit of a cell to its end, or go on with one that a kill or a shorter limit cut short; keep it in `fit/`.

    Returns its outcome: `status`, `reason`, the CPU `threads` it had, and `seconds`, `peak_rss_mb`, `attempts` of all
    attempts together.
    A worker that dies by a signal before it has said its outcome is tried again `retries` times; its time counts.
    Raises Stopped.
    """
    spoilt = spoilt_fit(cell, fit)
    if spoilt:
        logging.getLogger("unposed").warning("%s: %s; it is fitted again", planned.cell.id, spoilt)
    if scratch := noted(cell, fit):
        wind_back(scratch / "out")
    else:
        scratch = _begin(planned, capture, cell, fit)
    shared = prepared.key(planned, scratch / "in", device) if planned.method.method.traits.prepares else None
    if shared:
        prepared.take_over(shared, scratch)
    request = {
        "fingerprint": fit, "method": asdict(planned.method.ref), "config": planned.method.config, "limit": limit,
        "job": {
            "seed": planned.cell.seed, "device": device, "threads": executor.threads,
            "effort": effort_of(planned.cell.effort), "seconds": limit,
        },
    }  # fmt: skip
    attempts, peak, seconds, machine = 0, 0.0, 0.0, ""
    answer = worker_io.read_outcome(scratch)  # of a judge that was killed here
    if answer is None:
        worker_io.write_request(scratch, request)
    while answer is None:
        attempts += 1
        left = limit - spent(scratch / "out")
        end = executor.run(Request(verb="fit", folder=scratch, code=code_of(planned.method.ref), limit=left))
        peak, seconds, machine = max(peak, end.peak_rss_mb), end.seconds, end.machine
        said = worker_io.read_outcome(scratch)
        if said is not None and end.kind in ("exit", "signal"):  # written whole, and last: a signal came too late
            answer = said
        elif said is not None or end.kind != "signal" or attempts > retries:
            answer = _outcome_of(end)
    answer["seconds"] = answer.get("seconds") or max(spent(scratch / "out"), seconds)
    answer["attempts"] = max(attempts, 1)
    answer |= {"machine": machine} if machine else {}
    answer |= {"fitted_again": spoilt} if spoilt else {}
    answer["threads"] = executor.threads if attempts else _threads_asked_for(scratch / "in")
    answer["memory"] = {
        **answer.get("memory", {}),
        "peak_rss_mb": max(peak, answer.get("memory", {}).get("peak_rss_mb", 0)),
    }
    if shared:
        prepared.keep(shared, scratch / "out")
        answer["preparation"] = prepared.seconds_of(scratch)
    return keep_fit(cell, scratch, answer)


def _begin(planned: Planned, capture: Capture, cell: Path, fit: str) -> Path:
    """A scratch folder with the capture, and with the checkpoints of a fit that had too little time."""
    scratch = make(cell)
    given, out = scratch / "in", scratch / "out"
    worker_io.write_capture(given, capture)
    if capture.start is not None and len(capture.exact) < len(capture.start):
        write_json(given / "start.json", {"poses": dict(capture.start), "exact": sorted(capture.exact)})
    kept = cell / "fit"
    if _is_for(kept, fit) and (kept / "work").is_dir() and not damage(kept):
        shutil.copytree(kept / "work", out / "work")
        for file in (kept / "clock.json", cell / worker_io.LOG, cell / worker_io.USAGE):
            if file.exists():
                shutil.copy(file, out)
        if (cell / "fit" / prepared.TAKEN).exists():
            shutil.copy(cell / "fit" / prepared.TAKEN, given)
    else:
        discard(cell)
    worker_io.write_request(scratch, {"fingerprint": fit})
    forget(cell)
    note(cell, scratch, fit)
    return scratch


def keep_fit(cell: Path, scratch: Path, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Move what a fit came to from its scratch folder into the cell, and return its outcome.

    Of what the worker left, files and folders of known names are taken, and no links. A fit that had too little time
    keeps its checkpoints. Killed at any point, it is done again by the next run.
    """
    out, draft = scratch / "out", cell / FIT_DRAFT
    outcome = dict(answer)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in (REQUEST, "capture.json", "start.json", prepared.TAKEN):
        if (scratch / "in" / name).exists():
            place(scratch / "in" / name, draft / name)
    taken = ("poses.json", "clock.json", "field") if outcome["status"] == "done" else ("clock.json",)
    taken += ("work",) if outcome["status"] == "timeout" else ()
    try:
        for name in taken:
            if os.path.lexists(out / name):
                place(worker_io.own(out / name), draft / name)
        pictures = [worker_io.own(path) for path in sorted(out.glob("previews/*.png"))]
        logs = [worker_io.own(out / name) for name in LOGS if os.path.lexists(out / name)]
    except worker_io.ForeignFile as error:
        outcome |= {"status": "failed", "reason": str(error)}
        pictures, logs = [], []
    outcome = write_outcome(draft, outcome)
    moved = {path: cell / "previews" / path.name for path in pictures} | {path: cell / path.name for path in logs}
    for source, target in moved.items():
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        place(source, target)
    append(scratch / "stderr.txt", cell / "stderr.txt")
    shutil.rmtree(cell / "fit", ignore_errors=True)
    draft.replace(cell / "fit")
    forget(cell)
    return outcome


def append(messages: Path, to: Path) -> None:
    """Add what a worker printed to the messages of its cell."""
    if messages.exists():
        with to.open("ab") as file:
            file.write(messages.read_bytes())


def finished_fit(cell: Path, fit: str) -> Mapping[str, Any] | None:
    """The outcome of a fit with this fingerprint that ran to its end and that `request_fit` completed, or None; none is
    one that is not what was kept."""
    folder = cell / "fit"
    answer = read_outcome(folder)
    if not _is_for(folder, fit) or "attempts" not in answer or damage(folder):
        return None
    return {"threads": _threads_asked_for(folder), **answer}


def spoilt_fit(cell: Path, fit: str) -> str | None:
    """What is wrong with a fit of this fingerprint that ended and was kept, in words, or None."""
    folder = cell / "fit"
    if not _is_for(folder, fit):
        unreadable = (folder / REQUEST).exists() and not read_object(folder / REQUEST)
        return f"fit/{REQUEST} cannot be read" if unreadable else None
    return damage(folder)


def _threads_asked_for(folder: Path) -> int:
    """CPU threads that a fit was begun with; earlier versions left them in the request alone."""
    return read_json(folder / REQUEST)["job"]["threads"]


def go_on(cell: Path, limit: float) -> None:
    """Make way for another try of a fit that failed: one that had less time than `limit` keeps its checkpoints, where
    they are those that were kept; any other is forgotten."""
    folder = cell / "fit"
    is_short = read_outcome(folder).get("status") == "timeout"
    if is_short and read_object(folder / REQUEST).get("limit", limit) < limit and not damage(folder):
        (folder / OUTCOME).unlink()
    else:
        discard(cell)


def rename(cell: Path, earlier: str, fit: str) -> None:
    """Let a fit that was made under an earlier form of its fingerprint be known by the present one."""
    request = cell / "fit" / REQUEST
    if _is_for(cell / "fit", earlier):
        write_json(request, read_json(request) | {"fingerprint": fit})


def keep_aside(cell: Path, name: str) -> None:
    """Move a cell's result, whatever lies there, to `previous/NAME`."""
    (cell / "previous").mkdir(exist_ok=True)
    source, target = cell / "result.json", cell / "previous" / name
    if source.is_dir() or target.is_dir():  # neither of which takes the other's place
        remove(target)
    source.replace(target)


def discard(cell: Path) -> None:
    """Forget a cell's fit, its log and its messages, and what a judge made of it."""
    forget(cell)
    for name in (*LOGS, "stderr.txt", "cameras.json", HELDOUT):
        (cell / name).unlink(missing_ok=True)
    for name in ("fit", "previews", "renders"):
        shutil.rmtree(cell / name, ignore_errors=True)


def _is_for(folder: Path, fit: str) -> bool:
    return read_object(folder / REQUEST).get("fingerprint") == fit


def _outcome_of(end: WorkerEnd) -> dict[str, Any]:
    status = end.kind if end.kind in ("timeout", "out_of_memory") else "failed"
    return {"status": status, "reason": end.reason}

"""The child process in which methods live: `python -m bench.runner.worker {fit,render,look} FOLDER`.

It knows its folder and nothing else: no data root in its environment, no way to import `datasets`, no truth on
its command line. It ends by writing `outcome.json` whole; without that file, its death is the outcome.

    fit      FOLDER/{request.json, capture.*}   ->  poses.json, field/, outcome.json (and the log)
    render   FOLDER/{request.json, views.npz}   ->  renders.npz, outcome.json
    look     FOLDER/{request.json, poses.npz}   ->  frames/00000.npz, ..., outcome.json
"""

from __future__ import annotations

import hashlib
import importlib.abc
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NoReturn

import numpy as np
import psutil

from bench.files import read_arrays, write_arrays
from bench.matrix.registry import MethodRef
from bench.record import write_json
from bench.runner import worker_io
from bench.task import Camera, Collapsed, DifferentiableField, Field, Fit, Image, Job, Method, RegisteringField

HEARTBEAT = 2.0  # seconds between updates of clock.json


class _NoTruth(importlib.abc.MetaPathFinder):
    """Methods may not import the scenes: those are regenerated from code, true poses included."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.partition(".")[0] == "datasets":
            raise ImportError("a method may not import `datasets`: it is judged on what its capture shows")


def _die_with_parent() -> None:
    """Follow the judge into death: our standard input is a pipe that it holds open for as long as it lives.

    The worker leads a process group of its own, so its children go too.
    """

    def watch() -> None:
        while os.read(0, 1):  # returns b"" once the other end is gone, however it went
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


class _Clock:
    """Wall seconds of a fit, those before a kill included, kept in clock.json by a heartbeat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.before = float(json.loads(path.read_text())["seconds"])
            self.sessions = 1 + int(json.loads(path.read_text())["sessions"])
        except (OSError, ValueError, KeyError):
            self.before, self.sessions = 0.0, 1
        self.start = time.monotonic()
        threading.Thread(target=self._beat, daemon=True, name="clock").start()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    def _beat(self) -> None:
        while True:
            write_json(self.path, {"seconds": self.seconds, "sessions": self.sessions})
            time.sleep(HEARTBEAT)


class _Log:
    """`job.log` -> log.jsonl (one line a call) and previews/*.png."""

    def __init__(self, path: Path, clock: _Clock) -> None:
        self.folder, self.clock = path.parent, clock
        self.file = path.open("a", buffering=1)

    def __call__(self, step: int, values: Mapping[str, float], images: Mapping[str, Image]) -> None:
        row = {"step": int(step), "seconds": round(self.clock.seconds, 3)}
        row |= {name: (v if np.isfinite(v) else None) for name, v in ((k, float(v)) for k, v in values.items())}
        self.file.write(json.dumps(row) + "\n")
        for name, image in images.items():
            from PIL import Image as Picture

            path = self.folder / "previews" / f"{name.replace('/', '_')}.{int(step):06d}.png"
            path.parent.mkdir(exist_ok=True)
            Picture.fromarray(np.asarray(image).squeeze()).save(path)


def _method(request: Mapping[str, Any]) -> Method:
    kind = MethodRef(**request["method"]).load()
    return kind(kind.Config.model_validate(request["config"]))


def _memory() -> dict[str, float]:
    import resource

    cost = {"peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        cost["peak_vram_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return cost


def fit(folder: Path) -> dict[str, Any]:
    began = time.monotonic() - (time.time() - psutil.Process().create_time())  # when the clock of the limit did
    request = worker_io.read_request(folder)
    clock = _Clock(folder / "clock.json")
    capture = worker_io.read_capture(folder)
    method = _method(request)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    job = Job(**request["job"], workdir=work, sink=_Log(Path(request["log"]), clock), began=began - clock.before)
    os.chdir(work)
    answer = method.fit(capture, job)
    seconds = clock.seconds
    _check(answer, set(capture.images))
    worker_io.write_fit(folder, answer)
    if answer.field is not None:
        draft = folder / "field.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        method.save(answer, draft)
        draft.replace(folder / "field")
    return {
        "status": "done",
        "seconds": seconds,
        "sessions": clock.sessions,
        "field": answer.field is not None,
        "sha256": _digests(folder),
    }


def render(folder: Path) -> dict[str, Any]:
    """Render the held-out views as aligned, as refined on the whole and on the left half of each image, and from where
    the method itself says that they were taken."""
    request = worker_io.read_request(folder)
    method = _method(request)
    field = method.load(Path(request["field"]), request["device"])
    if field is None:
        return {"status": "done", "absent": "the method saved no field"}
    views = read_arrays(folder / "views.npz")
    camera = Camera(**request["camera"])
    aligned = field.render(views["poses"], camera)
    arrays: dict[str, np.ndarray] = {"aligned": aligned.rgb, "depth": aligned.depth, "opacity": aligned.opacity}
    missing: dict[str, str] = {}
    if not request["is_refined"]:
        missing = dict.fromkeys(("refined", "half"), "refinement was not asked for")
    elif isinstance(field, DifferentiableField):
        from bench.judge.refine import refine

        halves: dict[str, Literal["all", "left"]] = {"refined": "all", "half": "left"}
        for stage, columns in halves.items():
            poses = refine(
                field, views["poses"], camera, views["images"],
                columns=columns, device=request["device"], **request["refine"],
            )  # fmt: skip
            arrays[stage] = field.render(poses, camera).rgb
            arrays[f"{stage}_poses"] = poses
    else:
        missing = dict.fromkeys(("refined", "half"), "the field carries no gradient to the pose")
    if isinstance(field, RegisteringField):
        poses = field.register(views["images"], camera, request["refine"]["seed"])
        arrays["registered"] = field.render(np.where(np.isfinite(poses), poses, views["poses"]), camera).rgb
        arrays["registered_poses"] = poses
    else:
        missing["registered"] = "the method does not register new images"
    write_arrays(folder / "renders.npz", arrays)
    return {"status": "done", "missing": missing}


def look(folder: Path) -> dict[str, Any]:
    """Render plain poses one by one, for a person to look at: each frame is a file as soon as it is there."""
    request = worker_io.read_request(folder)
    field = _method(request).load(Path(request["field"]), request["device"])
    if field is None:
        return {"status": "failed", "reason": "the method saved no field"}
    camera = Camera(**request["camera"])
    (folder / "frames").mkdir()
    for k, pose in enumerate(read_arrays(folder / "poses.npz")["poses"]):
        seen = field.render(pose[None], camera)
        rgb = (np.clip(np.nan_to_num(seen.rgb[0]), 0, 1) * 255 + 0.5).astype(np.uint8)
        write_arrays(
            folder / "frames" / f"{k:05d}.npz", {"rgb": rgb, "depth": seen.depth[0], "opacity": seen.opacity[0]}
        )
    return {"status": "done"}


def _check(answer: Fit, shown: set[Any]) -> None:
    """Refuse an answer that is not one, with a sentence for the method's author."""
    if not isinstance(answer, Fit):
        raise TypeError(f"fit must return bench.task.Fit, not {type(answer).__name__}")
    if not isinstance(answer.poses, Mapping):
        raise TypeError(
            f"fit returned poses as {type(answer.poses).__name__}: it must be a mapping of view ids to poses"
        )
    if strangers := sorted(set(answer.poses) - shown):
        raise ValueError(f"fit returned poses of views that it was not shown: {', '.join(strangers[:3])}")
    for view, pose in answer.poses.items():
        if np.shape(pose) != (4, 4):
            raise ValueError(f"fit returned a pose of shape {np.shape(pose)} for {view}: it must be (4, 4)")
    if not isinstance(answer.camera, Camera | None):
        raise TypeError(f"fit returned a camera of type {type(answer.camera).__name__}: it must be bench.task.Camera")
    if not isinstance(answer.field, Field | None):
        raise TypeError(
            f"fit returned a field of type {type(answer.field).__name__}, which has no render(poses, camera)"
        )
    for name, note in answer.notes.items():
        if not isinstance(note, str | int | float | np.generic):
            raise TypeError(f"fit returned a note {name!r} of type {type(note).__name__}: it must be text or a number")


def _digests(folder: Path) -> dict[str, str]:
    files = [folder / "poses.json", *sorted((folder / "field").rglob("*"))]
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def _is_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def main(verb: str, folder: Path) -> NoReturn:
    _die_with_parent()
    sys.meta_path.insert(0, _NoTruth())
    try:
        outcome = {"fit": fit, "render": render, "look": look}[verb](folder)
    except Collapsed as error:
        outcome = {"status": "collapsed", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row
        traceback.print_exc()
        status = "out_of_memory" if _is_memory(error) else "failed"
        text = " ".join(str(error).split())
        outcome = {"status": status, "reason": f"{type(error).__name__}: {text}"[:500]}
    write_json(folder / "outcome.json", outcome | {"memory": _memory()})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # native libraries may hang or crash in their exit handlers; all is written


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())

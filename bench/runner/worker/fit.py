"""A method's answer: from the capture in a worker's folder to poses, camera and a saved field."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import replacing
from bench.matrix.method_class import made
from bench.runner import worker_io
from bench.runner.worker.usage import Usage
from bench.task import Camera, DifferentiableField, Field, Fit, Image, Job, RasterisedField, RegisteringField

HEARTBEAT = 2.0  # seconds between updates of clock.json
PROMPT, TRIES = 0.005, 5  # seconds that a line of it may take to be written, and how often it is tried
PROGRESS_SECONDS = 1.0  # and of progress.json

LOUDEST = 1e3
"""dB, of a margin: images of 8 bits tell less than 50 apart."""


def fit(folder: Path) -> dict[str, Any]:
    """Run `method.fit` and save what it returns. A fit that was killed goes on in the same `out/work`."""
    began = _began()
    given, out = folder / "in", folder / "out"
    request = worker_io.read_request(folder)
    clock = _Clock(out / "clock.json", Usage(out / worker_io.USAGE))
    capture = worker_io.read_capture(given)
    method = made(request["method"], request["config"])
    work = out / "work"
    work.mkdir(exist_ok=True)
    place = _Place(out / worker_io.PROGRESS)
    job = Job(
        **request["job"], workdir=work, sink=_Log(out / worker_io.LOG, clock), place=place, began=began - clock.before
    )
    os.chdir(work)
    answer = method.fit(capture, job)
    seconds = clock.seconds
    _check(answer, set(capture.images))
    worker_io.write_fit(out, answer)
    if answer.field is not None:
        draft = out / "field.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        method.save(answer, draft)
        shutil.rmtree(out / "field", ignore_errors=True)  # of an attempt that was killed here
        draft.replace(out / "field")
    return {
        "status": "done",
        "seconds": seconds,
        "sessions": clock.sessions,
        "progress": place.written > 0,
        "phases": place.phases,
        "field": answer.field is not None,
        "differentiable": isinstance(answer.field, DifferentiableField | RasterisedField),
        "registers": isinstance(answer.field, RegisteringField),
    }


def _began() -> float:
    """When the clock of the limit did, on that of `time.monotonic`: with this process, as nearly as can be told."""
    try:
        import psutil
    except ImportError:  # in an environment of a method's own
        return time.monotonic()
    return time.monotonic() - (time.time() - psutil.Process().create_time())


class _Clock:
    """Wall seconds of a fit, those before a kill included, kept in clock.json by a heartbeat, and what it uses."""

    def __init__(self, path: Path, usage: Usage) -> None:
        self.path, self.usage = path, usage
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

    def _write(self) -> None:
        """With the time that its file says it was written at: `fit_clock.wind_back` takes the one for the other, and
        would set a fit back behind its last checkpoint if this thread had to wait between the two."""
        with replacing(self.path, durable=True) as draft:
            for _ in range(TRIES):
                seconds = self.seconds
                draft.write_text(
                    json.dumps({"seconds": seconds, "before": self.before, "sessions": self.sessions}) + "\n"
                )
                if self.seconds - seconds < PROMPT:
                    break

    def _beat(self) -> None:
        while True:
            self._write()
            with contextlib.suppress(Exception):  # the clock goes on without
                self.usage(self.seconds)
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
            try:
                from PIL import Image as Picture
            except ImportError:  # an environment of a method's own has it or not
                return
            path = self.folder / "previews" / f"{name.replace('/', '_')}.{int(step):06d}.png"
            path.parent.mkdir(exist_ok=True)
            Picture.fromarray(np.asarray(image).squeeze()).save(path)


class _Place:
    """`job.progress` -> progress.json, once a second and at the beginning of a phase; and what each phase took."""

    def __init__(self, path: Path) -> None:
        self.path, self.phase, self.written = path, "", 0.0
        self.phases: dict[str, dict[str, float]] = {}
        """Steps and wall seconds of each phase, from its first word to the next one's first, or to the last of all: a
        step is what passes between two words. What came before a kill is not in it."""
        self._last: tuple[str, float] | None = None
        path.unlink(missing_ok=True)  # of an attempt that was killed

    def __call__(self, phase: str, step: int, steps: int) -> None:
        now = time.monotonic()
        self._count(str(phase), now)
        if phase != self.phase or now - self.written >= PROGRESS_SECONDS:
            self.phase, self.written = phase, now
            with replacing(self.path) as draft:
                draft.write_text(json.dumps({"phase": str(phase), "step": int(step), "steps": int(steps)}))

    def _count(self, phase: str, now: float) -> None:
        """What has passed since the last word belongs to the phase that was named then."""
        last, self._last = self._last, (phase, now)
        if last is None or not (last[0] in self.phases or len(self.phases) < worker_io.PHASES):
            return
        spent = self.phases.setdefault(last[0], {"steps": 0, "seconds": 0.0})
        spent["steps"] += 1
        spent["seconds"] = round(spent["seconds"] + now - last[1], 6)


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
    if not all(isinstance(flag, str) for flag in answer.flags):
        raise TypeError("fit returned flags that are not text")
    for name, note in answer.notes.items():
        if not isinstance(note, str | int | float | np.generic):
            raise TypeError(f"fit returned a note {name!r} of type {type(note).__name__}: it must be text or a number")
    _check_margins(answer)


def _check_margins(answer: Fit) -> None:
    """As `_check`, of what it says of its own poses."""
    if not isinstance(answer.margins, Mapping):
        kind = type(answer.margins).__name__
        raise TypeError(f"fit returned margins as {kind}: it must be a mapping of view ids to decibels")
    if strangers := sorted(set(answer.margins) - set(answer.poses)):
        raise ValueError(f"fit returned margins of views that have no pose: {', '.join(strangers[:3])}")
    for view, margin in answer.margins.items():
        number = isinstance(margin, int | float | np.integer | np.floating) and not isinstance(margin, bool)
        if not number or not abs(margin) <= LOUDEST:
            said = f"{margin!r}"[:40]
            raise ValueError(
                f"fit returned a margin of {said} for {view}: it must be a number of decibels, at most {LOUDEST:g}"
            )

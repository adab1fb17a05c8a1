"""What every training loop does besides training: log curves, keep checkpoints, go on after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.files import replacing
from bench.task import Camera, Image, Job
from methods.nerf.field.base import SharedField

CHECKPOINT_SECONDS = 20.0
LOG_SECONDS = 1.0
PREVIEW_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Checkpoints:
    """The clock, the curves and the checkpoint file of one fit.

    A checkpoint is one safetensors file with its description in the header, replaced whole. It is used again only for
    the same `key`, as what was asked for must not have changed in between, and only where it is what was written.
    """

    def __init__(self, job: Job, name: str, key: Mapping[str, Any]) -> None:
        self.job = job
        self.path = job.checkpoints / f"{name}.safetensors"
        self.key = json.dumps(key, sort_keys=True)
        self.before = 0.0  # seconds spent before a kill
        self.start = self.saved = self.shown = time.monotonic()
        self.writing = 0.0  # seconds that the last checkpoint took: never more than a twentieth of the time
        self.rendering = 0.0  # and the last preview
        self.logged = -LOG_SECONDS

    @property
    def seconds(self) -> float:
        """Training time so far, earlier tries included."""
        return self.before + time.monotonic() - self.start

    def log_due(self, *, force: bool = False) -> bool:
        """Whether it is time for a point of the curves: at most one a second, or as `force` has it."""
        return force or self.seconds - self.logged >= LOG_SECONDS

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A point of the curves."""
        self.logged = self.seconds
        self.job.log(step, {**values, "seconds": self.seconds})

    def preview_due(self) -> bool:
        """Whether it is time for a picture, for whoever waits."""
        return time.monotonic() - self.shown >= max(PREVIEW_SECONDS, 20 * self.rendering)

    def show(self, step: int, images: Callable[[], dict[str, Image]]) -> None:
        """Log what `images` renders."""
        start = time.monotonic()
        self.job.log(step, {}, images())
        self.shown = time.monotonic()
        self.rendering = self.shown - start

    def save_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        since = time.monotonic() - self.saved
        return since >= CHECKPOINT_SECONDS and self.is_worth(since)

    def is_worth(self, seconds: float) -> bool:
        """Whether work of so many `seconds` takes long beside writing a checkpoint."""
        return seconds >= 20 * self.writing

    def save(self, step: int, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint: after `step` steps, `state` (JSON) and `tensors` are all there is."""
        start = time.monotonic()
        header = {"key": self.key, "state": json.dumps({**state, "step": step, "seconds": self.seconds})}
        held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with replacing(self.path) as draft:
            save_file(held, draft, {**header, "sha256": _digest(header["state"], held)})
        self.saved = time.monotonic()
        self.writing = self.saved - start

    def resume(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """State (with its "step") and tensors of the last checkpoint; None where there is none that fits.

        One that is not what was written is named, and the fit begins anew.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata()
                if header["key"] != self.key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            if header["sha256"] != _digest(header["state"], tensors):
                raise ValueError("it was changed after it was written")
            state = json.loads(header["state"])
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            _log.warning("checkpoint %s: %s; the fit begins anew", self.path.name, error)
            return None
        self.before = state["seconds"]
        return state, tensors

    def clear(self) -> None:
        """The fit is complete: its checkpoint is of no more use."""
        self.path.unlink(missing_ok=True)


def _digest(state: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256(state.encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step: known from seed and step alone, so that a resumed fit draws as an unbroken one."""
    word = np.random.SeedSequence([seed & 0xFFFFFFFF, step + 1]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word >> np.uint64(1)))


def psnr(mse: float) -> float:
    """dB, for colours in [0, 1]."""
    return float(-10 * np.log10(max(mse, 1e-12)))


def preview(field: SharedField, pose: Tensor, camera: Camera, side: int = 100) -> dict[str, Image]:
    """What the field looks like from a pose (1, 4, 4), for the log."""
    scale = side / max(camera.width, camera.height)
    small = camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
    rgb = field.render(pose.detach().double().cpu().numpy(), small).rgb[0]
    return {"preview": (rgb * 255 + 0.5).astype(np.uint8)}

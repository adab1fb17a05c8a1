"""One step on a device, for whoever asks whether it can be computed on: what `unposed doctor` has each device do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from bench.runner import worker_io

GB = 2**30


def step(folder: Path) -> dict[str, Any]:
    """What the function of the request (`module:name`, which takes a device) says of its steps; and of a GPU its own
    name, and its memory in GB of 2^30 bytes, free before it."""
    request = worker_io.read_request(folder)
    device, (module, _, name) = request["device"], request["step"].partition(":")
    card: dict[str, Any] = {}
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        card = {"card": torch.cuda.get_device_name(), "free_gb": free / GB, "total_gb": total / GB}
    return {"status": "done", **card, **getattr(importlib.import_module(module), name)(device)}

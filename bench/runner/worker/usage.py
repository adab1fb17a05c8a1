"""What a fit uses of the machine while it runs, for MLflow's system metrics."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

MB = 2**20


class Usage:
    """Appends a line to a log at each call: memory and processor time of this process and those below it, and what
    torch holds of the GPU. Nothing where there is no psutil, as in an environment of a method's own."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a", buffering=1)
        self.last: tuple[float, float] | None = None  # seconds of wall time, and of processor time

    def __call__(self, seconds: float) -> None:
        """`seconds` are those of the fit so far."""
        try:
            import psutil
        except ImportError:
            return
        memory, busy = 0, 0.0
        own = psutil.Process()
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                busy += times.user + times.system + times.children_user + times.children_system
                memory += process.memory_info().rss
        row: dict[str, Any] = {"step": int(seconds), "seconds": round(seconds, 1), "memory_mb": round(memory / MB)}
        if self.last is not None and seconds > self.last[0]:
            share = (busy - self.last[1]) / (seconds - self.last[0])
            row["cpu_percent"] = round(100 * max(0.0, share))  # 100: one core, all the time
        self.last = seconds, busy
        torch = sys.modules.get("torch")
        if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
            row["gpu_memory_mb"] = round(torch.cuda.memory_reserved() / MB)
        self.file.write(json.dumps(row) + "\n")

"""What a method says of itself under given options, for a judge that never imports it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cell import split_label
from bench.matrix import method_class
from bench.matrix.method_config import whole
from bench.matrix.method_ref import MethodRef
from bench.matrix.names import BrokenMethod, UnknownName
from bench.matrix.option_docs import numbers, options
from bench.runner import worker_io


def describe(folder: Path) -> dict[str, Any]:
    """Name, version, summary, paper, traits, whole config, options and figures (see MethodDescription)."""
    request = worker_io.read_request(folder)
    name, chosen = split_label(request["label"])
    ref = MethodRef(**request["method"])
    try:
        kind = method_class.checked(ref, name)
        method = method_class.configured(kind, name, chosen)
        config = getattr(method, "config", None) if getattr(kind, "Config", None) else None
    except (UnknownName, BrokenMethod, ValueError) as error:
        return {"status": "failed", "kind": type(error).__name__, "reason": str(error)}
    return {
        "status": "done",
        "description": {
            "name": method.name, "version": method.version, "summary": method.summary,
            "paper": getattr(method, "paper", ""), "traits": asdict(method.traits),
            "config": whole(config),
            "options": [option._asdict() for option in options(getattr(kind, "Config", None), config)],
            "numbers": numbers(kind),
            "weights": [str(each) for each in getattr(method, "weights", ())] if ref.is_shipped else [],
            "pretrained_poses": bool(getattr(method, "pretrained_poses", False)),
        },
    }  # fmt: skip

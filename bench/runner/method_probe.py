"""Ask a method what it is: in a worker, behind the wall, for what is imported can change all that is in its process.

What it said is kept for as long as none of its files changes, so that `list` and `plan` start no worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.matrix.code_digest import TREE
from bench.matrix.interpreter import interpreter
from bench.matrix.method_ref import MethodDescription, MethodRef, described
from bench.matrix.names import BrokenMethod, UnknownName
from bench.matrix.sources import environment_of
from bench.record import read_json, write_json
from bench.runner.executors.base import Code, Executor, Request

LIMIT = 60.0  # seconds
TRIES = 3  # of a worker that is killed
RAISED: dict[str, type[ValueError]] = {"UnknownName": UnknownName, "BrokenMethod": BrokenMethod}


def code_of(ref: MethodRef) -> Code:
    """Where a worker finds a method's code."""
    other = interpreter(ref.python) if ref.python else None
    if other and ref.is_elsewhere:
        return Code(places=tuple(ref.places()), interpreter=other)
    called = other.places if other else ()
    places = (*ref.places(), *called, *map(Path, ref.shown))
    return Code(places=places, shipped=ref.is_shipped, kernels=ref.uses_kernels)


def describe(ref: MethodRef, name: str, label: str) -> MethodDescription:
    """What the method `name` says of itself under the options of `label`.

    Raises UnknownName and ValueError for its options, BrokenMethod where it cannot be imported or is no method.
    """
    there = environment_of(ref) if ref.is_elsewhere else {}
    kept = folder() / f"{_digest([asdict(ref), there, label, platform.python_version(), str(TREE)])}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if (earlier := read_json(kept))["files"] == _state(earlier["files"]):
            return described(earlier["description"])
    try:
        state = _state(map(str, ref.files()))
    except (ImportError, OSError, SyntaxError) as error:
        raise BrokenMethod(f"method {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    raw = _asked(ref, name, label)
    try:
        found = described(raw)
    except (TypeError, KeyError, ValueError) as error:
        raise BrokenMethod(f"method {name!r} says nothing that can be read of itself: {error}") from error
    with contextlib.suppress(OSError):
        write_json(kept, {"files": state, "description": raw})
    return found


def folder() -> Path:
    """Where descriptions are kept: beside the caches of scenes, which no worker sees."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("UNPOSED_CACHE") or caches / "unposed").expanduser() / "methods"


def _asked(ref: MethodRef, name: str, label: str) -> dict[str, Any]:
    from bench.runner import worker_io  # numpy, and more: not needed where nothing has changed

    answer: dict[str, Any] | None = None
    for tries in range(1, TRIES + 1):
        with tempfile.TemporaryDirectory(prefix="unposed-") as place:
            scratch = Path(place)
            worker_io.write_request(scratch, {"method": asdict(ref), "label": label})
            end = _executor().run(Request(verb="describe", folder=scratch, code=code_of(ref), limit=LIMIT))
            answer = worker_io.read_outcome(scratch)
        if answer is not None:
            break
        if end.kind != "signal" or tries == TRIES:
            raise BrokenMethod(f"method {name!r} cannot be imported: {end.reason}")
    assert answer is not None
    if answer["status"] != "done":
        kind = RAISED.get(answer.get("kind", ""), ValueError)
        raise kind(answer["reason"] + _remedy(ref, answer["reason"]))
    return answer["description"]


def _remedy(ref: MethodRef, reason: str) -> str:
    """The end of a refusal where a method's other environment lacks a package."""
    missing = re.search(r"No module named '(\w+)", reason)
    if not (missing and ref.is_elsewhere):
        return ""
    instead = ", or make its Config a frozen dataclass" if missing[1] == "pydantic" else ""
    return f"; {ref.python} -m pip install {missing[1]} brings it{instead}"


@lru_cache(maxsize=1)
def _executor() -> Executor:
    from bench.runner.executors.local import LocalExecutor

    return LocalExecutor(threads=1)


def _state(files: Iterable[str]) -> dict[str, list[int]]:
    """The files that a description rests on, with what shows a change of them. Raises OSError where one is gone."""
    found = {file: Path(file).stat() for file in files}
    return {file: [state.st_mtime_ns, state.st_size] for file, state in found.items()}


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

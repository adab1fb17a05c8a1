"""`python -m bench.runner.worker VERB FOLDER`: read FOLDER/in, do as asked with the method, fill FOLDER/out.

It ends by writing `out/outcome.json` whole; without that file, the way in which the process ended is the outcome.

    describe  in/request.json                          ->  outcome.json: name, version, traits, config, options
    fit       in/{request.json, capture.*}             ->  poses.json, field/, log.jsonl, previews/, work/
    refine    in/{request.json, views.npz, field/}     ->  poses.npz: held-out poses refined on their images
    find      in/{request.json, views.npz, field/}     ->  poses.npz: held-out poses looked for on their left halves
    register  in/{request.json, views.npz, field/}     ->  poses.npz: where the method says that images were taken
    render    in/{request.json, views.npz, field/}     ->  renders.npz: poses in, images out
    path      in/{request.json, views.npz, field/}     ->  frames/00000.npz, ...
    examine, examine_field                             ->  outcome.json: clauses of the contract, and their faults
    step      in/request.json                          ->  outcome.json: how long a step takes on a device

Images of held-out views and their renders are never in one process: what has seen them answers with poses alone, and
what renders is shown none.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from bench.record import write_json
from bench.runner.worker import clauses, describe, fields, fit, memory, step
from bench.task import Collapsed

VERBS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "describe": describe.describe, "fit": fit.fit, "refine": fields.refine, "find": fields.find,
    "register": fields.register, "render": fields.render, "path": fields.path,
    "examine": clauses.examine, "examine_field": clauses.examine_field, "step": step.step,
}  # fmt: skip


ELSEWHERE = not Path(__file__).with_name("__init__.py").read_text()
"""Whether this is the copy for another interpreter (bench.runner.executors.elsewhere), whose packages say nothing."""


class _NoTruth(importlib.abc.MetaPathFinder):
    """A plain word to whoever imports the scenes by mistake; what keeps a method from them is the wall."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.partition(".")[0] == "datasets" and (not ELSEWHERE or any(map(_holds_scenes, sys.path))):
            raise ImportError("a method may not import `datasets`: it is judged on what its capture shows")


def _holds_scenes(entry: str) -> bool:
    """Whether, in another environment, `datasets` is this project's, hidden or not: others are called so too."""
    judge = Path(entry, "bench", "judge")
    is_ours = judge.parent.is_dir() and (not os.access(judge.parent, os.R_OK) or judge.is_dir())
    return is_ours and Path(entry, "datasets").is_dir()


class _TaskAlone(importlib.abc.MetaPathFinder):
    """A plain word to whoever imports, in another environment, what nobody has there."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.partition(".")[0] in ("bench", "methods"):
            raise ImportError(f"`{fullname}` is not in the method's own environment: of Unposed, only bench.task is")


def main(verb: str, folder: Path) -> NoReturn:
    sys.meta_path.insert(0, _NoTruth())
    if ELSEWHERE:
        sys.meta_path.append(_TaskAlone())
    failure: BaseException | None = None
    try:
        outcome = VERBS[verb](folder)
    except Collapsed as error:
        outcome = {"status": "collapsed", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a row
        traceback.print_exc()
        failure = error
        status = "out_of_memory" if memory.is_lack(error) else "failed"
        text = " ".join(str(error).split())
        outcome = {"status": status, "reason": memory.lack_of_gpu(error) or f"{type(error).__name__}: {text}"[:500]}
    write_json(folder / "out" / "outcome.json", outcome | {"memory": memory.used(failure)})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # native libraries may hang or crash in their exit handlers; all is written


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())

"""What of this project a worker under another interpreter has: the task module, and what runs a worker. numpy alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.matrix.code_digest import TREE

WORKER = "unposed"
"""What the folder is called, beside a worker's `in` and `out`: run as a program, it is the worker."""

TASK = ("task", "accelerator", "camera", "field", "geometry", "files")
RUNS = (
    "cell", "credentials", "json_files", "per_view", "record", "regime", "stated_prior", "geometry_torch",
    "judge/refine", "matrix/code_digest", "matrix/method_class", "matrix/method_config", "matrix/method_ref",
    "matrix/names", "matrix/option_docs", "runner/worker_io", "runner/worker/__main__", "runner/worker/clauses",
    "runner/worker/describe", "runner/worker/fields", "runner/worker/fit", "runner/worker/memory", "runner/worker/step",
    "runner/worker/usage",
)  # fmt: skip

MAIN = """import sys
from pathlib import Path

from bench.runner.worker.__main__ import main

main(sys.argv[1], Path(sys.argv[2]).resolve())
"""
PUBLIC = "from bench.task import *  # noqa: F403 - all that the public module has for a method\n"


def lay_out(folder: Path) -> Path:
    """A fresh copy of these modules in `folder`, whose name is returned."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in (*TASK, *RUNS):
        target = folder / "bench" / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / "bench" / f"{name}.py", target)
    for package in (folder / "bench", *(path for path in (folder / "bench").rglob("*") if path.is_dir())):
        (package / "__init__.py").touch()
    (folder / "__main__.py").write_text(MAIN)
    (folder / "unposed.py").write_text(PUBLIC)
    return folder

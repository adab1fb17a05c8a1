"""Environments of their own for methods: venvs with a numpy that says another version."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.matrix.plan import plan
from bench.matrix.selection import Selection

PLUGINS = Path(__file__).parents[2] / "plugins"
ELSEWHERE, SCRIPTED, SPY = (str(PLUGINS / f"{name}.py") for name in ("elsewhere", "scripted", "spy"))
ANOTHER = "0.0.7"


def environment(folder: Path, with_numpy: bool = True) -> str:
    """The python of a fresh venv; its numpy is a copy of ours that says another version."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    if with_numpy:
        home = Path(np.__file__).parent
        (packages,) = folder.glob("lib/python*/site-packages")
        shutil.copytree(home, packages / "numpy", ignore=shutil.ignore_patterns("tests", "__pycache__", "*.pyi", "*.a"))
        if (libraries := home.with_name("numpy.libs")).is_dir():
            shutil.copytree(libraries, packages / "numpy.libs")
        (packages / "numpy" / "version.py").write_text(
            f'version = __version__ = full_version = "{ANOTHER}"\ngit_revision = short_version = ""\nrelease = True\n'
        )
    return str(python)


def cells(method, **options):
    return plan(Selection(scenes="blocks", methods=method, effort="smoke", **options))

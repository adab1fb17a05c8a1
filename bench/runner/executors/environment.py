"""What of the judge's environment a worker inherits: a list of names, and nothing beside it.

Tokens, tracking stores, data roots and caches of scenes stay behind, whatever they are called. UNPOSED_PASS_ENV names
further variables, with commas, where a method needs one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.matrix.code_digest import TREE

NAMES = frozenset({
    "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "LANGUAGE", "TZ", "CONDA_PREFIX", "VIRTUAL_ENV",
    "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONWARNINGS", "PYTHONMALLOC", "PYTHONFAULTHANDLER", "MALLOC_ARENA_MAX",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "QT_QPA_PLATFORM", "CC", "CXX",
})  # fmt: skip
FAMILIES = (
    "LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMBA_", "NUMEXPR_", "TORCH", "PYTORCH_", "CUDA_",
    "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "TRITON_", "HIP_", "HSA_", "ROCM_", "ROCR_", "XLA_", "JAX_", "EGL_",
)  # fmt: skip
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY", re.IGNORECASE)
"""Never passed for its family's sake."""

COMPILED = ("NUMBA_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
"""Folders of compiled code. A worker has its own, unless a person names one: that one it shares, and may write."""

SPINS = "10000"
"""Turns for which a thread of OpenMP waits awake for the others, some tens of microseconds. The default is thirty times
as many: on a machine that is busy with something else, threads would mostly wait for one another at full speed."""

USER = "unposed"

OF_THIS = ("VIRTUAL_ENV", "CONDA_PREFIX")
"""What is said of this environment, and is untrue of another."""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that reaches a worker."""
    asked = {name.strip() for name in environ.get("UNPOSED_PASS_ENV", "").split(",")}
    return {
        name: value
        for name, value in environ.items()
        if name in NAMES or name in asked or (name.startswith(FAMILIES) and not SECRET.search(name))
    }


def environment(
    threads: int, *, home: Path | str | None = None, temporary: Path | str | None = None, python: str | None = None
) -> dict[str, str]:
    """A worker's: what it inherits, its share of CPU threads, where this project's modules are, and its own places.

    Programs beside the interpreter come before all others: torch calls `ninja` by name, which an environment that was
    never activated has and PATH has not. Under another interpreter, `python`, nothing says where modules are.
    """
    shares = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    given = [str(path) for path in python_path()]
    places = {"HOME": str(home)} if home else {}
    places |= {"TMPDIR": str(temporary)} if temporary else {}
    modules = {"PYTHONPATH": os.pathsep.join([str(TREE), *given]), "PYTHONUNBUFFERED": "1"}
    named = {"USER": USER, "LOGNAME": USER}
    made = {"GOMP_SPINCOUNT": SPINS} | inherited(os.environ) | shares | named | places
    programs = str(Path(python or sys.executable).parent)
    path = os.pathsep.join(filter(None, [programs, made.get("PATH", "")]))
    if python is None:
        return made | modules | {"PATH": path}
    own = {name: value for name, value in made.items() if not name.startswith("PYTHON") and name not in OF_THIS}
    return own | {"PYTHONUNBUFFERED": "1", "PATH": path}


def python_path() -> list[Path]:
    """Folders that the judge's PYTHONPATH names."""
    return [Path(part).resolve() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def shared_folders() -> list[Path]:
    """Folders of compiled code that a person named: shared between workers, and writable."""
    return [Path(os.environ[name]).expanduser() for name in COMPILED if os.environ.get(name)]

"""What all tests share: where real inputs are, and the small scene that most of them use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as workers have it; read when torch is imported


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real inputs: UNPOSED_DATA, or ../shared/data beside the project; skips where there is none."""
    candidates = [Path(os.environ["UNPOSED_DATA"])] if os.environ.get("UNPOSED_DATA") else []
    candidates.append(ROOT.parent / "shared" / "data")
    for folder in candidates:
        if (folder / "nerf_synthetic").is_dir():
            return folder
    pytest.skip("needs real inputs: set UNPOSED_DATA to a folder that holds nerf_synthetic/")


@pytest.fixture(autouse=True)
def no_earlier_times(monkeypatch):
    """What other runs on this machine took is no part of a test."""
    monkeypatch.setenv("UNPOSED_TIMES", "")


@pytest.fixture(scope="module")
def one_thread():
    """Tensors of a few hundred numbers only wait for a second thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def unposed(monkeypatch):
    """Call `unposed ...` in this process: exit code and all that was printed."""
    from click.testing import CliRunner

    from bench.cli import main

    monkeypatch.delenv("UNPOSED_DATA", raising=False)
    monkeypatch.chdir(ROOT)

    def call(*arguments):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return call

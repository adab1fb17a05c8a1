"""A cell whose GPU is full is a row with the amount, and the next one runs."""

import pytest
import torch
from scripted_cells import execute, make_plan

from bench.runner.worker.memory import is_lack, lack_of_gpu

TOLD = "out of GPU memory: 2.00 GiB asked for, 1.06 GiB of 79.11 GiB free, 78.04 GiB held by this cell"


def test_a_fit_that_fills_the_gpu_is_out_of_memory_and_the_next_cell_runs(tmp_path):
    (full, shown, fine), *_ = execute(tmp_path, make_plan("full_gpu", "load_full_gpu", "answer"))
    assert (full.status, full.stage, full.reason) == ("out_of_memory", "fit", TOLD)
    assert (shown.status, shown.stage) == ("done", "judge")
    assert shown.reason == f"rendering the held-out views failed: {TOLD}"
    assert (fine.status, fine.stage) == ("done", None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError(
                "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity; 5.88 GiB already "
                "allocated; 11.44 MiB free; 6.12 GiB reserved in total by PyTorch)"
            ),
            "out of GPU memory: 20.00 MiB asked for, 11.44 MiB of 7.79 GiB free, 5.88 GiB held by this cell",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
            "out of GPU memory: CUDA error: out of memory CUDA kernel errors might be asynchronously reported",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "out of GPU memory: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ),
    ],
)
def test_what_older_versions_drivers_and_libraries_say_is_understood(error, told):
    assert is_lack(error)
    assert lack_of_gpu(error) == told


def test_a_message_without_amounts_says_what_torch_had(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 3 * 2**29)
    told = lack_of_gpu(RuntimeError("CUDA error: out of memory"))
    assert told == "out of GPU memory: 1.50 GiB held by this cell at most"


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_what_is_no_full_gpu_is_not_called_one(error, lacks):
    assert is_lack(error) == lacks
    assert lack_of_gpu(error) is None

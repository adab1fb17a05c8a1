"""Many items done by processes are what few done here are."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from reports import parallel


@pytest.mark.parametrize("count", [0, 1, 7, parallel.FEW, 3 * parallel.FEW + 1])
def test_every_item_is_done_once_and_in_order(count):
    offset = 10
    assert list(parallel.each(lambda k: k + offset, range(count))) == [k + offset for k in range(count)]


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to fork for")
def test_few_items_that_stand_for_many_cells_are_done_by_other_processes():
    assert os.getpid() not in set(parallel.each(lambda _: os.getpid(), range(4), cells=parallel.FEW))
    assert set(parallel.each(lambda _: os.getpid(), range(4), cells=4)) == {os.getpid()}


@pytest.mark.parametrize("count", [4, parallel.FEW])
def test_what_the_work_raises_is_raised(count):
    def work(k):
        if k == 3:
            raise ValueError("the fourth")
        return k

    with pytest.raises(ValueError, match="the fourth"):
        list(parallel.each(work, range(count)))


def test_a_process_that_is_killed_ends_the_work_with_an_error():
    def work(k):
        if k == parallel.FEW - 1:
            os.kill(os.getpid(), 9)
        return k

    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs to fork for")
    with pytest.raises(OSError, match="killed"):
        list(parallel.each(work, range(parallel.FEW)))


class OddError(Exception):
    """One that is made of two words, and so is not made again of the one that it says."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def test_an_exception_that_cannot_be_sent_is_told_by_its_text():
    class LocalError(Exception):
        """One that no other process knows."""

    def work(k):
        if k == 3:
            raise OddError("the", "fourth")
        return k

    def other(k):
        raise LocalError("the first")

    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs to fork for")
    with pytest.raises(RuntimeError, match="OddError: the fourth"):
        list(parallel.each(work, range(parallel.FEW)))
    with pytest.raises(RuntimeError, match="LocalError: the first"):
        list(parallel.each(other, range(parallel.FEW)))
    with pytest.raises(OddError, match="the fourth"):
        list(parallel.each(work, range(parallel.FEW), cells=4))


ENDLESS = """
import time
from reports import parallel
for _ in parallel.each(lambda k: time.sleep(0.05), range(100 * parallel.FEW)):
    print("one", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to fork for")
def test_processes_end_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
    assert children
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive

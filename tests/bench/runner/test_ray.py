"""Workers on a Ray cluster of several nodes, all on this machine: the same results, and nothing lost with a node."""

import contextlib
import itertools
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from scripted_cells import execute, make_plan

from bench.matrix.grants import read_grant
from bench.record import read_log
from bench.runner.executors.base import Code, Request, Share
from bench.runner.executors.ray_executor import RayExecutor, _run, fits, packed, unpack

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 - Ray spells it so; for a busy machine
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes(timeout=300)
    yield made
    ray.shutdown()
    made.shutdown()
    del os.environ["RAY_raylet_start_wait_time_s"]  # noqa: SIM112


def numbers(results):
    """What must not hang on where a cell ran."""
    return {result.cell.id: (result.outcome, dict(result.metrics)) for result in results}


def test_a_matrix_on_one_two_and_four_nodes_gives_the_table_of_this_machine(cluster, tmp_path):
    plan = make_plan("answer", "partial", "raise", "collapse")
    here, *_ = execute(tmp_path / "here", plan, threads_asked=1)
    for nodes in (1, 2, 4):
        while len(cluster.worker_nodes) < nodes:
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes(timeout=300)
        there, *_ = execute(
            tmp_path / f"{nodes}", plan, executor="ray", address=cluster.address, threads_asked=1, workers=nodes
        )  # fmt: skip
        assert numbers(here) == numbers(there)
        assert {result.outcome for result in there} >= {"solved", "failed", "collapsed"}
        assert all("machine" in result.notes for result in there if result.status == "done")


def test_each_method_is_placed_by_what_it_is_granted(cluster, tmp_path):
    """Nodes have one CPU each: what is granted two waits for the node that has two."""
    cluster.add_node(num_cpus=2, resources={"two": 1.0})
    cluster.wait_for_nodes(timeout=300)
    grants = (read_grant("scripted[behaviour=answer]@smoke: threads=2, memory=1"),)
    granted, other = execute(
        tmp_path, make_plan("answer", "partial"), executor="ray", address=cluster.address, threads_asked=1, workers=2,
        grants=grants,
    )[0]  # fmt: skip
    assert (granted.status, granted.threads) == ("done", 2), granted.reason
    assert (other.status, other.threads) == ("done", 1), other.reason
    with pytest.raises(ValueError, match=r"could ever grant a fit 64 CPU"):
        execute(
            tmp_path / "refused", make_plan("answer"), executor="ray", address=cluster.address, threads_asked=1,
            grants=(read_grant("scripted: threads=64"),),
        )  # fmt: skip
    assert not (tmp_path / "refused").exists()


def test_what_no_cell_would_be_granted_is_not_asked_of_the_cluster(cluster, tmp_path):
    """The share of cells without a grant, where all have one, and that of cells which are skipped."""
    grants = (read_grant("scripted: threads=1"), read_grant("poses: threads=64"))
    made = make_plan("answer")
    skipped = replace(made.cells[0], skip="told to", cell=replace(made.cells[0].cell, method="poses"))
    made = replace(made, cells=(*made.cells, skipped))
    (result, other), *_ = execute(
        tmp_path, made, executor="ray", address=cluster.address, threads_asked=64, grants=grants
    )
    assert (result.status, result.threads, other.status) == ("done", 1, "skipped"), result.reason


def test_what_no_node_could_grant_is_refused_at_once(cluster):
    with pytest.raises(ValueError, match=r"no node could ever grant a fit 64 CPU; the cluster has .*1 CPU"):
        RayExecutor(Share(threads=64), address=cluster.address)
    with pytest.raises(ValueError, match=r"1 CPU, 1 GPU"):
        RayExecutor(Share(threads=1, gpus=1), address=cluster.address)
    with pytest.raises(ValueError, match=r"no node could ever grant a fit 32 CPU; the cluster has"):
        RayExecutor(Share(threads=1), address=cluster.address, shares=[Share(threads=1), Share(threads=32)])
    assert fits({"CPU": 1, "GPU": 0.5}, {"CPU": 4, "GPU": 1})


def test_a_node_that_does_not_see_the_folder_is_sent_it_and_sends_back_what_was_made(tmp_path):
    folder, field = tmp_path / "scratch", tmp_path / "field"
    for place in (folder / "in", folder / "out" / "work", field):
        place.mkdir(parents=True)
    (folder / "in" / "request.json").write_text("{}")
    (folder / "in" / "link").symlink_to("/etc/passwd")
    (folder / "out" / "work" / "step").write_text("3")
    (field / "grid").write_bytes(b"1234")
    request = Request(verb="fit", folder=folder, code=Code(), limit=60, inputs={"field": field})
    unpack(packed(request), tmp_path / "there")
    there = [
        path.relative_to(tmp_path / "there").as_posix() for path in (tmp_path / "there").rglob("*") if path.is_file()
    ]
    assert sorted(there) == ["in/request.json", "inputs/field/grid", "out/work/step"]
    end, made = _run(request, Share(threads=1), (), "of another machine", packed(request))
    assert end["kind"] == "exit"
    unpack(made, tmp_path / "back")
    assert (tmp_path / "back" / "out" / "work" / "step").read_text() == "3"
    assert "capture.json" in (tmp_path / "back" / "out" / "outcome.json").read_text()  # none was sent
    assert not list(Path("/var/tmp").glob("unposed-*/in/request.json"))


def test_a_fit_goes_on_after_the_death_of_its_node(cluster, tmp_path):
    """The last test of the cluster, which has one node less then."""

    def doom():
        while not (found := [node for node in cluster.worker_nodes if is_at_work(node)]):
            time.sleep(0.2)
        time.sleep(1)
        cluster.remove_node(found[0], allow_graceful=False)

    doomed = threading.Thread(target=doom, daemon=True)
    doomed.start()
    (result,), *_ = execute(
        tmp_path, make_plan("slow_steps"), executor="ray", address=cluster.address, threads_asked=1
    )  # fmt: skip
    assert (result.outcome, result.notes["attempts"]) == ("solved", 2), result.reason
    (folder,) = [path.parent for path in tmp_path.rglob("result.json")]
    assert {row["step"] for row in read_log(folder) if "psnr" not in row} == set(range(10))


def is_at_work(node):
    """Whether a worker of a fit runs below one of a node's processes."""
    own = {each.process.pid for each in itertools.chain(*node.all_processes.values())}
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "bench.runner.worker" in (process.info["cmdline"] or ()) and own & {
                each.pid for each in process.parents()
            }:
                return True
    return False

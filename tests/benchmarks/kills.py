"""Kill -9 at random, for minutes: `python tests/benchmarks/kills.py FOLDER [--cells 200] [--minutes 10]`.

A matrix runs undisturbed, and again while workers, supervisors, the command itself and, with `--executor ray`, nodes of
a cluster on this machine are killed, the command being started again each time. Every row must then be there, and be
what it was undisturbed, bit for bit. Exit code 1 where one is not.
"""

import argparse
import contextlib
import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from bench.record import Result, read_suite

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPARED = ("status", "stage", "reason", "metrics", "per_view", "flags", "absent", "config", "given", "fingerprints")
"""All of a row but what the kills themselves cost, and where and when it was made."""


def command(suite: Path, asked: argparse.Namespace, address: str | None) -> list[str]:
    placed = ["--executor", "ray", "--address", address] if address else []
    return [
        sys.executable, "-m", "bench.cli", "run", "-s", "blocks", "-m", str(HERE / "stepping.py"), "--effort", "smoke",
        "--seeds", f"0-{asked.cells - 1}", "--workers", str(asked.workers), "--threads", "1", "--no-track",
        "--retries", "1000", "--retry-failed", "--limit", "900", "-o", str(suite), *placed,
    ]  # fmt: skip


def start(suite: Path, asked: argparse.Namespace, address: str | None) -> subprocess.Popen:
    with (suite.parent / f"{suite.name}.log").open("ab") as log:
        return subprocess.Popen(command(suite, asked, address), cwd=ROOT, stdout=log, stderr=log)


class Nodes:
    """A Ray cluster on this machine: a head without a CPU, and two nodes to kill."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            self.cluster.add_node(num_cpus=1)
        self.address: str = self.cluster.address

    def kill_one(self, rng: random.Random) -> None:
        """`kill -9` of a raylet, as when its machine goes: nobody is told. Another node comes in its place."""
        node = rng.choice(sorted(self.cluster.worker_nodes, key=lambda each: each.unique_id))
        for raylet in node.all_processes["raylet"]:
            psutil.Process(raylet.process.pid).kill()
        node.kill_all_processes(check_alive=False, allow_graceful=False)  # what else a machine takes with it
        self.cluster.worker_nodes.discard(node)
        self.cluster.add_node(wait=False, num_cpus=1)


def workers(roots: list[psutil.Process]) -> list[psutil.Process]:
    """Processes of fits and renders, and their supervisors."""
    found = []
    for process in itertools.chain.from_iterable(root.children(recursive=True) for root in roots):
        with contextlib.suppress(psutil.Error):
            if any("bench.runner" in word for word in process.cmdline()):
                found.append(process)
    return found


def storm(suite: Path, asked: argparse.Namespace, nodes: Nodes | None, rng: random.Random) -> Counter[str]:
    """Kill until the time is over or all is done; returns how many of what."""
    killed: Counter[str] = Counter()
    end = time.monotonic() + 60 * asked.minutes
    process = start(suite, asked, nodes and nodes.address)
    while time.monotonic() < end and process.poll() != 0:
        if process.poll() is not None:  # refused, or with rows that failed
            process = start(suite, asked, nodes and nodes.address)
        time.sleep(rng.expovariate(1 / asked.every))
        victim = rng.choices(("worker", "command", "node"), (6, 2, 1 if nodes else 0))[0]
        with contextlib.suppress(psutil.Error):
            if victim == "node":
                assert nodes
                nodes.kill_one(rng)
            elif victim == "command":
                process.kill()
                process.wait()
                process = start(suite, asked, nodes and nodes.address)
            else:
                below = [psutil.Process(process.pid)] if not nodes else [psutil.Process()]
                found = workers(below)
                if not found:
                    continue
                rng.choice(found).send_signal(signal.SIGKILL)
            killed[victim] += 1
    process.wait()
    return killed


def rows(suite: Path) -> dict[str, Result]:
    return {result.cell.id: result for _, result in read_suite(suite)}


def differing(calm: dict[str, Result], stormy: dict[str, Result]) -> list[str]:
    """Rows that are missing or not the same, and what of them."""
    found = [f"{cell}: not there" for cell in calm.keys() ^ stormy.keys()]
    for cell in calm.keys() & stormy.keys():
        one, other = calm[cell], stormy[cell]
        found += [f"{cell}: {name}" for name in COMPARED if getattr(one, name) != getattr(other, name)]
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills, on average")
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    calm, stormy = asked.folder.resolve() / "calm", asked.folder.resolve() / f"stormy-{asked.executor}"
    began = time.monotonic()
    if start(calm, asked, None).wait():
        raise SystemExit(f"the undisturbed run failed: {calm}.log")
    quiet, began = time.monotonic() - began, time.monotonic()
    nodes = Nodes() if asked.executor == "ray" else None
    killed = storm(stormy, asked, nodes, random.Random(asked.seed))
    code = start(stormy, asked, nodes and nodes.address).wait()  # what the last kills left
    held = rows(stormy)
    wrong = differing(rows(calm), held)
    attempts = sum(result.notes.get("attempts", 1) > 1 for result in held.values())
    sys.stdout.write(
        f"{len(held)} rows of {asked.cells}, {len(wrong)} differences from an undisturbed run\n"
        f"killed: {', '.join(f'{count} x {what}' for what, count in sorted(killed.items())) or 'nothing'}; "
        f"{attempts} fits took several attempts within a run\n"
        f"{quiet:.0f} s undisturbed, {time.monotonic() - began:.0f} s with kills; the last run ended with {code}\n"
    )
    sys.stdout.writelines(f"{line}\n" for line in wrong[:20])
    return 1 if wrong or code or len(held) != asked.cells else 0


if __name__ == "__main__":
    sys.exit(main())

"""MLflow's pages come up, say when, and leave with whoever asked for them, however he goes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from bench.tracking.store import default_uri

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("runs") / "smoke"
    folder.mkdir()
    client = MlflowClient(tracking_uri=default_uri(folder))
    client.create_experiment("unposed")
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(suite, port):
    """`unposed ui`, once it says that the pages are up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "ui", "-o", str(suite), "--port", str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job ignores it
    )  # fmt: skip
    said = process.stdout.readline()
    assert said.startswith(f"http://127.0.0.1:{port} is up, after "), said + process.stderr.read()
    return process


def is_gone(process, within=60.0):
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_pages_show_the_store_and_end_with_the_command(suite, end):
    port = free_port()
    command = started(suite, port)
    servers = psutil.Process(command.pid).children(recursive=True)
    query = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search", data=b'{"max_results": 9}',
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(query, timeout=120) as answer:
        assert "unposed" in {found["name"] for found in json.load(answer)["experiments"]}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as page:
        assert b"<title>MLflow</title>" in page.read()
    os.kill(command.pid, end)
    _, said = command.communicate(timeout=60)
    if end == signal.SIGINT:  # as a person ends it
        assert (command.returncode, said) == (0, "MLflow is starting, which takes some seconds\n")
    assert servers and all(map(is_gone, servers))


def test_a_port_that_is_taken_is_refused(suite):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", "ui", "-o", str(suite), "--port", str(port)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"unposed: --port {port}: something else listens there; name another one" in done.stderr

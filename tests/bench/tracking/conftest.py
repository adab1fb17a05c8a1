"""Stores, and a fit at work, that the tests of tracking share."""

import shutil
import socket
import threading
import time

import pytest
from followed_fits import CELL

from bench.record import write_json
from bench.runner.scratch import make, note
from bench.tracking.tracker import Tracker


@pytest.fixture
def dripping():
    """The address of a server that answers a byte a second, for ever."""
    server = socket.create_server(("127.0.0.1", 0))

    def drip(connection):
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
        try:
            connection.recv(1)
            connection.sendall(answer)
            while True:
                connection.sendall(b" ")
                time.sleep(1)
        except OSError:
            connection.close()

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """The file of a store with its tables, which take MLflow seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "none").mkdir()
    Tracker(folder / "none")
    return folder / "mlflow.db"


@pytest.fixture
def store(empty_store, tmp_path):
    """Makes new stores: their URIs, by name."""

    def made(name):
        return f"sqlite:///{shutil.copy(empty_store, tmp_path / f'{name}.db')}"

    return made


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "runs" / "s"
    (folder / CELL.folder).mkdir(parents=True)
    return folder


@pytest.fixture
def fit(suite):
    """The folder in which a worker's fit leaves its files."""
    scratch = make(suite)
    write_json(scratch / "in" / "request.json", {})
    note(suite / CELL.folder, scratch, "a" * 64)
    yield scratch / "out"
    shutil.rmtree(scratch, ignore_errors=True)

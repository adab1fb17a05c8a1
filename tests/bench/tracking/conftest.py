"""Stores that the tests of tracking share."""

import socket
import threading
import time

import pytest


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

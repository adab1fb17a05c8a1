"""Downloads against a server of our own: resumed, mirrored, checked by sha256, and unpacked without trust."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from bench.scene import SceneError
from datasets import fetch
from datasets.card import Download
from datasets.fetch import download, obtain, unpack
from datasets.fetchable import fetchable

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; `/broken/...` stops half way on the first request; keeps a list of (path, range) asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.asked = []
        self.ranges = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        first = not any(path == self.path for path, _ in self.server.asked)
        self.server.asked.append((self.path, wanted))
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", f"/{name}")
            self.end_headers()
            return
        if self.path.startswith("/silent/"):
            threading.Event().wait(1.0)
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(body) and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        breaks = self.path.startswith("/broken/") and first
        self.wfile.write(body[start : len(body) // 2 if breaks else None])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.files["data.zip"] = CONTENT
        yield running
        running.shutdown()
        thread.join()


def wanted(*urls, sha256=SHA256):
    return Download.model_validate({"url": urls[0], "mirrors": urls[1:], "sha256": sha256})


def test_a_file_is_fetched_once_and_found_the_second_time(server, tmp_path):
    one = wanted(f"{server.url}/data.zip")
    assert download(one, tmp_path).read_bytes() == CONTENT
    assert download(one, tmp_path) == tmp_path / "data.zip"
    assert server.asked == [("/data.zip", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped_if_the_server_can(server, tmp_path, ranges):
    server.ranges = ranges
    assert download(wanted(f"{server.url}/broken/data.zip"), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/broken/data.zip", None), ("/broken/data.zip", "bytes=150000-")]


def test_what_an_earlier_call_left_is_continued(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT[:1000])
    assert download(wanted(f"{server.url}/data.zip"), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/data.zip", "bytes=1000-")]


@pytest.mark.parametrize("left", [b"x" * 1000, CONTENT + b"more"])
def test_a_leftover_of_something_else_is_thrown_away(server, tmp_path, left):
    (tmp_path / "data.zip.part").write_bytes(left)
    assert download(wanted(f"{server.url}/data.zip"), tmp_path).read_bytes() == CONTENT


def test_a_whole_leftover_is_accepted(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    assert download(wanted(f"{server.url}/data.zip"), tmp_path).read_bytes() == CONTENT


def test_a_dead_first_address_gives_way_to_a_mirror(server, tmp_path):
    dead = Server()
    dead.server_close()
    one = wanted(f"{dead.url}/data.zip", f"{server.url}/absent/nothing.zip", f"{server.url}/data.zip")
    assert download(one, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_in_a_sentence_and_leaves_nothing(server, tmp_path):
    with pytest.raises(
        SceneError, match=r"data\.zip could not be fetched .*its sha256 is [0-9a-f]{12}\.\.\., not 00000000"
    ):
        download(wanted(f"{server.url}/data.zip", sha256="0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_file_is_refused_with_every_address(server, tmp_path):
    with pytest.raises(SceneError) as caught:
        download(wanted(f"{server.url}/a/none.zip", f"{server.url}/b/none.zip"), tmp_path)
    assert str(caught.value).count("the server answers 404") == 2 and "\n" not in str(caught.value)


def _zip(**files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return memory.getvalue()


def test_what_a_card_names_is_fetched_and_unpacked_below_the_root(server, tmp_path):
    server.files["set.zip"] = _zip(**{"chair/transforms.json": "{}"})
    sha256 = hashlib.sha256(server.files["set.zip"]).hexdigest()
    one = wanted(f"{server.url}/set.zip", sha256=sha256).model_copy(update={"unpack_to": "nerf_synthetic"})
    obtain([one], tmp_path)
    assert (tmp_path / "nerf_synthetic" / "chair" / "transforms.json").read_text() == "{}"
    assert list((tmp_path / ".downloads").iterdir()) == []


EVIL_NAMES = ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:/evil.txt"]


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_of_the_folder_are_refused_before_anything_is_written(tmp_path, kind, name):
    archive = tmp_path / f"evil.{kind}"
    if kind == "zip":
        archive.write_bytes(_zip(**{"good.txt": "good", name: "evil"}))
    else:
        with tarfile.open(archive, "w") as file:
            for member in ("good.txt", name):
                info = tarfile.TarInfo(member)
                info.size = 4
                file.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(SceneError, match="outside of its folder"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [] and not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as file:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(SceneError, match="'link' is a link or a device"):
        unpack(tmp_path / "evil.tar.gz", tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(SceneError, match="'link' is a link or a device"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")


def test_a_broken_archive_and_one_that_is_none_are_refused(tmp_path):
    whole = _zip(**{"a.txt": "text " * 1000})
    (tmp_path / "broken.zip").write_bytes(whole[:40] + b"xxxx" + whole[44:])
    (tmp_path / "page.zip").write_text("<html>sign in</html>")
    with pytest.raises(SceneError, match="cannot be unpacked"):
        unpack(tmp_path / "broken.zip", tmp_path / "out")
    with pytest.raises(SceneError, match="neither a zip nor a tar archive"):
        unpack(tmp_path / "page.zip", tmp_path / "out")


def test_a_good_tar_is_unpacked(tmp_path):
    with tarfile.open(tmp_path / "good.tar.xz", "w:xz") as file:
        info = tarfile.TarInfo("scene/readme.txt")
        info.size = 5
        file.addfile(info, io.BytesIO(b"hello"))
    unpack(tmp_path / "good.tar.xz", tmp_path / "out")
    assert (tmp_path / "out" / "scene" / "readme.txt").read_text() == "hello"


def test_an_archive_that_would_fill_the_disk_is_refused_before_anything_is_written(tmp_path):
    """A zip bomb: a megabyte that unpacks to two gigabytes of zeros, which no images do."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("zeros", "w", force_zip64=True) as inside:
        for _ in range(1025):
            inside.write(bytes(1 << 20))
    with pytest.raises(SceneError, match=r"would unpack to 1.1 GB, which no images do"):
        unpack(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_redirect_is_followed_and_progress_is_told(server, tmp_path):
    server.files["data.zip"] = CONTENT
    told = []
    wanted = Download(url=f"{server.url}/moved/data.zip", sha256=SHA256)
    assert download(wanted, tmp_path, lambda *each: told.append(each)).read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path for path, _ in server.asked] == ["/moved/data.zip", "/data.zip"]


def test_a_server_that_says_nothing_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    server.files["data.zip"] = CONTENT
    with pytest.raises(SceneError, match="timed out"):
        download(Download(url=f"{server.url}/silent/data.zip", sha256=SHA256), tmp_path)


def test_a_file_that_the_disk_cannot_hold_is_refused_first(server, tmp_path, monkeypatch):
    server.files["data.zip"] = CONTENT
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(SceneError, match="make room, or name another data root"):
        download(Download(url=f"{server.url}/data.zip", sha256=SHA256), tmp_path)


def test_scenes_without_a_checked_address_are_gotten_by_hand():
    with pytest.raises(SceneError, match="by hand: get nerf_synthetic"):
        fetchable("nerf_synthetic/lego")
    with pytest.raises(ValueError, match="did you mean nerf_synthetic/lego"):
        fetchable("nerf_syntetic/lego")

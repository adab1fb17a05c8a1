"""What a release is made of agrees with itself."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_one_in_package_citation_and_changes():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert {PROJECT["version"], citation["version"], newest[1]} == {PROJECT["version"]}
    assert citation["license"] == PROJECT["license"]


def test_a_container_is_built_from_all_that_a_wheel_is_made_of():
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    rooms = {pattern.rstrip("*") for pattern in tools["packages"]["find"]["include"]}
    modules = {f"{name}.py" for name in tools["py-modules"]}
    assert shown == rooms | modules | {
        "pyproject.toml",
        "constraints.txt",
        PROJECT["readme"],
        *PROJECT["license-files"],
    }


def pins(lines: list[str]) -> dict[str, str]:
    """Versions by canonical name, of lines like `name==version`; a local part such as `+cpu` is left out."""
    found = [re.match(r"([A-Za-z0-9._-]+)==([^+\s;]+)", line) for line in lines]
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


PINNED = pins((ROOT / "constraints.txt").read_text().splitlines())


def test_ci_installs_what_is_pinned_each_file_by_its_hash():
    entries = re.split(r"\n(?=\S)", (ROOT / ".ci" / "requirements.txt").read_text().strip())
    locked = pins(entries)
    assert len(locked) == len(entries)
    assert [entry.split()[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert {name: version for name, version in locked.items() if PINNED.get(name) != version} == {}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"], *extras["features"]]
    assert {canonicalize_name(Requirement(text).name) for text in asked} - locked.keys() == set()


def test_what_ci_installs_rests_on_nothing_that_it_does_not():
    """`--no-deps` would hide a gap until an import."""
    locked = pins((ROOT / ".ci" / "requirements.txt").read_text().splitlines())
    makefile = (ROOT / "Makefile").read_text()
    left_out = set(re.search(r"^NOT_LOCKED := (.*)$", makefile, re.MULTILINE)[1].split())
    missing = {}
    for name in locked:
        try:
            rests_on = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:  # in an environment that was made by hand
            continue
        asked = [Requirement(text) for text in rests_on]
        needed = {
            canonicalize_name(each.name) for each in asked if not each.marker or each.marker.evaluate({"extra": ""})
        }
        if gap := needed - locked.keys() - left_out:
            missing[name] = gap
    assert missing == {}


@pytest.fixture
def osv():
    """A server of OSV's API, told which versions have an advisory, or what it answers to everything; its address."""
    told = {"bad": [("jinja2", "2.4.1")], "answer": None, "status": 200}

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self):
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bad = (query["package"]["name"], query["version"]) in told["bad"]
            body = told["answer"] or json.dumps({"vulns": [advisory(query["package"]["name"])]} if bad else {}).encode()
            self.send_response(told["status"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query", told
        server.shutdown()


def advisory(name: str) -> dict:
    mended = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}
    affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [mended]}
    told = {"modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z", "summary": "made up"}
    return {"id": "PYSEC-0000-1", "affected": [affected], **told}


def audit(url: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of `make audit`, which must not write anything else."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py"], capture_output=True, text=True, check=False,
        env={**os.environ, "OSV_URL": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_an_advisory_on_a_pinned_version_fails_the_audit_by_name(osv):
    url, told = osv
    assert audit(url) == (0, "audit: no known vulnerability in what constraints.txt pins\n")
    told["bad"].append(("click", PINNED["click"]))
    assert audit(url) == (1, f"audit: click {PINNED['click']}: PYSEC-0000-1, mended in 99.1\n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://127.0.0.1:9/v1/query"},
        {"url": "foo"},
        {"answer": b"{}"},
        {"answer": b"[]"},
        {"answer": b"<html>"},
        {"answer": b'{"vulns": "no"}'},
        {"status": 403},
        {"status": 500},
    ],
    ids=str,
)
def test_an_audit_that_cannot_ask_says_that_nothing_was_audited_and_stops_nobody_who_does_not_demand_it(osv, wrong):
    url, told = osv
    told |= wrong
    url = wrong.get("url", url)
    for environment, expected in (({}, 0), ({"AUDIT": "required"}, 1)):
        code, said = audit(url, **environment)
        assert code == expected
        assert said.startswith(f"audit: {url} cannot be asked (") and said.endswith("NOTHING WAS AUDITED\n")

"""`make audit`: known vulnerabilities of the versions that constraints.txt pins.

The exit code is pip-audit's, 1 where a pinned version has an advisory. Where
the advisories cannot be asked, as behind a firewall, it says so and is 0: what
is checked elsewhere must not stop the work here. `OSV_URL` names another
server of OSV's API, a mirror say.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

OSV_URL = os.environ.get("OSV_URL") or "https://api.osv.dev/v1/query"
PINS = Path(__file__).parents[1] / "constraints.txt"
ANSWER_WITHIN = 10  # seconds


def main() -> int:
    query = json.dumps({"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "0"}).encode()
    try:
        urllib.request.urlopen(urllib.request.Request(OSV_URL, query), timeout=ANSWER_WITHIN).close()
    except OSError as problem:
        sys.stdout.write(f"audit: {OSV_URL} cannot be asked ({problem}): NOTHING WAS AUDITED\n")
        return 0
    command = [sys.executable, "-m", "pip_audit", "-s", "osv", "--osv-url", OSV_URL, "--progress-spinner", "off"]
    return subprocess.call([*command, "--no-deps", "--disable-pip", "-r", PINS])


if __name__ == "__main__":
    sys.exit(main())

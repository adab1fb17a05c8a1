"""One synthetic suite and its report, shared by the tests that only read them."""

from pathlib import Path

import pytest
from synthetic_suite import suite_results, write_cell

from reports.build import build


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be read, not changed."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    for result in suite_results():
        write_cell(folder, result)
    return folder


@pytest.fixture(scope="session")
def report(suite: Path) -> Path:
    """The folder of its report."""
    return build(suite).parent

from pathlib import Path

import pytest

from bench.matrix.code_digest import code_digests, libraries, module_path


@pytest.fixture
def method(tmp_path):
    (tmp_path / "method.py").write_text("import helper\n\ndef fit():\n    return helper.scale(2)\n")
    (tmp_path / "helper.py").write_text('"""Helps."""\n\ndef scale(x):\n    # twice\n    return 2 * x\n')
    (tmp_path / "stranger.py").write_text("x = 1\n")
    return tmp_path / "method.py"


def test_the_modules_that_a_method_imports_are_digested_and_no_others(method):
    assert list(code_digests(method)) == ["helper.py", "method.py"]


def test_an_edited_comment_or_docstring_changes_nothing(method):
    before = code_digests(method)
    method.with_name("helper.py").write_text(
        '"""Helps a lot."""\n\ndef scale(x):\n    """Doubles."""\n    return 2 * x\n'
    )
    assert code_digests(method) == before


def test_an_edited_helper_changes_its_own_digest_only(method):
    before = code_digests(method)
    method.with_name("helper.py").write_text("def scale(x):\n    return 3 * x\n")
    after = code_digests(method)
    assert after["helper.py"] != before["helper.py"]
    assert after["method.py"] == before["method.py"]


def test_a_file_that_an_import_comes_to_mean_is_noticed(method):
    method.write_text("try:\n    import faster\nexcept ImportError:\n    faster = None\n")
    assert list(code_digests(method)) == ["method.py"]
    method.with_name("faster.py").write_text("x = 1\n")
    assert list(code_digests(method)) == ["faster.py", "method.py"]
    method.with_name("faster.py").unlink()
    assert list(code_digests(method)) == ["method.py"]


def test_a_folder_that_an_import_comes_to_mean_is_noticed_and_so_is_a_link_that_is_moved(method):
    method.write_text("import faster\n")
    assert list(code_digests(method)) == ["method.py"]
    package = method.with_name("faster")
    package.mkdir()
    assert list(code_digests(method)) == ["method.py"]
    (package / "__init__.py").write_text("x = 1\n")  # changes that folder and not the one that it lies in
    assert list(code_digests(method)) == ["faster/__init__.py", "method.py"]
    (package / "__init__.py").unlink()
    package.rmdir()
    elsewhere = method.with_name("elsewhere")
    elsewhere.mkdir()
    for name in ("one.py", "two.py"):
        (elsewhere / name).write_text(f"x = '{name}'\n")
    link = method.with_name("faster.py")
    link.symlink_to(elsewhere / "one.py")
    assert list(code_digests(method)) == ["elsewhere/one.py", "method.py"]
    link.unlink()
    link.symlink_to(elsewhere / "two.py")
    assert list(code_digests(method)) == ["elsewhere/two.py", "method.py"]


def test_relative_imports_and_imports_within_functions_are_followed(tmp_path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text("def fit():\n    from .deep import inner\n    return inner\n")
    (package / "deep.py").write_text("from pack import other\ninner = other.x\n")
    (package / "other.py").write_text("x = 1\n")
    assert set(code_digests(package / "method.py")) == {
        "pack/__init__.py", "pack/method.py", "pack/deep.py", "pack/other.py",
    }  # fmt: skip


def test_a_method_of_this_tree_rests_on_the_shared_field_and_the_task():
    names = set(code_digests(module_path("methods.colmap_nerf.method")))
    assert {"methods/colmap_nerf/method.py", "methods/nerf/train.py", "bench/task.py"} <= names
    assert not any(name.startswith(("datasets", "reports", "bench/protocol")) for name in names)


def test_every_path_is_relative(method):
    assert not any(Path(name).is_absolute() for name in code_digests(method))


def test_a_method_that_imports_the_public_module_rests_on_the_task(tmp_path):
    (tmp_path / "method.py").write_text("from unposed import Fit\n")
    (tmp_path / "direct.py").write_text("from bench.task import Fit\n")
    through = code_digests(tmp_path / "method.py")
    assert set(through) - {"method.py"} == set(code_digests(tmp_path / "direct.py")) - {"direct.py"}
    assert "bench/task.py" in through


def test_libraries_are_those_that_run_wherever_they_are_imported(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from typing import TYPE_CHECKING\nimport json\nimport helper\nimport bench.task\n"
        "if TYPE_CHECKING:\n    import jax\n"
        "def fit():\n    import torch.nn.functional\n"
    )
    (tmp_path / "helper.py").write_text("from scipy.spatial import KDTree\n")
    assert libraries(tmp_path / "mine.py") == {"torch", "scipy", "numpy"}  # numpy: bench.task

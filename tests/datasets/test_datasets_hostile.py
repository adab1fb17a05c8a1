"""A hostile scene below a data root is listed with its reason, and hides none of the others."""

import struct
import zlib

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.scene import SceneError
from datasets.folder import open_folder, sources


def png_header(width, height):
    """A PNG that says it is this large, and holds a handful of bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"x")) + chunk(b"IEND", b"")


def npy_header(shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.fixture
def root(tmp_path, transforms_folder, blender_folder, llff_folder):
    """Three hostile scenes and a good one below one root."""
    root = tmp_path / "root"
    root.mkdir()
    transforms_folder().rename(root / "good")
    nested = root / "nested"
    nested.mkdir()
    (nested / "transforms.json").write_text("[" * 200_000)
    blender_folder().rename(root / "vast")
    for image in (root / "vast").rglob("*.png"):
        image.write_bytes(png_header(100_000, 100_000))
    llff_folder().rename(root / "claims")
    (root / "claims" / "poses_bounds.npy").write_bytes(npy_header("(9000000000, 17)"))
    return root


def test_the_others_are_listed_verified_and_run(root):
    found = {source.name: source for source in sources([root])}
    assert {"good", "nested", "vast", "claims"} <= set(found)
    assert found["good"].missing is None
    assert found["good"].load(64).capture.images
    listed = CliRunner().invoke(main, ["list", "scenes", "--data", str(root)])
    assert listed.exit_code == 0, listed.output
    assert all(name in listed.output for name in ("good", "nested", "vast", "claims"))
    verified = CliRunner().invoke(main, ["data", "verify", "good,vast,claims", "--data", str(root)])
    assert isinstance(verified.exception, SystemExit)
    assert "good: " in verified.output
    planned = CliRunner().invoke(
        main, ["plan", "-s", "good,vast", "-m", "nerf", "--data", str(root), "-o", str(root / "s")]
    )
    assert ("Traceback" not in planned.output and not planned.exception) or isinstance(planned.exception, SystemExit)


@pytest.mark.parametrize("name", ["nested", "vast", "claims"])
def test_each_is_refused_in_a_sentence_that_names_its_folder(root, name):
    with pytest.raises(SceneError, match=name) as refusal:
        open_folder(root / name).load(64)
    assert len(str(refusal.value)) < 700

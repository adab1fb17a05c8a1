"""Folders in the layouts of published sets, written as their authors' files are: the nine cameras of `written`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from written import POSES, picture

SIZE = (40, 30)
CARD = "camera = {fl_x = 50, fl_y = 51, cx = 21, cy = 14}\n"
INVERSE = np.linalg.inv(POSES)
FLIP = np.diag([-1.0, -1, 1])  # PyTorch3D's camera axes
BEGIN = 1305031102.0


def pictures(folder: Path, names: list[str]) -> None:
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(k, SIZE).save(folder / name, format="png")


def tum(poses: np.ndarray, times: list[float]) -> str:
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    rows = [" ".join(map(str, [t, *p[:3, 3], *q])) for t, p, q in zip(times, poses, quaternions, strict=True)]
    return "\n".join(["# timestamp tx ty tz qx qy qz qw", *rows])


def write_tum(folder: Path) -> Path:
    """Ten poses 20 ms apart, and nine images half-way between them."""
    times = [BEGIN + 0.02 * k for k in range(10)]
    middle = [t + 0.01 for t in times[:9]]
    pictures(folder, [f"rgb/{t:.6f}.png" for t in middle])
    (folder / "rgb.txt").write_text("# color\n" + "".join(f"{t:.6f} rgb/{t:.6f}.png\n" for t in middle))
    (folder / "groundtruth.txt").write_text(tum(np.concatenate([POSES, POSES[:1]]), times))
    (folder / "unposed.toml").write_text(CARD)
    return folder


def write_log(folder: Path) -> Path:
    pictures(folder, [f"{k + 1:06d}.png" for k in range(9)])
    entries = (f"{k} {k} 0\n" + "\n".join(" ".join(map(str, row)) for row in pose) for k, pose in enumerate(POSES))
    (folder / "Barn_COLMAP_SfM.log").write_text("\n".join(entries))
    (folder / "unposed.toml").write_text(CARD)
    return folder


def co3d_entries(names: tuple[str, ...], form: str) -> list[dict]:
    """Rows, x left and y up, lengths in halves of the image or of its shorter side."""
    half = np.array([20.0, 15.0])
    unit = half if form == "ndc_norm_image_bounds" else half.min()
    return [
        {
            "sequence_name": name, "frame_number": k,
            "image": {"path": f"apple/{name}/images/frame{k:06d}.png", "size": [30, 40]},
            "viewpoint": {
                "R": (FLIP @ INVERSE[k][:3, :3]).T.tolist(), "T": (FLIP @ INVERSE[k][:3, 3]).tolist(),
                "focal_length": (np.array([50, 51]) / unit).tolist(),
                "principal_point": ((half - [21, 14]) / unit).tolist(), "intrinsics_format": form,
            },
        }
        for name in names for k in range(9)
    ]  # fmt: skip


def write_co3d(folder: Path, form: str = "ndc_isotropic") -> Path:
    """A sequence of its own category."""
    pictures(folder, [f"images/frame{k:06d}.png" for k in range(9)])
    with gzip.open(folder / "frame_annotations.jgz", "wt") as file:
        json.dump(co3d_entries((folder.name,), form), file)
    return folder


def write_navi(folder: Path) -> Path:
    pictures(folder, [f"images/{k:03d}.png" for k in range(9)])
    entries = []
    for k, matrix in enumerate(INVERSE):
        x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
        camera = {"q": [w, x, y, z], "t": matrix[:3, 3].tolist(), "focal_length": 50.0, "camera_model": "pixel_5"}
        split = "val" if k in (2, 7) else "train"
        entries.append({"camera": camera, "filename": f"{k:03d}.png", "image_size": [30, 40], "split": split})
    (folder / "annotations.json").write_text(json.dumps(entries))
    return folder


def cam(pose: np.ndarray, scale: float = 1.0) -> str:
    rows = "\n".join(" ".join(map(str, row)) for row in np.linalg.inv(pose))
    K = f"{50 * scale} 0 {21 * scale}\n0 {51 * scale} {14 * scale}\n0 0 1"
    return f"extrinsic\n{rows}\n\nintrinsic\n{K}\n\n425 2.5\n"


def write_mvsnet(folder: Path) -> Path:
    pictures(folder, [f"images/{k:08d}.png" for k in range(9)])
    (folder / "cams").mkdir()
    for k, pose in enumerate(POSES):
        (folder / "cams" / f"{k:08d}_cam.txt").write_text(cam(pose))
    return folder


def write_colmap(folder: Path, place: str = "sparse/0", *, binary: bool = True) -> Path:
    """Unpadded names, ids against their order, a camera of its own for the last image."""
    import pycolmap

    pictures(folder / "dense/0" if "dense" in place else folder, [f"images/{k + 5}.png" for k in range(9)])
    model = pycolmap.Reconstruction()
    for k, params in ((1, [50, 51, 21, 14]), (2, [55, 56, 20, 15])):
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(model="PINHOLE", width=40, height=30, params=params, camera_id=k)
        )
    for k, pose in enumerate(POSES):
        image = pycolmap.Image(name=f"{k + 5}.png", camera_id=2 if k == 8 else 1, image_id=9 - k)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.ascontiguousarray(pose[:3])).inverse())
    (folder / place).mkdir(parents=True, exist_ok=True)
    (model.write_binary if binary else model.write_text)(folder / place)
    return folder


def write_colmap_text(folder: Path) -> Path:
    return write_colmap(folder, binary=False)


def write_neus(folder: Path) -> Path:
    pictures(folder, [f"image/{k:03d}.png" for k in range(9)])
    pictures(folder, [f"mask/{k:03d}.png" for k in range(9)])
    K = np.array([[50.0, 0, 21, 0], [0, 51, 14, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    arrays = {f"world_mat_{k}": K @ matrix for k, matrix in enumerate(INVERSE)}
    np.savez(folder / "cameras_sphere.npz", **arrays, **{f"scale_mat_{k}": np.eye(4) for k in range(9)})
    return folder


def write_photographs(folder: Path) -> Path:
    pictures(folder, [f"IMG_{k}.jpg" for k in range(9)])
    pictures(folder, [f"masks/IMG_{k}.png" for k in range(9)])
    (folder / "unposed.toml").write_text("focal = 26\n")
    return folder


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "colmap": write_colmap, "colmap_text": write_colmap_text, "co3d": write_co3d, "log": write_log,
    "mvsnet": write_mvsnet, "navi": write_navi, "neus": write_neus, "photographs": write_photographs,
    "tum": write_tum,
}  # fmt: skip

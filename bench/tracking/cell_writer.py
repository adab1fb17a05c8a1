"""One cell becomes one MLflow run: written so that a kill at any moment leaves one that is known to be unfinished."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.record import Result, canonical
from bench.tracking.cell_run import dataset_of, is_good, params_of, pictures_of, points_of, tags_of
from bench.view.contact_sheet import contact_sheet

SHEET = "contact_sheet.png"
FINGERPRINT = "unposed.fingerprint"
"""Tag of the judgement's fingerprint."""

DIGEST = "unposed.digest"
"""Tag of what was recorded, written last of all: without it, a kill cut the recording short."""


def digest_of(result: Result) -> str:
    """Of all of a result, so that one that was judged or that failed anew is another; by its seal of its values view by
    view, too, which who reads a suite may have left out."""
    return hashlib.sha256(canonical(replace(result, per_view={}))).hexdigest()


def write(client: Any, experiment: str, tags: dict[str, str], folder: Path, result: Result) -> str:
    """Record the result in a cell's `folder` as a run with these `tags` beside its own. Returns the run's id.

    Raises MlflowException.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    now = int(time.time() * 1000)
    made = client.create_run(experiment, start_time=now, tags=tags_of(result) | tags)
    run = made.info.run_id
    points = [
        Metric(point.name, float(point.value), now + int(1000 * point.seconds), point.step)
        for point in points_of(folder, result)
    ]
    client.log_batch(run, metrics=points, params=[Param(*item) for item in params_of(result).items()])
    scene = DatasetInput(Dataset(**dataset_of(result)), [InputTag("mlflow.data.context", "evaluation")])
    client.log_inputs(run, datasets=[scene])
    home = _home(made.info.artifact_uri)
    _pictures(client, run, folder, now, home)
    _files(client, run, folder, home)
    client.set_terminated(run, status="FINISHED" if is_good(result) else "FAILED")
    said = {FINGERPRINT: result.fingerprints["judgement"], DIGEST: digest_of(result)}
    client.log_batch(run, tags=[RunTag(*item) for item in said.items()])
    return run


def _home(uri: str) -> Path | None:
    """The folder of a run's files, where the store keeps them on this file system."""
    place = urlsplit(uri)
    return Path(unquote(place.path)) if place.scheme in ("", "file") and not place.netloc else None


def _pictures(client: Any, run: str, folder: Path, now: int, home: Path | None) -> None:
    """The contact sheet, and previews by their step."""
    from PIL import Image

    if (sheet := contact_sheet(folder)) is not None and home is not None:
        home.mkdir(parents=True, exist_ok=True)
        sheet.save(home / SHEET, compress_level=1)  # MLflow's own way takes ten times as long
    elif sheet is not None:
        client.log_image(run, sheet, artifact_file=SHEET)
    for picture in pictures_of(folder):
        with Image.open(picture.file) as opened:
            image = opened.convert("RGB")
        client.log_image(run, image, key=picture.series, step=picture.step, timestamp=now, synchronous=True)


def _files(client: Any, run: str, folder: Path, home: Path | None) -> None:
    """The result and its renders: on this file system they are links, and take no room."""
    if home is not None:
        (home / "renders").mkdir(parents=True, exist_ok=True)
        for file in (folder / "result.json", *(folder / "renders").glob("*")):
            _link(file, home / file.relative_to(folder))
        return
    client.log_artifact(run, str(folder / "result.json"))
    if (folder / "renders").is_dir():
        client.log_artifacts(run, str(folder / "renders"), artifact_path="renders")


def _link(source: Path, target: Path) -> None:
    """Files of a cell are replaced and never written into, so that a link shows what was recorded."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

"""One cell becomes one MLflow run, begun with its fit or made of its result: written so that a kill at any moment
leaves one that is known to be unfinished."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.cell import Cell
from bench.record import Result, canonical
from bench.tracking.cell_run import (
    Picture,
    Point,
    axes_of,
    dataset_of,
    is_good,
    params_of,
    pictures_of,
    points_of,
    tags_of,
)
from bench.tracking.fit_now import FitNow, opened
from bench.tracking.ledger import BEGUN
from bench.view.contact_sheet import contact_sheet

SHEET = "contact_sheet.png"
FINGERPRINT = "unposed.fingerprint"
"""Tag of the judgement's fingerprint."""

DIGEST = "unposed.digest"
"""Tag of what was recorded, written last of all: without it, a kill cut the recording short.

It says BEGUN while the cell's fit is at work, or was when its run was killed: such a run is to be completed.
"""

Sent = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """A run in the store, and what of a fit it holds."""

    id: str
    start: int  # milliseconds since 1970
    home: Path | None  # the folder of its files, where the store keeps them on this file system
    points: set[Sent] = field(default_factory=set)
    pictures: set[tuple[str, int]] = field(default_factory=set)  # series, step
    torn: bool = False  # a kill came between the two files of a picture

    @classmethod
    def of(cls, run: Any) -> CellRun:
        """One that was just made."""
        return cls(id=run.info.run_id, start=run.info.start_time, home=_home(run.info.artifact_uri))

    def sent(self, point: Point) -> Sent:
        """A point as the store holds it."""
        return point.name, float(point.value), self.start + int(1000 * point.seconds), point.step

    def is_part_of(self, points: Iterable[Point], pictures: Iterable[Picture]) -> bool:
        """Whether it holds nothing but these. After a kill a fit is wound back to its last checkpoint, and what came
        later is no more; nothing can be taken out of a run."""
        known = {(picture.series, picture.step) for picture in pictures}
        return not self.torn and self.pictures <= known and self.points <= {self.sent(point) for point in points}


def digest_of(result: Result) -> str:
    """Of all of a result, so that one that was judged or that failed anew is another; by its seal of its values view by
    view, too, which who reads a suite may have left out."""
    return hashlib.sha256(canonical(replace(result, per_view={}))).hexdigest()


def begin(client: Any, experiment: str, tags: dict[str, str], cell: Cell) -> CellRun:
    """A run with these `tags` for a cell whose fit has begun."""
    from mlflow.entities import Param

    own = {"unposed.cell": cell.id, "mlflow.runName": cell.id, "unposed.status": "running", DIGEST: BEGUN}
    made = CellRun.of(client.create_run(experiment, start_time=int(time.time() * 1000), tags=own | tags))
    client.log_batch(made.id, params=[Param(*item) for item in axes_of(cell).items()])
    return made


def taken_up(client: Any, run: str) -> CellRun:
    """A run that was begun, by another process or before the store failed, with what it holds by now."""
    found = client.get_run(run)
    histories = [client.get_metric_history(run, name) for name in found.data.metrics]
    points = {(point.key, point.value, point.timestamp, point.step) for each in histories for point in each}
    pictures: dict[tuple[str, int], int] = {}
    for item in client.list_artifacts(run, "images"):
        if parts := re.match(r"images/(.+)\+step\+(\d+)\+timestamp\+", item.path):
            key = parts[1].replace("~", "/"), int(parts[2])
            pictures[key] = pictures.get(key, 0) + 1
    torn = any(files != 2 for files in pictures.values())  # one of full size, and one for a list
    return replace(CellRun.of(found), points=points, pictures=set(pictures), torn=torn)


def follow(client: Any, run: CellRun, now: FitNow, goes_on: Callable[[], bool]) -> None:
    """Add what a fit says by now and the run does not hold; `goes_on` is asked before each picture."""
    _points(client, run, now.points or [])
    for picture in now.pictures:
        key = picture.series, picture.step
        if key not in run.pictures and goes_on() and (image := opened(picture)):
            _picture(client, run, picture, image)


def write(
    client: Any, experiment: str, tags: dict[str, str], folder: Path, result: Result, begun: CellRun | None = None
) -> str:
    """Record the result in a cell's `folder` as a run with these `tags` beside its own: the one that was `begun`, where
    there is one that can be completed. Returns the run's id.

    Raises MlflowException.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    points, pictures = points_of(folder, result), list(pictures_of(folder))
    if begun and not begun.is_part_of(points, pictures):
        client.delete_run(begun.id)
        begun = None
    if begun:
        client.delete_tag(begun.id, DIGEST)  # from here on it is one that a kill would cut short
        client.log_batch(begun.id, tags=[RunTag(*item) for item in (tags_of(result) | tags).items()])
    run = begun or CellRun.of(
        client.create_run(experiment, start_time=int(time.time() * 1000), tags=tags_of(result) | tags)
    )
    _points(client, run, points, params=[Param(*item) for item in params_of(result).items()])
    scene = DatasetInput(Dataset(**dataset_of(result)), [InputTag("mlflow.data.context", "evaluation")])
    client.log_inputs(run.id, datasets=[scene])
    _pictures(client, run, folder, pictures)
    _files(client, run.id, folder, run.home)
    client.set_terminated(run.id, status="FINISHED" if is_good(result) else "FAILED")
    said = {FINGERPRINT: result.fingerprints["judgement"], DIGEST: digest_of(result)}
    client.log_batch(run.id, tags=[RunTag(*item) for item in said.items()])
    return run.id


def _home(uri: str) -> Path | None:
    place = urlsplit(uri)
    return Path(unquote(place.path)) if place.scheme in ("", "file") and not place.netloc else None


def _points(client: Any, run: CellRun, points: Sequence[Point], **also: Any) -> None:
    """Those that the run does not hold."""
    from mlflow.entities import Metric

    new = [sent for point in points if (sent := run.sent(point)) not in run.points]
    client.log_batch(run.id, metrics=[Metric(*sent) for sent in new], **also)
    run.points.update(new)


def _picture(client: Any, run: CellRun, picture: Picture, image: Any) -> None:
    client.log_image(run.id, image, key=picture.series, step=picture.step, timestamp=run.start, synchronous=True)
    run.pictures.add((picture.series, picture.step))


def _pictures(client: Any, run: CellRun, folder: Path, pictures: Iterable[Picture]) -> None:
    """The contact sheet, and previews by their step."""
    from PIL import Image

    if (sheet := contact_sheet(folder)) is not None and run.home is not None:
        run.home.mkdir(parents=True, exist_ok=True)
        sheet.save(run.home / SHEET, compress_level=1)  # MLflow's own way takes ten times as long
    elif sheet is not None:
        client.log_image(run.id, sheet, artifact_file=SHEET)
    for picture in pictures:
        if (picture.series, picture.step) not in run.pictures:
            with Image.open(picture.file) as file:
                image = file.convert("RGB")
            _picture(client, run, picture, image)


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

"""A fit at work as its worker leaves it, and what a store says of its cell."""

import json
import re
import shutil

import numpy as np
from PIL import Image

from bench.cell import Cell
from bench.record import Result, write_result
from bench.runner.scratch import forget
from bench.tracking.beside import replay
from bench.tracking.tracker import Tracker

CELL = Cell(scene="blocks", degradation="clean", method="made", seed=0, effort="smoke")


def log(folder, steps, name="log.jsonl"):
    with (folder / name).open("a") as file:
        file.writelines(json.dumps({"step": k, "seconds": k / 8, "loss": 1 / (k + 1)}) + "\n" for k in steps)


def preview(folder, step):
    (folder / "previews").mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), step % 256, np.uint8)).save(folder / "previews" / f"seen.{step:06d}.png")


def end(suite, fit):
    """The fit has ended, and its cell has a result."""
    folder = suite / CELL.folder
    for path in fit.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    forget(folder)
    result = Result(
        cell=CELL, config={"steps": 3}, status="done", protocol="posefree/2", metrics={"nvs/aligned/psnr": 20.0},
        fingerprints={"fit": "a" * 64, "judgement": "b" * 64}, cost={"fit_seconds": 1.0},
    )  # fmt: skip
    write_result(folder, result)
    return folder, result


def child(tracker):
    (found,) = tracker._children()
    return found


def losses(tracker):
    return [point.step for point in tracker.client.get_metric_history(child(tracker).info.run_id, "fit/loss")]


def content(tracker):
    """All that a store's only child run says, but for when it was made."""
    found = child(tracker)
    run_id, start = found.info.run_id, found.info.start_time

    def names(folder=None):
        for item in tracker.client.list_artifacts(run_id, folder):
            if item.is_dir:
                yield from names(item.path)
            else:
                yield re.sub(r"timestamp\+\d+\+[0-9a-f-]{36}", "", item.path)

    histories = {name: tracker.client.get_metric_history(run_id, name) for name in found.data.metrics}
    return {
        "status": found.info.status,
        "params": found.data.params,
        "tags": {name: text for name, text in found.data.tags.items() if name != "mlflow.parentRunId"},
        "metrics": found.data.metrics,
        "curves": {
            name: sorted((point.step, point.timestamp - start, point.value) for point in points)
            for name, points in histories.items()
        },
        "files": sorted(names()),
        "inputs": [
            (used.dataset.to_dictionary(), [(tag.key, tag.value) for tag in used.tags])
            for used in found.inputs.dataset_inputs
        ],
    }


def is_what_a_replay_says(tracker, uri):
    replay(tracker.suite, uri)
    return content(tracker) == content(Tracker(tracker.suite, uri))


def always():
    return True

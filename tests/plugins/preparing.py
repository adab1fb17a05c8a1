"""A method that prepares something, and says whether it made it or found it."""

import json
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.task import Capture, Collapsed, Field, Fit, Job, Traits


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: int = 1  # of what is prepared
    other: int = 0  # has no part in it
    end: Literal["done", "collapsed", "half", "link"] = "done"


class Preparing:
    name = "preparing"
    version = "1"
    summary = "Prepares something once for all seeds."
    Config = Config

    def __init__(self, config: Config) -> None:
        self.config = config
        self.traits = Traits(needs=frozenset({"start", "camera"}), prepares=("amount",))

    def fit(self, capture: Capture, job: Job) -> Fit:
        thing, made = job.prepared / "thing.txt", job.prepared / "seconds.json"
        is_found = made.exists()
        if not is_found:
            job.prepared.mkdir(exist_ok=True)
            thing.write_text(str(self.config.amount))
            if self.config.end == "half":
                raise Collapsed("before all was there")
            if self.config.end == "link":
                (job.prepared / "link").symlink_to("/etc/hostname")
            made.write_text(json.dumps({"seconds": 7.0}))
        if self.config.end == "collapsed":
            raise Collapsed("after all was there")
        spent = time.monotonic() - job.began
        return Fit(poses=dict(capture.start), notes={"found": is_found, "thing": thing.read_text(), "spent": spent})

    def save(self, fit: Fit, folder) -> None:
        pass

    def load(self, folder, device: str) -> Field | None:
        return None

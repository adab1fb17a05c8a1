"""Stopping in time: a fit that would be killed at its limit ends before, with what it has."""

from __future__ import annotations

import time
from collections import deque
from statistics import median

from bench.task import Job
from methods.nerf.backends.select import compiling_seconds

SAVING = (2.0, 0.1, 30.0)
"""What is kept free for writing poses and field, s: a tenth of the time, between 2 and 30 s."""

RECENT = 32
"""Steps by whose median the time of many more is foreseen: one of them may have saved a checkpoint."""


class Deadline:
    """The end of `job.seconds`, less what saving takes; asked before each step of a loop.

    A loop that is never stopped, and leaves nothing out (`notes`), does what it would have done without. Curves,
    checkpoints and the randomness of a step do not depend on the time. Whoever waits for the fit is told of each step
    (`Job.progress`).
    """

    def __init__(self, job: Job, share: float = 1.0, *, before: int = 0, after: int = 0) -> None:
        """`share` of the time that is left is for the loop that this deadline guards, the rest for what comes after it.
        The fit has `before` steps in front of that loop and `after` steps behind it."""
        least, part, most = SAVING
        self._compiled = compiling_seconds()
        self._last = now = time.monotonic()  # the last question, as `_worked` counts it
        end = job.began + job.seconds - min(max(least, part * job.seconds), most, job.seconds / 2)
        self._end = end if share == 1 else now + share * max(0.0, end - now)
        self._longest = 0.0  # s, of a step, the last ones weighing most: the pace
        self._recent: deque[float] = deque(maxlen=RECENT)  # s, of the last ones
        self._taken = 0  # steps by the last question
        self._begun: tuple[int, float] | None = None  # step and time of the first question, likewise
        self._asked = False
        self._left_out: list[str] = []
        self._job, self._before, self._around = job, before, before + after
        self.share_done = 1.0  # of the steps, once stopped

    def reached(self, step: int, steps: int, phase: str = "", ahead: int = 1) -> bool:
        """Whether one more step, as long as the last ones were, could end too late. `step` of `steps` are taken so far,
        the last ones in `phase`; the first one is always taken.

        Where it is better to take none of the next steps than some, they are so many `ahead`, each as long as the mean.
        """
        self.tell(step, steps, phase)
        now = time.monotonic()
        worked = self._worked(now)
        if self._asked:
            self._longest = max(worked - self._last, 0.9 * self._longest)
            self._recent.append(worked - self._last)
        first, self._asked, self._last, self._taken = not self._asked, True, worked, step
        since, began = self._begun = self._begun or (step, worked)
        needed = self._longest if ahead == 1 or step == since else ahead * (worked - began) / (step - since)
        if first or now + needed < self._end:
            return False
        self.share_done = step / steps
        return True

    def tell(self, step: int, steps: int, phase: str) -> None:
        """Tell whoever waits what is done now, with `step` of `steps` behind it."""
        self._job.progress(phase, self._before + step, self._around + steps)

    def no_step(self) -> None:
        """What was done since the last question is no step, and does not tell how long the next ones take."""
        self._last = self._worked(time.monotonic())

    def leaves_room(self, share: float = 0.1) -> bool:
        """Whether a last piece of work, of `share` of the time so far, still ends before.

        Compiling the CPU's kernels, which is done once on a machine, is no part of that time; nor is what a later phase
        may have to compile foreseen.
        """
        now = time.monotonic()
        return not self.stopped and now + share * (self._worked(now) - self._job.began) < self._end

    def leaves(self, seconds: float, steps: int = 0) -> bool:
        """Whether work of so many `seconds`, and after it `steps` as long as the last ones were, still end before."""
        return not self.stopped and time.monotonic() + seconds + self.foreseen(steps) < self._end

    def foreseen(self, steps: int) -> float:
        """Seconds that `steps` as long as the last ones were take.

        Right after a kill, when none has been timed, as long as all so far were in the mean.
        """
        if self._recent:
            return steps * median(self._recent)
        return steps * (self._worked(time.monotonic()) - self._job.began) / max(1, self._taken)

    def _worked(self, now: float) -> float:
        """The clock, less what was spent on compiling the CPU's kernels."""
        return now - (compiling_seconds() - self._compiled)

    def leave_out(self, work: str) -> None:
        """Note that there was no time for a piece of work whose absence would look like an answer."""
        self._left_out.append(work)

    @property
    def stopped(self) -> bool:
        return self.share_done < 1

    def notes(self, name: str = "share_done") -> dict[str, float | bool | str]:
        """What a fit's notes say of it: nothing, unless it was stopped, or left something out."""
        notes: dict[str, float | bool | str] = {}
        if self.stopped:
            notes |= {"stopped_early": True, name: float(f"{self.share_done:.3g}")}
        if self._left_out:
            notes["no_time_for"] = ", ".join(self._left_out)
        return notes

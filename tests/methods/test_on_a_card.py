"""Every method lives on a GPU, as far as that can be told without one: see pretend_card.py."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CARD = Path(__file__).parent / "pretend_card.py"
REFERENCE = "methods/nerf/backends/torch_reference.py"
"""The back end of plain torch, which waits where it throws samples away."""

AT_EVERY_STEP = 15
"""Fewer steps than each of these fits has: a line of theirs that waits as often may do so at each."""

METHODS = {
    "nerf[steps=16]": ("backend", 1e-4),
    "barf[grid.smoke.coarse=16,grid.smoke.fine=16]": ("grid.radiance.backend", 1e-3),
    "inerf[steps=16,registration.steps=16,registration.tries=8]": ("backend", 1e-3),
    "gnerf[grid.smoke.a=4,grid.smoke.ab=16,grid.smoke.b=16,candidates=20]": ("grid.radiance.backend", None),
}
"""The option that names the back end, and how far poses and colours may be from those of plain torch on the CPU: None
where rounding is spread by the adversarial phase."""


def lived(label: str, *more: str) -> dict:
    """What the script says; AssertionError with its last words where it fails."""
    command = [sys.executable, "-W", "ignore", str(CARD), label, "32", "6", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("label", METHODS)
def test_a_method_lives_there_and_waits_at_no_step(label):
    option, tolerance = METHODS[label]
    there = lived(label)
    assert any(REFERENCE in line for line in there["waits"])  # waits are seen
    often = {line: count for line, count in there["waits"].items() if count >= AT_EVERY_STEP}
    assert not {line: count for line, count in often.items() if REFERENCE not in line}
    if tolerance is None:
        assert np.isfinite(there["poses"]).all() and np.isfinite(there["rgb"]).all()
        return
    here = lived(f"{label[:-1]},{option}=torch]", "--on", "cpu")
    assert here["waits"] == here["copies"] == {}
    for name in ("poses", "rgb"):
        assert np.abs(np.subtract(there[name], here[name])).max() < tolerance, name


@pytest.mark.timeout(900)
def test_one_that_adjusts_its_poses_before_a_real_background_lives_there():
    there = lived("nerfmm[grid.smoke.coarse=10,grid.smoke.fine=5]", "--open")
    assert any("bundled.py" in line for line in there["waits"])
    assert np.isfinite(there["poses"]).all() and np.isfinite(there["rgb"]).all()


def test_tensors_of_two_devices_are_refused():
    """By the pretended card, as by a real one: else these tests could not fail."""
    script = (
        "import torch, pretend_card as card; card.plug_in(); a = torch.ones(3, device='card')\n"
        "for mixed in (lambda: a + torch.ones(3), lambda: torch.stack([a, torch.ones(3)]), lambda: a.numpy(),\n"
        "              lambda: torch.ones(3)[torch.zeros(2, dtype=torch.long).to('card')]):\n"
        "    try:\n        mixed()\n    except (RuntimeError, TypeError) as error:\n        print('refused')\n"
        "print((a * torch.tensor(2.0))[[0, 2]].sum().item(), sum(card.waits.values()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=CARD.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["refused"] * 4 + ["4.0", "0"], done.stderr[-2000:]

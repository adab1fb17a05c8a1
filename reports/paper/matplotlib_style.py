"""One look for all figures of a paper: sizes, lines, colours, and files that are the same bytes twice."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5588f", "#b98000", "#3a93c9", "#6b6b6b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6.8  # inches: two columns of a paper

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e3e0d9", "grid.linewidth": 0.5, "lines.linewidth": 1.2,
    "lines.markersize": 3.5, "legend.frameon": False, "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02, "figure.constrained_layout.hspace": 0.02, "savefig.dpi": 200,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "unposed", "hatch.linewidth": 0.6,
}  # fmt: skip


@contextmanager
def style() -> Iterator[None]:
    """Everything drawn inside has this look, whatever the reader's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def panels(rows: int, columns: int, height: float, width: float = WIDTH) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `rows` x `columns` axes, `height` inches a row. It belongs to no window and needs no closing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows))
    return figure, [list(row) for row in figure.subplots(rows, columns, squeeze=False)]


def ink(k: int) -> dict[str, Any]:
    """Colour, marker and line of the k-th method: dashes from the eighth on."""
    n = len(COLOURS)
    return {"color": COLOURS[k % n], "marker": MARKERS[k % n], "linestyle": "-" if k < n else "--"}


def files(figure: Figure) -> dict[str, bytes]:
    """The figure as `pdf` and as `svg`, without dates."""
    found = {}
    for kind, dated in (("pdf", ("CreationDate", "Creator", "Producer")), ("svg", ("Date", "Creator"))):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=dict.fromkeys(dated))
        found[kind] = buffer.getvalue()
    return found


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 5) -> None:
    """One legend for all axes, above them."""
    handles = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(columns, len(handles)))

"""Adding up the records of a backward march: no atomics, no copies of the grid, and the same sum for any thread count.

Records are sorted by the layer (x index) of their voxel. A layer of the grid is then owned by one thread, which gathers
what the records of this layer and of the one below give to it, in the order of the records, into a scratch layer small
enough for the cache, and at once takes the optimiser's step on the voxels that were touched, and on no others.
"""

from __future__ import annotations

import numpy as np

from methods.nerf.backends.numba_cpu.jit import kernel
from methods.nerf.backends.numba_cpu.march import ONE, RECORD, ZERO
from methods.nerf.backends.numba_cpu.simd import adam, add, lean
from methods.nerf.backends.numba_cpu.threads import spread

GROUPS = 16  # parts of the sort: fixed, so that the order does not depend on the threads


@kernel
def count_layers(worker, begin, end, records, counts, capacity, width, tally):
    """`tally` (GROUPS, layers): how many records of each share of the ray groups lie in each layer."""
    share = (len(counts) + GROUPS - 1) // GROUPS
    for group in range(begin, end):
        for part in range(group * share, min(len(counts), (group + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                tally[group, int(records[n * width])] += 1


@kernel
def place_layers(worker, begin, end, records, counts, capacity, width, free, order):
    """Write the records' numbers into `order`, from the first `free` (GROUPS, layers) place of share and layer."""
    share = (len(counts) + GROUPS - 1) // GROUPS
    for group in range(begin, end):
        for part in range(group * share, min(len(counts), (group + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                layer = int(records[n * width])
                order[free[group, layer]] = n
                free[group, layer] += 1


def by_layer(records, counts, capacity, width, layers):
    """Sort records by the layer of their lower corner: their numbers in order, and where each layer starts."""
    tally = np.zeros((GROUPS, layers), np.int64)
    spread(count_layers, GROUPS, 1, records, counts, capacity, width, tally)
    ends = np.cumsum(tally.T.ravel()).reshape(layers, GROUPS).T
    starts = np.append(0, ends[-1]).astype(np.int64)
    order = np.empty(starts[-1], np.int64)
    spread(place_layers, GROUPS, 1, records, counts, capacity, width, np.ascontiguousarray(ends - tally), order)
    return order, starts


@kernel
def gather(
    layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, base, seen, list_, slope
):
    """Add to the gradient of one layer (its first voxel at `base` of `by_density`, `by_colour`) what all records give.

    Voxels touched for the first time are marked in `seen` (Y Z,) and listed in `list_`; returns their number.
    """
    C, K, R = len(hues), len(row) // len(hues), RECORD + len(hues)
    N, nz = np.uint64(len(row)), size[2]
    touched = 0
    for below in range(2):
        source = layer - below
        if source < 0 or source >= size[0] - 1:
            continue
        for position in range(starts[source], starts[source + 1]):
            n = order[position]
            at = n * R
            x, y, z, by_raw = records[at], records[at + 1], records[at + 2], records[at + 3]
            ray = owners[n]
            for c in range(C):
                for j in range(K):
                    slope[c * K + j] = records[at + RECORD + c] * basis[ray, j]
            iy, iz = int(y), int(z)
            fx, fy, fz = x - np.float32(source), y - np.float32(iy), z - np.float32(iz)
            wx = fx if below else ONE - fx
            for dy in range(2):
                wy = wx * (fy if dy else ONE - fy)
                for dz in range(2):
                    weight = wy * (fz if dz else ONE - fz)
                    voxel = (iy + dy) * nz + iz + dz
                    if seen[np.uint64(voxel)] == 0:
                        seen[np.uint64(voxel)] = 1
                        list_[touched] = voxel
                        touched += 1
                    by_density[np.uint64(base + voxel)] += weight * by_raw
                    add(by_colour, np.uint64(base + voxel) * N, slope, weight, row)
    return touched


@kernel
def gradients(worker, begin, end, records, owners, basis, order, starts, size, hues, row, by_density, by_colour):
    """Add the records to some layers of dense gradients `by_density` (X Y Z,) and `by_colour` (X Y Z C K,)."""
    area = size[1] * size[2]
    seen, list_, slope = np.zeros(area, np.uint8), np.empty(area, np.int64), np.empty(len(row), np.float32)
    for layer in range(begin, end):
        touched = gather(
            layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, layer * area, seen,
            list_, slope,
        )  # fmt: skip
        for n in range(touched):
            seen[list_[n]] = 0


@kernel
def settle(
    worker, begin, end, parity, records, owners, basis, order, starts, size, hues, row, density, colour, moments,
    scratch, marks, lists, rates, priors,
):  # fmt: skip
    """One step of Adam on the touched voxels of some layers, the even or the odd ones; all others stay as they are.

    `moments` = (mean, square) of the density, then of the colour; `scratch` = (threads, Y Z), (threads, Y Z C K) zeros;
    `marks`, `lists` (threads, Y Z); `rates` = (density, colour, beta 1, beta 2, epsilon). `priors` = (sparsity, smooth
    density, smooth colour): the weights of the raw density itself, and of half the squared differences between a voxel
    and its six neighbours; both are sampled where the rays went.
    """
    ny, nz = size[1], size[2]
    area, N, unit = ny * nz, np.uint64(len(row)), (0,)
    rate_density, rate_colour, keep1, keep2, epsilon = rates
    sparsity, smooth_density, smooth_colour = priors
    by_density, by_colour, seen, list_ = scratch[0][worker], scratch[1][worker], marks[worker], lists[worker]
    slope = np.empty(len(row), np.float32)
    for half in range(begin, end):
        layer = 2 * half + parity
        touched = gather(
            layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, 0, seen, list_, slope
        )
        for n in range(touched):
            inside = list_[n]
            seen[np.uint64(inside)] = 0
            voxel = layer * area + inside
            i, b = np.uint64(inside), np.uint64(voxel)
            by_density[i] += sparsity
            if smooth_density > ZERO or smooth_colour > ZERO:
                for axis in range(3):
                    stride = area if axis == 0 else (nz if axis == 1 else 1)
                    place = layer if axis == 0 else (inside // nz if axis == 1 else inside % nz)
                    for side in range(-1, 2, 2):
                        if 0 <= place + side < size[axis]:
                            other = np.uint64(voxel + side * stride)
                            by_density[i] += smooth_density * (density[b] - density[other])
                            if smooth_colour > ZERO:
                                lean(by_colour, i * N, colour, b * N, other * N, smooth_colour, row)
            adam(density, moments[0], moments[1], b, by_density, i, rate_density, keep1, keep2, epsilon, unit)
            adam(colour, moments[2], moments[3], b * N, by_colour, i * N, rate_colour, keep1, keep2, epsilon, row)


def step(size, *arguments):
    """`settle` on all layers. Neighbours read each other: first the even layers, then the odd ones."""
    for parity in range(2):
        spread(settle, (size[0] + 1 - parity) // 2, 2, parity, *arguments)

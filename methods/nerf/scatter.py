"""Adding up the records of a backward march: no atomics, no copies of the grid, and the same sum for any thread count.

Records are sorted by the layer (x index) of their voxel. A layer of the grid is then owned by one thread, which gathers
what the records of this layer and of the one below give to it, in the order of the records, into a scratch layer small
enough for the cache, and at once takes the optimiser's step on the voxels that were touched, and on no others.
"""

from __future__ import annotations

import numba
import numpy as np

from methods.nerf.jit import kernel
from methods.nerf.lanes import adam, add, lean
from methods.nerf.march import ONE, RECORD, ZERO

GROUPS = 16  # parts of the sort: fixed, so that the order does not depend on the threads


@kernel(parallel=True)
def by_layer(records, counts, capacity, width, layers):
    """Sort records by the layer of their lower corner: their numbers in order, and where each layer starts."""
    parts = len(counts)
    share = (parts + GROUPS - 1) // GROUPS
    tally = np.zeros((GROUPS, layers + 1), np.int64)
    for group in numba.prange(GROUPS):
        for part in range(group * share, min(parts, (group + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                tally[group, int(records[n * width])] += 1
    starts = np.zeros(layers + 1, np.int64)
    total = 0
    for layer in range(layers):
        starts[layer] = total
        for group in range(GROUPS):
            held = tally[group, layer]
            tally[group, layer] = total
            total += held
    starts[layers] = total
    order = np.empty(total, np.int64)
    for group in numba.prange(GROUPS):
        for part in range(group * share, min(parts, (group + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                layer = int(records[n * width])
                order[tally[group, layer]] = n
                tally[group, layer] += 1
    return order, starts


@kernel()
def gather(layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, base, seen, list_, slope):
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


@kernel(parallel=True)
def gradients(records, owners, basis, order, starts, size, hues, row, by_density, by_colour):
    """Add the records to dense gradients `by_density` (X Y Z,) and `by_colour` (X Y Z C K,)."""
    area = size[1] * size[2]
    for layer in numba.prange(size[0]):
        seen, list_, slope = np.zeros(area, np.uint8), np.empty(area, np.int64), np.empty(len(row), np.float32)
        gather(
            layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, layer * area, seen,
            list_, slope,
        )  # fmt: skip


@kernel()
def settle(
    layer, records, owners, basis, order, starts, size, hues, row, density, colour, moments, by_density, by_colour, seen,
    list_, rates, priors,
):  # fmt: skip
    """Gather the gradients of one layer and take the step of the voxels in it that were touched."""
    ny, nz = size[1], size[2]
    area, N, unit = ny * nz, np.uint64(len(row)), (0,)
    rate_density, rate_colour, keep1, keep2, epsilon = rates
    sparsity, smooth_density, smooth_colour = priors
    slope = np.empty(len(row), np.float32)
    touched = gather(
        layer, records, owners, basis, order, starts, size, hues, row, by_density, by_colour, 0, seen, list_, slope
    )
    for n in range(touched):
        inside = list_[n]
        seen[np.uint64(inside)] = 0
        voxel = layer * area + inside
        i, b = np.uint64(inside), np.uint64(voxel)
        by_density[i] += sparsity
        for axis in range(3):
            stride = area if axis == 0 else (nz if axis == 1 else 1)
            place = layer if axis == 0 else (inside // nz if axis == 1 else inside % nz)
            for side in range(-1, 2, 2):
                if 0 <= place + side < size[axis]:
                    other = np.uint64(voxel + side * stride)
                    if smooth_density > ZERO:
                        by_density[i] += smooth_density * (density[b] - density[other])
                    if smooth_colour > ZERO:
                        lean(by_colour, i * N, colour, b * N, other * N, smooth_colour, row)
        adam(density, moments[0], moments[1], b, by_density, i, rate_density, keep1, keep2, epsilon, unit)
        adam(colour, moments[2], moments[3], b * N, by_colour, i * N, rate_colour, keep1, keep2, epsilon, row)


@kernel(parallel=True)
def step(
    records, owners, basis, order, starts, size, hues, row, density, colour, moments, scratch, seen, lists, rates, priors
):  # fmt: skip
    """One step of Adam on the voxels touched by the records; all others, and their moments, stay as they are.

    `moments` = (mean, square) of the density, then of the colour; `scratch` = (threads, Y Z), (threads, Y Z C K) zeros;
    `seen`, `lists` (threads, Y Z); `rates` = (density, colour, beta 1, beta 2, epsilon). `priors` = (sparsity, smooth
    density, smooth colour): the weights of the raw density itself, and of half the squared differences between a voxel
    and its six neighbours; both are sampled where the rays went.
    """
    # Neighbouring layers read each other: first the even ones, then the odd.
    for parity in range(2):
        for half in numba.prange((size[0] + 1 - parity) // 2):
            thread = numba.get_thread_id()
            settle(
                2 * half + parity, records, owners, basis, order, starts, size, hues, row, density, colour, moments,
                scratch[0][thread], scratch[1][thread], seen[thread], lists[thread], rates, priors,
            )  # fmt: skip

"""Adding up the records of a backward march: no atomics, no copies of the grid, and the same sum for any thread count.

Records are sorted by the layer (x index) of their voxel. A layer of the grid is then owned by one thread, which gathers
what the records of this layer and of the one below give to it, in the order of the records, into a scratch layer small
enough for the cache, and at once takes the optimizer's step on the voxels that were touched, and on no others.
"""

from __future__ import annotations

import numpy as np

from methods.nerf.backends.numba_cpu.jit import kernel
from methods.nerf.backends.numba_cpu.march import ONE, ZERO
from methods.nerf.backends.numba_cpu.simd import adam, add, add_difference
from methods.nerf.backends.numba_cpu.structs import POSITION, SortedRecords
from methods.nerf.backends.numba_cpu.threads import parallel_for

SHARES = 16  # parts of the sort: fixed, so that the order does not depend on the threads


@kernel
def count_layers(worker, begin, end, records, width, tally):
    """`tally` (SHARES, layers): how many records of each share of the ray groups lie in each layer."""
    values, counts, capacity = records.values, records.counts, records.capacity
    share = (len(counts) + SHARES - 1) // SHARES
    for n_share in range(begin, end):
        for part in range(n_share * share, min(len(counts), (n_share + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                tally[n_share, int(values[n * width])] += 1


@kernel
def place_layers(worker, begin, end, records, width, free, order):
    """Write the records' numbers into `order`, from the first `free` (SHARES, layers) place of share and layer."""
    values, counts, capacity = records.values, records.counts, records.capacity
    share = (len(counts) + SHARES - 1) // SHARES
    for n_share in range(begin, end):
        for part in range(n_share * share, min(len(counts), (n_share + 1) * share)):
            for n in range(part * capacity, part * capacity + counts[part]):
                layer = int(values[n * width])
                order[free[n_share, layer]] = n
                free[n_share, layer] += 1


def by_layer(records, grid):
    """The records of a `grid`, sorted by the layer of their lower corner."""
    width, layers = POSITION + len(grid.channels), grid.size[0] - 1
    tally = np.zeros((SHARES, layers), np.int64)
    parallel_for(count_layers, SHARES, 1, records, width, tally)
    ends = np.cumsum(tally.T.ravel()).reshape(layers, SHARES).T
    starts = np.append(0, ends[-1]).astype(np.int64)
    order = np.empty(starts[-1], np.int64)
    parallel_for(place_layers, SHARES, 1, records, width, np.ascontiguousarray(ends - tally), order)
    return SortedRecords(records.values, records.owners, records.basis, order, starts)


@kernel
def gather(layer, records, grid, by_density, by_colour, base, seen, touched, by_row):
    """Add to the gradient of one layer (its first voxel at `base` of `by_density`, `by_colour`) what all records give.

    Voxels touched for the first time are marked in `seen` (Y Z,) and listed in `touched`; returns their number.
    `by_row` (C K,) is scratch.
    """
    values, owners, basis, order, starts = records
    row, nx, nz = grid.row, grid.size[0], grid.size[2]
    C, K, P = len(grid.channels), len(row) // len(grid.channels), POSITION + len(grid.channels)
    N = np.uint64(len(row))
    count = 0
    for below in range(2):
        source = layer - below
        if source < 0 or source >= nx - 1:
            continue
        for position in range(starts[source], starts[source + 1]):
            n = order[position]
            at = n * P
            x, y, z, by_raw = values[at], values[at + 1], values[at + 2], values[at + 3]
            ray = owners[n]
            for c in range(C):
                for j in range(K):
                    by_row[c * K + j] = values[at + POSITION + c] * basis[ray, j]
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
                        touched[count] = voxel
                        count += 1
                    by_density[np.uint64(base + voxel)] += weight * by_raw
                    add(by_colour, np.uint64(base + voxel) * N, by_row, weight, row)
    return count


@kernel
def gradients(worker, begin, end, records, grid, by_density, by_colour):
    """Add the records to some layers of dense gradients `by_density` (X Y Z,) and `by_colour` (X Y Z C K,)."""
    area = grid.size[1] * grid.size[2]
    seen, touched, by_row = np.zeros(area, np.uint8), np.empty(area, np.int64), np.empty(len(grid.row), np.float32)
    for layer in range(begin, end):
        count = gather(layer, records, grid, by_density, by_colour, layer * area, seen, touched, by_row)
        for n in range(count):
            seen[touched[n]] = 0


@kernel
def adam_layers(worker, begin, end, parity, records, grid, moments, scratch, sizes, priors):
    """One step of Adam on the touched voxels of some layers, the even or the odd ones; all others stay as they are.

    The weights of `priors` (float32) take effect where the rays went: that of the raw density itself, and those of half
    the squared differences between a voxel and its six neighbours.
    """
    size, row, density, colour = grid.size, grid.row, grid.density, grid.colour
    density_mean, density_square, colour_mean, colour_square = moments
    ny, nz = size[1], size[2]
    area, N, unit = ny * nz, np.uint64(len(row)), (0,)
    rate_density, rate_colour, keep_mean, keep_square, epsilon = sizes
    sparsity, smooth_density, smooth_colour = priors
    by_density, by_colour = scratch.density[worker], scratch.colour[worker]
    seen, touched = scratch.seen[worker], scratch.touched[worker]
    by_row = np.empty(len(row), np.float32)
    for half in range(begin, end):
        layer = 2 * half + parity
        count = gather(layer, records, grid, by_density, by_colour, 0, seen, touched, by_row)
        for n in range(count):
            inside = touched[n]
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
                                add_difference(by_colour, i * N, colour, b * N, other * N, smooth_colour, row)
            adam(
                density, density_mean, density_square, b, by_density, i, rate_density, keep_mean, keep_square, epsilon,
                unit,
            )  # fmt: skip
            adam(
                colour, colour_mean, colour_square, b * N, by_colour, i * N, rate_colour, keep_mean, keep_square,
                epsilon, row,
            )  # fmt: skip


def adam_step(records, grid, moments, scratch, sizes, priors):
    """`adam_layers` on all layers. Neighbours read each other: first the even layers, then the odd ones."""
    for parity in range(2):
        layers = (grid.size[0] + 1 - parity) // 2
        parallel_for(adam_layers, layers, 2, parity, records, grid, moments, scratch, sizes, priors)

"""The fused march of rays through a voxel grid: what `torch_reference.render` does, in one pass on the CPU.

Sampling, skipping of empty space, trilinear lookup, view-dependent colour, compositing and early termination happen
sample by sample, so nothing of size (rays, samples) is made on the way out. On the way back each sample that counts
leaves one short record, which `scatter.py` adds up.

`forward`, `backward` and `learn` are for `threads.parallel_for`, over groups of RAYS rays. `structs.py` says what they
take; `camera_distance` is None for plain space, whose kernels are compiled without a word of contraction.
"""

from __future__ import annotations

import numpy as np

from methods.nerf.backends.numba_cpu.jit import kernel
from methods.nerf.backends.numba_cpu.simd import blend, dot, exp, log1p
from methods.nerf.backends.numba_cpu.structs import POSITION, RAYS

CELL_SHIFT = 1  # a cell of the clearance map is 2 voxels wide: CELL of base.py
SAMPLE = 7
"""Floats kept of a sample while its ray is on, before its C colours: distance, x, y, z (voxels), alpha, transmittance
before it, d(optical depth)/d(raw density)."""

ZERO, ONE, TWO, THREE, HALF, QUARTER = (np.float32(value) for value in (0, 1, 2, 3, 0.5, 0.25))
SAFETY = np.float32(0.999)  # of a jump over empty space, against rounding
TINY = np.float32(1e-9)
U1 = np.uint64(1)


@kernel
def interval(grid, camera_distance, origin, direction):
    """First and last sample (exclusive) of a ray that can lie in the grid."""
    size, low, edges = grid.size, grid.low, grid.edges
    last = len(edges) - 1
    if camera_distance is not None:
        return 0, last
    start, stop = edges[0], edges[last]
    for axis in range(3):
        d = TINY if abs(direction[axis]) < TINY else direction[axis]
        a = (low[axis] - origin[axis]) / d
        b = (low[axis] + grid.voxel * np.float32(size[axis] - 1) - origin[axis]) / d
        start, stop = max(start, min(a, b)), min(stop, max(a, b))
    if stop <= start:
        return 0, 0
    step = edges[1] - edges[0]
    # a sample to spare at either end: every sample is checked anyway
    return max(0, int((start - edges[0]) / step) - 1), min(last, int((stop - edges[0]) / step) + 2)


@kernel
def march(grid, camera_distance, origin, direction, shift, basis, ray, samples, blended):
    """Write the samples of one ray that count into `samples` (S (SAMPLE + C),): their number, and the transmittance
    behind them. `basis` (R K,); `blended` (C K,) is scratch."""
    density, colour, clearance, edges = grid.density, grid.colour, grid.clearance, grid.edges
    empty_threshold, size, row, voxel = grid.empty_threshold, grid.size, grid.row, grid.voxel
    C, K, W = len(grid.channels), len(row) // len(grid.channels), SAMPLE + len(grid.channels)
    N = np.uint64(len(row))
    ny, nz = size[1], size[2]
    low_x, low_y, low_z = grid.low
    ox, oy, oz = origin
    dx, dy, dz = direction
    cells_y, cells_z = ((ny - 2) >> CELL_SHIFT) + 1, ((nz - 2) >> CELL_SHIFT) + 1
    sx, sy = np.uint64(ny * nz), np.uint64(nz)
    top_x, top_y, top_z = np.float32(size[0] - 1), np.float32(ny - 1), np.float32(nz - 1)
    inverse = ONE / voxel
    shell, reach = grid.shell, ONE + grid.shell
    step = edges[1] - edges[0]
    steps_per_unit = ONE / (step * max(abs(dx), max(abs(dy), abs(dz))))  # along the axis that the ray crosses fastest
    k, end = interval(grid, camera_distance, origin, direction)
    count = 0
    light = ONE
    while k < end:
        length = edges[k + 1] - edges[k]
        t = edges[k] + shift * length
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        m = ONE
        if camera_distance is not None:
            m = max(ONE, max(abs(px), max(abs(py), abs(pz))))
            s = (reach - shell / m) / m
            px, py, pz = px * s, py * s, pz * s
        x, y, z = (px - low_x) * inverse, (py - low_y) * inverse, (pz - low_z) * inverse
        if x < ZERO or y < ZERO or z < ZERO or x >= top_x or y >= top_y or z >= top_z:
            k += 1
            continue
        ix, iy, iz = int(x), int(y), int(z)
        cell = ((ix >> CELL_SHIFT) * cells_y + (iy >> CELL_SHIFT)) * cells_z + (iz >> CELL_SHIFT)
        away = int(clearance[np.uint64(cell)])
        if away > 0:
            free = np.float32((away - 1) << CELL_SHIFT) * voxel * SAFETY
            if camera_distance is not None:
                # the contraction stretches nothing by more than reach^2 / (3 shell), and within m / 2 of here by no
                # more than 4 reach / m
                free = max(THREE * shell / (reach * reach) * free, min(HALF * m, free * m * (QUARTER / reach)))
                k += int(free / (step * max(ONE, t + free - camera_distance))) + 1
            else:
                k += int(free * steps_per_unit) + 1
            continue
        fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
        ex, ey, ez = ONE - fx, ONE - fy, ONE - fz
        w00, w01, w10, w11 = ex * ey, ex * fy, fx * ey, fx * fy
        b00 = np.uint64(ix) * sx + np.uint64(iy) * sy + np.uint64(iz)
        b01, b10 = b00 + sy, b00 + sx
        b11 = b10 + sy
        near = w00 * density[b00] + w01 * density[b01] + w10 * density[b10] + w11 * density[b11]
        beyond = w00 * density[b00 + U1] + w01 * density[b01 + U1] + w10 * density[b10 + U1] + w11 * density[b11 + U1]
        raw = ez * near + fz * beyond
        if raw > empty_threshold[k]:
            e = exp(-abs(raw))
            scale = grid.density_gain * length
            alpha = ONE - exp(-scale * (max(raw, ZERO) + log1p(e)))
            at = count * W
            samples[at], samples[at + 1], samples[at + 2], samples[at + 3] = t, x, y, z
            samples[at + 4], samples[at + 5] = alpha, light
            samples[at + 6] = scale * (ONE if raw > ZERO else e) / (ONE + e)
            blend(blended, colour, b00 * N, b01 * N, b10 * N, b11 * N, w00, w01, w10, w11, ez, fz, row)
            for c in range(C):
                value = ZERO
                for j in range(K):
                    value += basis[ray * K + j] * blended[c * K + j]
                samples[at + SAMPLE + c] = ONE / (ONE + exp(-value))
            count += 1
            light *= ONE - alpha
            if light < grid.min_transmittance:
                break
        k += 1
    return count, light


@kernel
def forward(worker, begin, end, grid, camera_distance, rays, rgb, opacity, distance):
    """Fill in colour (R, C), opacity (R,) and mean distance (R,) of rays, before any background."""
    W, C = SAMPLE + len(grid.channels), len(grid.channels)
    origins, directions, jitter, basis = rays.origins, rays.directions, rays.jitter, rays.basis.ravel()
    samples, blended = np.empty(len(grid.edges) * W, np.float32), np.empty(len(grid.row), np.float32)
    for part in range(begin, end):
        for r in range(part * RAYS, min(len(origins), (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, light = march(grid, camera_distance, origin, direction, jitter[r], basis, r, samples, blended)
            travelled = ZERO
            for c in range(C):
                rgb[r, c] = ZERO
            for s in range(count):
                weight = samples[s * W + 4] * samples[s * W + 5]
                travelled += weight * samples[s * W]
                for c in range(C):
                    rgb[r, c] += weight * samples[s * W + SAMPLE + c]
            opacity[r] = ONE - light
            distance[r] = travelled / max(ONE - light, np.float32(1e-6))


@kernel
def trace_back(
    grid, camera_distance, origin, direction, basis, ray, samples, count, by_colour, by_opacity, by_weight, blended,
    records, first, ray_gradients,
):  # fmt: skip
    """Write the records of one ray's `count` samples from number `first` on, given d(loss)/d(colour) `by_colour` (C,),
    d(loss)/d(opacity) and, of each sample besides, d(loss)/d(weight) `by_weight` (count,); add to its `ray_gradients`,
    unless these are None."""
    density, colour, size, row = grid.density, grid.colour, grid.size, grid.row
    values, owners = records.values, records.owners
    C, K = len(grid.channels), len(row) // len(grid.channels)
    W, P = SAMPLE + C, POSITION + C
    N = np.uint64(len(row))
    sx, sy = np.uint64(size[1] * size[2]), np.uint64(size[2])
    inverse = ONE / grid.voxel
    shell, reach = grid.shell, ONE + grid.shell
    behind = ZERO  # sum of weight times worth of the samples behind this one
    for s in range(count - 1, -1, -1):
        at, to = s * W, (first + s) * P
        alpha, before = samples[at + 4], samples[at + 5]
        weight = alpha * before
        worth = by_opacity + by_weight[s]
        for c in range(C):
            worth += by_colour[c] * samples[at + SAMPLE + c]
        # d(loss)/d(optical depth): more of this sample, less of all behind it
        by_raw = ((before - weight) * worth - behind) * samples[at + 6]
        behind += weight * worth
        x, y, z = samples[at + 1], samples[at + 2], samples[at + 3]
        values[to], values[to + 1], values[to + 2], values[to + 3] = x, y, z, by_raw
        owners[first + s] = ray
        for c in range(C):
            value = samples[at + SAMPLE + c]
            values[to + POSITION + c] = weight * by_colour[c] * value * (ONE - value)
        if ray_gradients is not None:
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
            ex, ey, ez = ONE - fx, ONE - fy, ONE - fz
            for c in range(C):
                for j in range(K):
                    blended[c * K + j] = values[to + POSITION + c] * basis[ray * K + j]
            b00 = np.uint64(ix) * sx + np.uint64(iy) * sy + np.uint64(iz)
            b01, b10 = b00 + sy, b00 + sx
            b11 = b10 + sy
            # what one unit of each corner's values is worth
            h000 = by_raw * density[b00] + dot(colour, b00 * N, blended, row)
            h001 = by_raw * density[b00 + U1] + dot(colour, b00 * N + N, blended, row)
            h010 = by_raw * density[b01] + dot(colour, b01 * N, blended, row)
            h011 = by_raw * density[b01 + U1] + dot(colour, b01 * N + N, blended, row)
            h100 = by_raw * density[b10] + dot(colour, b10 * N, blended, row)
            h101 = by_raw * density[b10 + U1] + dot(colour, b10 * N + N, blended, row)
            h110 = by_raw * density[b11] + dot(colour, b11 * N, blended, row)
            h111 = by_raw * density[b11 + U1] + dot(colour, b11 * N + N, blended, row)
            gx = ey * (ez * (h100 - h000) + fz * (h101 - h001)) + fy * (ez * (h110 - h010) + fz * (h111 - h011))
            gy = ex * (ez * (h010 - h000) + fz * (h011 - h001)) + fx * (ez * (h110 - h100) + fz * (h111 - h101))
            gz = ex * (ey * (h001 - h000) + fy * (h011 - h010)) + fx * (ey * (h101 - h100) + fy * (h111 - h110))
            gx, gy, gz = gx * inverse, gy * inverse, gz * inverse
            t = samples[at]
            if camera_distance is not None:
                px, py, pz = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
                m = max(abs(px), max(abs(py), abs(pz)))
                if m > ONE:
                    # y = s(m) x: its Jacobian is s I + s'(m) x (dm/dx)^T, and m depends on the largest coordinate alone
                    s, ds = (reach - shell / m) / m, TWO * (shell / m - HALF * reach) / (m * m)
                    pull = ds * (gx * px + gy * py + gz * pz)
                    gx, gy, gz = s * gx, s * gy, s * gz
                    if abs(px) == m:
                        gx += pull if px > ZERO else -pull
                    elif abs(py) == m:
                        gy += pull if py > ZERO else -pull
                    else:
                        gz += pull if pz > ZERO else -pull
            ray_gradients.origins[ray, 0] += gx
            ray_gradients.origins[ray, 1] += gy
            ray_gradients.origins[ray, 2] += gz
            ray_gradients.directions[ray, 0] += t * gx
            ray_gradients.directions[ray, 1] += t * gy
            ray_gradients.directions[ray, 2] += t * gz
            w00, w01, w10, w11 = ex * ey, ex * fy, fx * ey, fx * fy
            blend(blended, colour, b00 * N, b01 * N, b10 * N, b11 * N, w00, w01, w10, w11, ez, fz, row)
            for c in range(C):
                for j in range(K):
                    ray_gradients.basis[ray, j] += values[to + POSITION + c] * blended[c * K + j]


@kernel
def place(camera_distance, t):
    """A distance along a ray, counted as if all intervals were as long as the first (`marching_edges`)."""
    if camera_distance is not None and t - camera_distance > ONE:
        return camera_distance + ONE + np.log(t - camera_distance)
    return t


@kernel
def distort(grid, camera_distance, samples, count, width, scale, by_weight):
    """Fill in d(distortion loss)/d(weight) of one ray's `count` samples of `width` floats, times `scale`: by running
    sums, and not by pairs (as Sun et al. 2022, arXiv 2206.05085, do it)."""
    total, total_place = ZERO, ZERO
    for s in range(count):
        weight = samples[s * width + 4] * samples[s * width + 5]
        total += weight
        total_place += weight * place(camera_distance, samples[s * width])
    step = grid.edges[1] - grid.edges[0]
    before, before_place = ZERO, ZERO
    for s in range(count):
        weight = samples[s * width + 4] * samples[s * width + 5]
        at = place(camera_distance, samples[s * width])
        behind, behind_place = total - before - weight, total_place - before_place - weight * at
        apart = at * before - before_place + behind_place - at * behind
        by_weight[s] = scale * (TWO * apart + TWO / THREE * weight * step)
        before += weight
        before_place += weight * at


@kernel
def backward(worker, begin, end, grid, camera_distance, rays, by_rgb, by_opacity, records, ray_gradients):
    """Gradients, given d(loss)/d(colour) `by_rgb` (R, C) and d(loss)/d(opacity) `by_opacity` (R,).

    Fills in `records`, and adds to `ray_gradients` unless these are None.
    """
    C, W = len(grid.channels), SAMPLE + len(grid.channels)
    origins, directions, jitter, basis = rays.origins, rays.directions, rays.jitter, rays.basis.ravel()
    samples, blended = np.empty(len(grid.edges) * W, np.float32), np.empty(len(grid.row), np.float32)
    by_colour, by_weight = np.empty(C, np.float32), np.zeros(len(grid.edges), np.float32)
    for part in range(begin, end):
        first = part * records.capacity
        for r in range(part * RAYS, min(len(origins), (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, _ = march(grid, camera_distance, origin, direction, jitter[r], basis, r, samples, blended)
            for c in range(C):
                by_colour[c] = by_rgb[r, c]
            trace_back(
                grid, camera_distance, origin, direction, basis, r, samples, count, by_colour, by_opacity[r], by_weight,
                blended, records, first, ray_gradients,
            )  # fmt: skip
            first += count
        records.counts[part] = first - part * records.capacity


@kernel
def learn(
    worker, begin, end, grid, camera_distance, rays, targets, background, distortion, errors, records, ray_gradients
):
    """Forward, mean squared error against `targets` (R, C) on a `background` (C,), and backward, in one pass; beside
    the error, `distortion` times the distortion loss.

    Fills in `records` and the squared error of each ray, summed over colours, `errors` (R,); adds to `ray_gradients`
    unless these are None.
    """
    C, W = len(grid.channels), SAMPLE + len(grid.channels)
    origins, directions, jitter, basis = rays.origins, rays.directions, rays.jitter, rays.basis.ravel()
    scale, of_ray = TWO / np.float32(len(origins) * C), distortion / np.float32(len(origins))
    samples, blended = np.empty(len(grid.edges) * W, np.float32), np.empty(len(grid.row), np.float32)
    by_colour, by_weight = np.empty(C, np.float32), np.zeros(len(grid.edges), np.float32)
    for part in range(begin, end):
        first = part * records.capacity
        for r in range(part * RAYS, min(len(origins), (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, light = march(grid, camera_distance, origin, direction, jitter[r], basis, r, samples, blended)
            error, by_opacity = ZERO, ZERO
            for c in range(C):
                miss = light * background[c] - targets[r, c]
                for s in range(count):
                    miss += samples[s * W + 4] * samples[s * W + 5] * samples[s * W + SAMPLE + c]
                error += miss * miss
                by_colour[c] = scale * miss
                by_opacity -= by_colour[c] * background[c]
            errors[r] = error
            if distortion > ZERO:
                distort(grid, camera_distance, samples, count, W, of_ray, by_weight)
            trace_back(
                grid, camera_distance, origin, direction, basis, r, samples, count, by_colour, by_opacity, by_weight,
                blended, records, first, ray_gradients,
            )  # fmt: skip
            first += count
        records.counts[part] = first - part * records.capacity

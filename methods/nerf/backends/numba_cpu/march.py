"""The fused march of rays through a voxel grid: what `GridField.march` does in plain torch, in one pass on the CPU.

Sampling, skipping of empty space, trilinear lookup, view-dependent colour, compositing and early termination happen
sample by sample, so nothing of size (rays, samples) is made on the way out. On the way back each sample that counts
leaves one short record, which `scatter.py` adds up.

`forward`, `backward` and `learn` are for `threads.spread`, over groups of RAYS rays. Arguments that all kernels share
(arrays are float32 unless said otherwise):
density (X Y Z,), colour (X Y Z C K,), clearance (cells,) uint8; size = (X, Y, Z); place = (low x, y, z, voxel, gain,
min_transmittance), normalised units; edges (S + 1,) cuts of every ray; quiet (S,) raw density below which a sample of
that cut is empty; origins, directions (R, 3); jitter (R,); basis (R, K); hues, row: tuples of length C and C K, which
make these numbers known when compiling; contract: None for plain space, else how far from the centre the cameras are.
"""

from __future__ import annotations

import numpy as np

from methods.nerf.backends.numba_cpu.jit import kernel
from methods.nerf.backends.numba_cpu.simd import blend, dot, exp, log1p

CELL_SHIFT = 1  # a cell of the clearance map is 2 voxels wide: CELL of grid.py
KEPT = 7  # floats kept of a sample while its ray is on: distance, x, y, z, alpha, light before it, d(depth)/d(raw) ...
RECORD = 4  # ... and left of it: x, y, z (voxels), d(loss)/d(raw density); each is followed by C floats for its colours
RAYS = 64  # rays of a group

ZERO, ONE, TWO, HALF, EIGHTH = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5), np.float32(0.125)
SAFETY = np.float32(0.999)  # of a jump over empty space, against rounding
TINY = np.float32(1e-9)
U1 = np.uint64(1)


@kernel
def interval(origin, direction, size, place, edges, contract):
    """First and last sample (exclusive) of a ray that can lie in the grid."""
    last = len(edges) - 1
    if contract is not None:
        return 0, last
    start, stop = edges[0], edges[last]
    for axis in range(3):
        d = TINY if abs(direction[axis]) < TINY else direction[axis]
        a = (place[axis] - origin[axis]) / d
        b = (place[axis] + place[3] * np.float32(size[axis] - 1) - origin[axis]) / d
        start, stop = max(start, min(a, b)), min(stop, max(a, b))
    if stop <= start:
        return 0, 0
    step = edges[1] - edges[0]
    # a sample to spare at either end: every sample is checked anyway
    return max(0, int((start - edges[0]) / step) - 1), min(last, int((stop - edges[0]) / step) + 2)


@kernel
def march(
    density, colour, clearance, size, place, edges, quiet, origin, direction, shift, basis, ray, hues, row, contract,
    kept, blended,
):  # fmt: skip
    """Write the samples of one ray that count into `kept` (S (KEPT + C),): their number, and the light that is left."""
    C, K, W = len(hues), len(row) // len(hues), KEPT + len(hues)
    N = np.uint64(len(row))
    ny, nz = size[1], size[2]
    low_x, low_y, low_z, voxel, gain, min_transmittance = place
    ox, oy, oz = origin
    dx, dy, dz = direction
    cells_y, cells_z = ((ny - 2) >> CELL_SHIFT) + 1, ((nz - 2) >> CELL_SHIFT) + 1
    sx, sy = np.uint64(ny * nz), np.uint64(nz)
    top_x, top_y, top_z = np.float32(size[0] - 1), np.float32(ny - 1), np.float32(nz - 1)
    inverse = ONE / voxel
    step = edges[1] - edges[0]
    pace = ONE / (step * max(abs(dx), max(abs(dy), abs(dz))))
    k, end = interval(origin, direction, size, place, edges, contract)
    count = 0
    light = ONE
    while k < end:
        length = edges[k + 1] - edges[k]
        t = edges[k] + shift * length
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        m = ONE
        if contract is not None:
            m = max(ONE, max(abs(px), max(abs(py), abs(pz))))
            s = (TWO - ONE / m) / m
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
            if contract is not None:
                # the contraction stretches nothing by more than 4/3, and within m / 2 of here by no more than 8 / m
                free = max(np.float32(0.75) * free, min(HALF * m, free * m * EIGHTH))
                k += int(free / (step * max(ONE, t + free - contract))) + 1
            else:
                k += int(free * pace) + 1
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
        if raw > quiet[k]:
            e = exp(-abs(raw))
            scale = gain * length
            alpha = ONE - exp(-scale * (max(raw, ZERO) + log1p(e)))
            at = count * W
            kept[at], kept[at + 1], kept[at + 2], kept[at + 3] = t, x, y, z
            kept[at + 4], kept[at + 5] = alpha, light
            kept[at + 6] = scale * (ONE if raw > ZERO else e) / (ONE + e)
            blend(blended, colour, b00 * N, b01 * N, b10 * N, b11 * N, w00, w01, w10, w11, ez, fz, row)
            for c in range(C):
                value = ZERO
                for j in range(K):
                    value += basis[ray * K + j] * blended[c * K + j]
                kept[at + KEPT + c] = ONE / (ONE + exp(-value))
            count += 1
            light *= ONE - alpha
            if light < min_transmittance:
                break
        k += 1
    return count, light


@kernel
def forward(
    worker, begin, end, density, colour, clearance, size, place, edges, quiet, origins, directions, jitter, basis, hues,
    row, contract,
    rgb, opacity, depth,
):  # fmt: skip
    """Fill in colour (R, C), opacity (R,) and mean distance (R,, normalised) of rays, before any background."""
    W, views, rays = KEPT + len(hues), basis.ravel(), len(origins)
    kept, blended = np.empty(len(edges) * W, np.float32), np.empty(len(row), np.float32)
    for part in range(begin, end):
        for r in range(part * RAYS, min(rays, (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, light = march(
                density, colour, clearance, size, place, edges, quiet, origin, direction, jitter[r], views, r, hues,
                row, contract, kept, blended,
            )  # fmt: skip
            distance = ZERO
            for c in range(len(hues)):
                rgb[r, c] = ZERO
            for s in range(count):
                weight = kept[s * W + 4] * kept[s * W + 5]
                distance += weight * kept[s * W]
                for c in range(len(hues)):
                    rgb[r, c] += weight * kept[s * W + KEPT + c]
            opacity[r] = ONE - light
            depth[r] = distance / max(ONE - light, np.float32(1e-6))


@kernel
def trace_back(
    density, colour, size, place, origin, direction, basis, ray, hues, row, contract, kept, count, light, slopes,
    dimming, wants_rays, colour_slope, records, owners, first, slope_origins, slope_directions, slope_basis,
):  # fmt: skip
    """Write the records of one ray from `first` on, given d(loss)/d(colour) `slopes` (C,) and d(loss)/d(opacity)
    `dimming`; where `wants_rays` is not None also d(loss) by origin, direction and basis of the ray."""
    C, K, W, R = len(hues), len(row) // len(hues), KEPT + len(hues), RECORD + len(hues)
    N = np.uint64(len(row))
    sx, sy = np.uint64(size[1] * size[2]), np.uint64(size[2])
    inverse = ONE / place[3]
    behind = ZERO  # sum of weight times worth of the samples behind this one
    for s in range(count - 1, -1, -1):
        at, to = s * W, (first + s) * R
        alpha, before = kept[at + 4], kept[at + 5]
        weight = alpha * before
        worth = dimming
        for c in range(C):
            worth += slopes[c] * kept[at + KEPT + c]
        # d(loss)/d(optical depth): more of this sample, less of all behind it
        by_raw = ((before - weight) * worth - behind) * kept[at + 6]
        behind += weight * worth
        x, y, z = kept[at + 1], kept[at + 2], kept[at + 3]
        records[to], records[to + 1], records[to + 2], records[to + 3] = x, y, z, by_raw
        owners[first + s] = ray
        for c in range(C):
            value = kept[at + KEPT + c]
            records[to + RECORD + c] = weight * slopes[c] * value * (ONE - value)
        if wants_rays is not None:
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
            ex, ey, ez = ONE - fx, ONE - fy, ONE - fz
            for c in range(C):
                for j in range(K):
                    colour_slope[c * K + j] = records[to + RECORD + c] * basis[ray * K + j]
            b00 = np.uint64(ix) * sx + np.uint64(iy) * sy + np.uint64(iz)
            b01, b10 = b00 + sy, b00 + sx
            b11 = b10 + sy
            # what one unit of each corner's values is worth
            h000 = by_raw * density[b00] + dot(colour, b00 * N, colour_slope, row)
            h001 = by_raw * density[b00 + U1] + dot(colour, b00 * N + N, colour_slope, row)
            h010 = by_raw * density[b01] + dot(colour, b01 * N, colour_slope, row)
            h011 = by_raw * density[b01 + U1] + dot(colour, b01 * N + N, colour_slope, row)
            h100 = by_raw * density[b10] + dot(colour, b10 * N, colour_slope, row)
            h101 = by_raw * density[b10 + U1] + dot(colour, b10 * N + N, colour_slope, row)
            h110 = by_raw * density[b11] + dot(colour, b11 * N, colour_slope, row)
            h111 = by_raw * density[b11 + U1] + dot(colour, b11 * N + N, colour_slope, row)
            gx = ey * (ez * (h100 - h000) + fz * (h101 - h001)) + fy * (ez * (h110 - h010) + fz * (h111 - h011))
            gy = ex * (ez * (h010 - h000) + fz * (h011 - h001)) + fx * (ez * (h110 - h100) + fz * (h111 - h101))
            gz = ex * (ey * (h001 - h000) + fy * (h011 - h010)) + fx * (ey * (h101 - h100) + fy * (h111 - h110))
            gx, gy, gz = gx * inverse, gy * inverse, gz * inverse
            t = kept[at]
            if contract is not None:
                px, py, pz = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
                m = max(abs(px), max(abs(py), abs(pz)))
                if m > ONE:
                    # y = s(m) x: its Jacobian is s I + s'(m) x (dm/dx)^T, and m depends on the largest coordinate alone
                    s, ds = (TWO - ONE / m) / m, TWO * (ONE / m - ONE) / (m * m)
                    pull = ds * (gx * px + gy * py + gz * pz)
                    gx, gy, gz = s * gx, s * gy, s * gz
                    if abs(px) == m:
                        gx += pull if px > ZERO else -pull
                    elif abs(py) == m:
                        gy += pull if py > ZERO else -pull
                    else:
                        gz += pull if pz > ZERO else -pull
            slope_origins[ray, 0] += gx
            slope_origins[ray, 1] += gy
            slope_origins[ray, 2] += gz
            slope_directions[ray, 0] += t * gx
            slope_directions[ray, 1] += t * gy
            slope_directions[ray, 2] += t * gz
            blend(
                colour_slope,
                colour,
                b00 * N,
                b01 * N,
                b10 * N,
                b11 * N,
                ex * ey,
                ex * fy,
                fx * ey,
                fx * fy,
                ez,
                fz,
                row,
            )
            for c in range(C):
                for j in range(K):
                    slope_basis[ray, j] += records[to + RECORD + c] * colour_slope[c * K + j]


@kernel
def backward(
    worker, begin, end, density, colour, clearance, size, place, edges, quiet, origins, directions, jitter, basis, hues,
    row, contract,
    slopes, dimming, records, owners, counts, capacity, wants_rays, slope_origins, slope_directions, slope_basis,
):  # fmt: skip
    """Gradients, given d(loss)/d(colour) `slopes` (R, C) and d(loss)/d(opacity) `dimming` (R,).

    The records of each group of RAYS rays are written from the group's number times `capacity` on, `counts` (groups,)
    of them. The slopes by ray (R, 3), (R, 3), (R, K) are added to, where `wants_rays` is not None.
    """
    C, W, views, rays = len(hues), KEPT + len(hues), basis.ravel(), len(origins)
    kept, blended = np.empty(len(edges) * W, np.float32), np.empty(len(row), np.float32)
    slope = np.empty(C, np.float32)
    for part in range(begin, end):
        first = part * capacity
        for r in range(part * RAYS, min(rays, (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, light = march(
                density, colour, clearance, size, place, edges, quiet, origin, direction, jitter[r], views, r, hues,
                row, contract, kept, blended,
            )  # fmt: skip
            for c in range(C):
                slope[c] = slopes[r, c]
            trace_back(
                density, colour, size, place, origin, direction, views, r, hues, row, contract, kept, count, light,
                slope, dimming[r], wants_rays, blended, records, owners, first, slope_origins, slope_directions,
                slope_basis,
            )  # fmt: skip
            first += count
        counts[part] = first - part * capacity


@kernel
def learn(
    worker, begin, end, density, colour, clearance, size, place, edges, quiet, origins, directions, jitter, basis, hues,
    row, contract,
    targets, background, records, owners, counts, capacity, errors, wants_rays, slope_origins, slope_directions,
    slope_basis,
):  # fmt: skip
    """Forward, mean squared error against `targets` (R, C) on a `background` (C,), and backward, in one pass.

    Fills in the records as `backward` does, and the squared error of each ray, summed over colours, `errors` (R,);
    where `wants_rays` is not None also the slopes by ray.
    """
    C, W, views, rays = len(hues), KEPT + len(hues), basis.ravel(), len(origins)
    scale = TWO / np.float32(rays * C)
    kept, blended = np.empty(len(edges) * W, np.float32), np.empty(len(row), np.float32)
    slope = np.empty(C, np.float32)
    for part in range(begin, end):
        first = part * capacity
        for r in range(part * RAYS, min(rays, (part + 1) * RAYS)):
            origin = (origins[r, 0], origins[r, 1], origins[r, 2])
            direction = (directions[r, 0], directions[r, 1], directions[r, 2])
            count, light = march(
                density, colour, clearance, size, place, edges, quiet, origin, direction, jitter[r], views, r, hues,
                row, contract, kept, blended,
            )  # fmt: skip
            error, dimming = ZERO, ZERO
            for c in range(C):
                miss = light * background[c] - targets[r, c]
                for s in range(count):
                    miss += kept[s * W + 4] * kept[s * W + 5] * kept[s * W + KEPT + c]
                error += miss * miss
                slope[c] = scale * miss
                dimming -= slope[c] * background[c]
            errors[r] = error
            trace_back(
                density, colour, size, place, origin, direction, views, r, hues, row, contract, kept, count, light,
                slope, dimming, wants_rays, blended, records, owners, first, slope_origins, slope_directions,
                slope_basis,
            )  # fmt: skip
            first += count
        counts[part] = first - part * capacity

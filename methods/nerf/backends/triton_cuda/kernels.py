"""The fused march of rays through a voxel grid on a GPU: what `torch_reference.render` does, B rays a program.

All rays of a program walk in step, each from sample to sample of its own, past empty space by the clearance map. On
the way back every ray walks again: the slope of the loss and what the ray saw, its colour and, for the distortion
loss, two sums more, give each sample's gradient, which is added to its eight voxels by atomics. These add up in any
order: two fits of one seed are equal to rounding alone. The colours of a voxel are CP KP lanes, C and K rounded up to
powers of two.

Arguments that both marches share: density (X Y Z,), colour (X Y Z C K,), clearance (cells,) uint8, edges (S + 1,);
origins, directions (R, 3), jitter (R,), basis (R, K); `camera_distance` and `shell` are heeded where UNBOUNDED, places
and spreads (R,) where DISTORTS.
"""

# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false
# pyright: reportIndexIssue=false, reportCallIssue=false, reportAttributeAccessIssue=false

from typing import Any

import triton
import triton.language as tl

jit: Any = triton.jit  # what it makes is launched with a grid and Python's numbers: its type is not the function's
launched: Any = triton.jit(
    do_not_specialize=["R", "S", "X", "Y", "Z", "voxels"],
    do_not_specialize_on_alignment=["origins", "directions", "jitter", "basis"],
)
"""Of a kernel that is launched: compiled once for all sizes. Triton compiles anew for integers that are 1 or divisible
by 16, and for tensors that begin at such an address; grids and batches are of any size, and batches cut anywhere."""


@jit
def _log1p(x):
    """log(1 + x) for x in [0, 1], exact for small x too."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * x / tl.where(u == 1.0, 1.0, u - 1.0))


@jit
def _ray(origins, directions, jitter, ray, live):
    ox = tl.load(origins + ray * 3, mask=live, other=0.0)
    oy = tl.load(origins + ray * 3 + 1, mask=live, other=0.0)
    oz = tl.load(origins + ray * 3 + 2, mask=live, other=0.0)
    dx = tl.load(directions + ray * 3, mask=live, other=1.0)
    dy = tl.load(directions + ray * 3 + 1, mask=live, other=1.0)
    dz = tl.load(directions + ray * 3 + 2, mask=live, other=1.0)
    return ox, oy, oz, dx, dy, dz, tl.load(jitter + ray, mask=live, other=0.5)


@jit
def _slab(origin, direction, low, high):
    """Where along a ray it is between two planes."""
    d = tl.where(tl.abs(direction) < 1e-9, 1e-9, direction)
    a, b = (low - origin) / d, (high - origin) / d
    return tl.minimum(a, b), tl.maximum(a, b)


@jit
def _interval(edges, ox, oy, oz, dx, dy, dz, live, S, X, Y, Z, low_x, low_y, low_z, voxel, UNBOUNDED: tl.constexpr):
    """First and last sample (exclusive) of each ray that can lie in the grid."""
    first = tl.zeros_like(ox).to(tl.int32)
    if UNBOUNDED:
        last = tl.where(live, first + S, first)
    else:
        start, step = tl.load(edges), tl.load(edges + 1) - tl.load(edges)
        x0, x1 = _slab(ox, dx, low_x, low_x + voxel * (X - 1))
        y0, y1 = _slab(oy, dy, low_y, low_y + voxel * (Y - 1))
        z0, z1 = _slab(oz, dz, low_z, low_z + voxel * (Z - 1))
        enter = tl.maximum(tl.maximum(x0, y0), tl.maximum(z0, start))
        leave = tl.minimum(tl.minimum(x1, y1), tl.minimum(z1, tl.load(edges + S)))
        meets = live & (leave > enter)
        # a sample to spare at either end: every sample is checked anyway
        first = tl.where(meets, tl.maximum(((enter - start) / step).to(tl.int32) - 1, 0), 0)
        last = tl.where(meets, tl.minimum(((leave - start) / step).to(tl.int32) + 2, S), 0)
    return first, last


@jit
def _sample(
    clearance, edges, on, k, shift, ox, oy, oz, dx, dy, dz, X, Y, Z, low_x, low_y, low_z, voxel, camera_distance,
    shell, UNBOUNDED: tl.constexpr,
):  # fmt: skip
    """Sample k of each ray: distance, length of its interval, place in voxels, how far out it was before contraction,
    whether something may be there, and how many samples on the next one is to look at."""
    start = tl.load(edges + k, mask=on, other=0.0)
    length = tl.load(edges + k + 1, mask=on, other=1.0) - start
    t = start + shift * length
    px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
    m = tl.full(px.shape, 1.0, tl.float32)
    if UNBOUNDED:
        m = tl.maximum(m, tl.maximum(tl.abs(px), tl.maximum(tl.abs(py), tl.abs(pz))))
        s = (1.0 + shell - shell / m) / m
        px, py, pz = px * s, py * s, pz * s
    x, y, z = (px - low_x) / voxel, (py - low_y) / voxel, (pz - low_z) / voxel
    inside = on & (x >= 0) & (y >= 0) & (z >= 0) & (x < X - 1) & (y < Y - 1) & (z < Z - 1)
    ix, iy, iz = x.to(tl.int32), y.to(tl.int32), z.to(tl.int32)
    cell = ((ix // 2) * ((Y - 2) // 2 + 1) + iy // 2) * ((Z - 2) // 2 + 1) + iz // 2
    away = tl.load(clearance + cell, mask=inside, other=0).to(tl.int32)
    free = ((away - 1) * 2).to(tl.float32) * voxel * 0.999  # against rounding
    step = tl.load(edges + 1) - tl.load(edges)
    if UNBOUNDED:
        # the contraction stretches nothing by more than reach^2 / (3 shell), and within m / 2 of here by no more than
        # 4 reach / m
        reach = 1.0 + shell
        free = tl.maximum(3.0 * shell / (reach * reach) * free, tl.minimum(0.5 * m, free * m * (0.25 / reach)))
        jump = (free / (step * tl.maximum(1.0, t + free - camera_distance))).to(tl.int32) + 1
    else:
        fastest = tl.maximum(tl.abs(dx), tl.maximum(tl.abs(dy), tl.abs(dz)))
        jump = (free / (step * fastest)).to(tl.int32) + 1
    return t, length, x, y, z, m, inside & (away == 0), tl.where(inside & (away > 0), jump, 1)


@jit
def _share(x):
    """How far a place is past the voxel below it."""
    return x - x.to(tl.int32).to(tl.float32)


@jit
def _corner(x, y, z, Y, Z, ux: tl.constexpr, uy: tl.constexpr, uz: tl.constexpr):
    """Number of one of the eight voxels around a place, and its weight."""
    ix, iy, iz = x.to(tl.int32), y.to(tl.int32), z.to(tl.int32)
    fx, fy, fz = _share(x), _share(y), _share(z)
    weight = (fx if ux else 1.0 - fx) * (fy if uy else 1.0 - fy) * (fz if uz else 1.0 - fz)
    return (((ix + ux).to(tl.int64) * Y + iy + uy) * Z + iz + uz), weight


@jit
def _look_up(density, colour, x, y, z, hit, entry, used, Y, Z, N):
    """Raw density (B,) and raw colours (B, CP KP), interpolated."""
    raw = tl.zeros_like(x)
    blended = tl.zeros((x.shape[0], entry.shape[0]), tl.float32)
    for corner in tl.static_range(8):
        at, weight = _corner(x, y, z, Y, Z, corner // 4, corner // 2 % 2, corner % 2)
        raw += weight * tl.load(density + at, mask=hit, other=0.0)
        row = tl.load(colour + at[:, None] * N + entry[None, :], mask=hit[:, None] & used[None, :], other=0.0)
        blended += weight[:, None] * row
    return raw, blended


@jit
def _emit(raw, blended, harmonics, hit, length, gain, min_alpha, CP: tl.constexpr, KP: tl.constexpr):
    """Opacity (B,) of each sample, d(optical depth)/d(raw density), and its colours (B, CP)."""
    e = tl.exp(-tl.abs(raw))
    scale = gain * length
    alpha = 1.0 - tl.exp(-scale * (tl.maximum(raw, 0.0) + _log1p(e)))
    alpha = tl.where(hit & (alpha > min_alpha), alpha, 0.0)
    value = tl.sum(tl.reshape(blended * harmonics, (raw.shape[0], CP, KP)), axis=2)
    return alpha, scale * tl.where(raw > 0, 1.0, e) / (1.0 + e), 1.0 / (1.0 + tl.exp(-value))


@jit
def _place(t, camera_distance, UNBOUNDED: tl.constexpr):
    """A distance along a ray, counted as if all intervals were as long as the first (`marching_edges`)."""
    if UNBOUNDED:
        out = t - camera_distance
        t = tl.where(out > 1.0, camera_distance + 1.0 + tl.log(tl.maximum(out, 1.0)), t)
    return t


@launched
def forward(
    density, colour, clearance, edges, origins, directions, jitter, basis, rgb, opacity, distance, places, spreads,
    R, S, X, Y, Z, low_x, low_y, low_z, voxel, gain, min_alpha, min_transmittance, camera_distance, shell,
    C: tl.constexpr, K: tl.constexpr, CP: tl.constexpr, KP: tl.constexpr, UNBOUNDED: tl.constexpr, B: tl.constexpr,
    DISTORTS: tl.constexpr,
):  # fmt: skip
    """Fill in colour (R, C), opacity (R,) and mean distance (R,) of rays, before any background; where DISTORTS, the
    sum of weights times places (R,) and the distortion loss (R,) of each, too."""
    ray = tl.program_id(0) * B + tl.arange(0, B)
    live = ray < R
    lane, channel = tl.arange(0, CP * KP), tl.arange(0, CP)
    used, entry = (lane // KP < C) & (lane % KP < K), (lane // KP) * K + lane % KP
    harmonics = tl.load(basis + ray[:, None] * K + (lane % KP)[None, :], mask=live[:, None] & used[None, :], other=0.0)
    ox, oy, oz, dx, dy, dz, shift = _ray(origins, directions, jitter, ray, live)
    k, last = _interval(edges, ox, oy, oz, dx, dy, dz, live, S, X, Y, Z, low_x, low_y, low_z, voxel, UNBOUNDED)
    seen = tl.zeros((B, CP), tl.float32)
    light = tl.full((B,), 1.0, tl.float32)
    travelled, step = tl.zeros((B,), tl.float32), tl.load(edges + 1) - tl.load(edges)
    before, spread = tl.zeros((B,), tl.float32), tl.zeros((B,), tl.float32)
    on = k < last
    while tl.max(on.to(tl.int32), axis=0) > 0:
        t, length, x, y, z, _m, hit, hop = _sample(
            clearance, edges, on, k, shift, ox, oy, oz, dx, dy, dz, X, Y, Z, low_x, low_y, low_z, voxel,
            camera_distance, shell, UNBOUNDED,
        )  # fmt: skip
        if tl.max(hit.to(tl.int32), axis=0) > 0:
            raw, blended = _look_up(density, colour, x, y, z, hit, entry, used, Y, Z, C * K)
            alpha, _, emitted = _emit(raw, blended, harmonics, hit, length, gain, min_alpha, CP, KP)
            weight = alpha * light
            seen += weight[:, None] * emitted
            travelled += weight * t
            if DISTORTS:
                place = _place(t, camera_distance, UNBOUNDED)
                spread += 2.0 * weight * (place * (1.0 - light) - before) + weight * weight * step / 3.0
                before += weight * place
            light *= 1.0 - alpha
        k += hop
        on = on & (k < last) & (light >= min_transmittance)
    tl.store(rgb + ray[:, None] * C + channel[None, :], seen, mask=live[:, None] & (channel < C)[None, :])
    tl.store(opacity + ray, 1.0 - light, mask=live)
    tl.store(distance + ray, travelled / tl.maximum(1.0 - light, 1e-6), mask=live)
    if DISTORTS:
        tl.store(places + ray, before, mask=live)
        tl.store(spreads + ray, spread, mask=live)


@launched
def backward(
    density, colour, clearance, edges, origins, directions, jitter, basis, rgb, opacity, places, spreads,
    by_rgb, by_opacity, by_density, by_colour, touched, by_origins, by_directions, by_basis, distortion,
    R, S, X, Y, Z, low_x, low_y, low_z, voxel, gain, min_alpha, min_transmittance, camera_distance, shell,
    C: tl.constexpr, K: tl.constexpr, CP: tl.constexpr, KP: tl.constexpr, UNBOUNDED: tl.constexpr, B: tl.constexpr,
    DISTORTS: tl.constexpr, WANTS_VOXELS: tl.constexpr, WANTS_RAYS: tl.constexpr,
):  # fmt: skip
    """Gradients, given what `forward` found and d(loss) by it, where DISTORTS also by `distortion` times the sum of the
    distortion losses (Barron et al. 2022, eq. 15), in one sweep: added to `by_density` (X Y Z,) and `by_colour`
    (X Y Z C K,), whose voxels are marked in `touched` (X Y Z,) uint8; written to the gradients by ray."""
    ray = tl.program_id(0) * B + tl.arange(0, B)
    live = ray < R
    lane, channel, harmonic = tl.arange(0, CP * KP), tl.arange(0, CP), tl.arange(0, KP)
    used, entry = (lane // KP < C) & (lane % KP < K), (lane // KP) * K + lane % KP
    harmonics = tl.load(basis + ray[:, None] * K + (lane % KP)[None, :], mask=live[:, None] & used[None, :], other=0.0)
    ox, oy, oz, dx, dy, dz, shift = _ray(origins, directions, jitter, ray, live)
    k, last = _interval(edges, ox, oy, oz, dx, dy, dz, live, S, X, Y, Z, low_x, low_y, low_z, voxel, UNBOUNDED)
    colours = live[:, None] & (channel < C)[None, :]
    slope = tl.load(by_rgb + ray[:, None] * C + channel[None, :], mask=colours, other=0.0)
    dimming = tl.load(by_opacity + ray, mask=live, other=0.0)
    whole = tl.load(rgb + ray[:, None] * C + channel[None, :], mask=colours, other=0.0)
    total = tl.load(opacity + ray, mask=live, other=0.0)
    # sum of weight times worth of the samples from here on
    ahead = dimming * total + tl.sum(slope * whole, axis=1)
    step = tl.load(edges + 1) - tl.load(edges)
    before, total_place = tl.zeros((B,), tl.float32), tl.zeros((B,), tl.float32)
    if DISTORTS:  # quadratic in the weights: weight times slope adds up to twice its value
        total_place = tl.load(places + ray, mask=live, other=0.0)
        ahead += 2.0 * distortion * tl.load(spreads + ray, mask=live, other=0.0)
    light = tl.full((B,), 1.0, tl.float32)
    gox, goy, goz = tl.zeros_like(ox), tl.zeros_like(ox), tl.zeros_like(ox)
    gdx, gdy, gdz = tl.zeros_like(ox), tl.zeros_like(ox), tl.zeros_like(ox)
    g_basis = tl.zeros((B, KP), tl.float32)
    on = k < last
    while tl.max(on.to(tl.int32), axis=0) > 0:
        t, length, x, y, z, m, hit, hop = _sample(
            clearance, edges, on, k, shift, ox, oy, oz, dx, dy, dz, X, Y, Z, low_x, low_y, low_z, voxel,
            camera_distance, shell, UNBOUNDED,
        )  # fmt: skip
        if tl.max(hit.to(tl.int32), axis=0) > 0:
            raw, blended = _look_up(density, colour, x, y, z, hit, entry, used, Y, Z, C * K)
            alpha, by_depth, emitted = _emit(raw, blended, harmonics, hit, length, gain, min_alpha, CP, KP)
            solid = alpha > 0
            weight = alpha * light
            worth = dimming + tl.sum(slope * emitted, axis=1)
            if DISTORTS:
                place = _place(t, camera_distance, UNBOUNDED)
                behind, behind_place = total - (1.0 - light) - weight, total_place - before - weight * place
                apart = place * (1.0 - light) - before + behind_place - place * behind
                worth += distortion * (2.0 * apart + 2.0 / 3.0 * weight * step)
                before += weight * place
            ahead -= weight * worth
            # d(loss)/d(optical depth): more of this sample, less of all behind it
            by_raw = tl.where(solid, ((light - weight) * worth - ahead) * by_depth, 0.0)
            by_value = weight[:, None] * slope * emitted * (1.0 - emitted)  # (B, CP)
            spread = tl.reshape(tl.broadcast_to(by_value[:, :, None], (B, CP, KP)), (B, CP * KP))
            by_row = spread * harmonics
            gx, gy, gz = tl.zeros_like(ox), tl.zeros_like(ox), tl.zeros_like(ox)
            fx, fy, fz = _share(x), _share(y), _share(z)
            for corner in tl.static_range(8):
                at, share = _corner(x, y, z, Y, Z, corner // 4, corner // 2 % 2, corner % 2)
                row, wanted = at[:, None] * (C * K) + entry[None, :], solid[:, None] & used[None, :]
                if WANTS_VOXELS:
                    tl.atomic_add(by_density + at, share * by_raw, mask=solid, sem="relaxed")
                    tl.atomic_add(by_colour + row, share[:, None] * by_row, mask=wanted, sem="relaxed")
                    tl.store(touched + at, tl.full((B,), 1, tl.uint8), mask=solid)
                if WANTS_RAYS:
                    # what one unit of this corner's values is worth
                    value = by_raw * tl.load(density + at, mask=solid, other=0.0)
                    value += tl.sum(by_row * tl.load(colour + row, mask=wanted, other=0.0), axis=1)
                    wx = fx if corner // 4 else 1.0 - fx
                    wy = fy if corner // 2 % 2 else 1.0 - fy
                    wz = fz if corner % 2 else 1.0 - fz
                    gx += (1.0 if corner // 4 else -1.0) * wy * wz * value
                    gy += (1.0 if corner // 2 % 2 else -1.0) * wx * wz * value
                    gz += (1.0 if corner % 2 else -1.0) * wx * wy * value
            if WANTS_RAYS:
                gx, gy, gz = gx / voxel, gy / voxel, gz / voxel
                if UNBOUNDED:
                    # y = s(m) x: its Jacobian is s I + s'(m) x (dm/dx)^T, and m depends on the largest coordinate alone
                    px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
                    s, ds = (1.0 + shell - shell / m) / m, (2.0 * shell / m - 1.0 - shell) / (m * m)
                    pull = ds * (gx * px + gy * py + gz * pz)
                    squeezed = m > 1.0
                    on_x = squeezed & (tl.abs(px) == m)
                    on_y = squeezed & (tl.abs(py) == m) & (on_x == 0)
                    on_z = squeezed & (on_x == 0) & (on_y == 0)
                    gx = s * gx + tl.where(on_x, tl.where(px > 0, pull, -pull), 0.0)
                    gy = s * gy + tl.where(on_y, tl.where(py > 0, pull, -pull), 0.0)
                    gz = s * gz + tl.where(on_z, tl.where(pz > 0, pull, -pull), 0.0)
                gox += gx
                goy += gy
                goz += gz
                gdx += t * gx
                gdy += t * gy
                gdz += t * gz
                g_basis += tl.sum(tl.reshape(spread * blended, (B, CP, KP)), axis=1)
            light *= 1.0 - alpha
        k += hop
        on = on & (k < last) & (light >= min_transmittance)
    if WANTS_RAYS:
        tl.store(by_origins + ray * 3, gox, mask=live)
        tl.store(by_origins + ray * 3 + 1, goy, mask=live)
        tl.store(by_origins + ray * 3 + 2, goz, mask=live)
        tl.store(by_directions + ray * 3, gdx, mask=live)
        tl.store(by_directions + ray * 3 + 1, gdy, mask=live)
        tl.store(by_directions + ray * 3 + 2, gdz, mask=live)
        entries = by_basis + ray[:, None] * K + harmonic[None, :]
        tl.store(entries, g_basis, mask=live[:, None] & (harmonic < K)[None, :])


@launched
def add_priors(
    density, colour, by_density, by_colour, touched, weights, X, Y, Z, N: tl.constexpr, NP: tl.constexpr,
    V: tl.constexpr,
):  # fmt: skip
    """Add to the gradients of touched voxels those of the raw density itself, and of half the squared differences
    between a voxel and its six neighbours; `weights` (3,) of these, of density and of colour."""
    voxel = tl.program_id(0).to(tl.int64) * V + tl.arange(0, V)
    mine = tl.load(touched + voxel, mask=voxel < X * Y * Z, other=0) > 0
    if tl.max(mine.to(tl.int32), axis=0) > 0:
        smooth_density, smooth_colour = tl.load(weights + 1), tl.load(weights + 2)
        lane = tl.arange(0, NP)
        row, wanted = voxel[:, None] * N + lane[None, :], mine[:, None] & (lane < N)[None, :]
        d, c = tl.load(density + voxel, mask=mine, other=0.0), tl.load(colour + row, mask=wanted, other=0.0)
        g = tl.load(by_density + voxel, mask=mine, other=0.0) + tl.load(weights)
        h = tl.load(by_colour + row, mask=wanted, other=0.0)
        for axis in tl.static_range(3):
            stride = Y * Z if axis == 0 else (Z if axis == 1 else 1)
            count = X if axis == 0 else (Y if axis == 1 else Z)
            place = (voxel // stride) % count
            for side in tl.static_range(2):
                there = mine & ((place < count - 1) if side else (place > 0))
                shift = stride if side else -stride
                near = tl.load(density + voxel + shift, mask=there, other=0.0)
                g += tl.where(there, smooth_density * (d - near), 0.0)
                next_to = there[:, None] & (lane < N)[None, :]
                other = tl.load(colour + row + shift * N, mask=next_to, other=0.0)
                h += tl.where(next_to, smooth_colour * (c - other), 0.0)
        tl.store(by_density + voxel, g, mask=mine)
        tl.store(by_colour + row, h, mask=wanted)


@launched
def adam(
    values, gradients, means, squares, touched, sizes, voxels, RATE: tl.constexpr, N: tl.constexpr, NP: tl.constexpr,
    V: tl.constexpr,
):  # fmt: skip
    """One step of Adam (Kingma and Ba 2015) on the touched of `voxels` rows of N values, whose gradients become zero.

    `sizes` (5,): the rates of density and colour (RATE says which), beta 1, beta 2, epsilon, bias corrected.
    """
    voxel = tl.program_id(0).to(tl.int64) * V + tl.arange(0, V)
    mine = tl.load(touched + voxel, mask=voxel < voxels, other=0) > 0
    if tl.max(mine.to(tl.int32), axis=0) > 0:
        lane = tl.arange(0, NP)
        at, wanted = voxel[:, None] * N + lane[None, :], mine[:, None] & (lane < N)[None, :]
        keep_mean, keep_square, epsilon = tl.load(sizes + 2), tl.load(sizes + 3), tl.load(sizes + 4)
        g = tl.load(gradients + at, mask=wanted, other=0.0)
        m = keep_mean * tl.load(means + at, mask=wanted, other=0.0) + (1.0 - keep_mean) * g
        v = keep_square * tl.load(squares + at, mask=wanted, other=0.0) + (1.0 - keep_square) * g * g
        p = tl.load(values + at, mask=wanted, other=0.0) - tl.load(sizes + RATE) * m / (tl.sqrt(v) + epsilon)
        tl.store(values + at, p, mask=wanted)
        tl.store(means + at, m, mask=wanted)
        tl.store(squares + at, v, mask=wanted)
        tl.store(gradients + at, tl.zeros_like(g), mask=wanted)

// Strided, batched matrix product with results in registers: 16 x 8 of them an invocation, and rows by subgroup broadcast.
//
//   c[o, g][i, j] = bias + sum over r < reduce, t < k of  a[o, g, r][i, t] * b[o, g, r][t, j]
//
// for i < m, j < n, and batches numbered o * inner + g. Element addresses:
//
//   a: a_offset + o * a_outer + g * a_inner + r * a_reduce + i * a_row + t * a_col
//   b: b_offset + o * b_outer + g * b_inner + r * b_reduce + t * b_row + j * b_col
//   c: c_offset + o * c_outer + g * c_inner + i * c_row + j
//
// Strides express transposes, a stride of 0 shares an operand between batches, and `reduce` adds the
// products of several pictures in one result (a weight gradient). Only `reduce_total - o * reduce` of
// them exist for the last slice o. bias: 0 none, 1 bias[j], 2 bias[g * m + i].
//
// Made for software adapters, where every load costs about the same in each lane, broadcasts are nearly free
// and barriers are slow. A workgroup has 16 rows and 64 x 8 columns. Two loads fetch the 16 elements of `a` into
// the first eight lanes of each subgroup, which hand them to all others: ten loads feed 128 multiply-adds. Needs
// subgroups of at least eight lanes, all of them active: lanes past the edge compute and do not store. Four
// steps a turn, since a turn of a loop moves the whole tile.
// Dispatch: batches * ceil(m / 16) * ceil(n / 512) workgroups.

// uses tile.wgsl

struct Matmul {
    m: u32, n: u32, k: u32, reduce: u32, batches: u32, inner: u32,
    a_offset: u32, a_row: u32, a_col: u32, a_reduce: u32, a_outer: u32, a_inner: u32,
    b_offset: u32, b_row: u32, b_col: u32, b_reduce: u32, b_outer: u32, b_inner: u32,
    c_offset: u32, c_row: u32, c_outer: u32, c_inner: u32,
    bias: u32, reduce_total: u32,
}

@group(0) @binding(0) var<uniform> params: Matmul;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn bias_at(g: u32, i: u32, j: u32) -> f32 {
    switch params.bias {
        case 1u: { return bias[j]; }
        case 2u: { return bias[g * params.m + i]; }
        default: { return 0.0; }
    }
}

fn store(g: u32, i: u32, j: u32, address: u32, left: vec4f, right: vec4f) {
    if (i >= params.m) { return; }
    if (j + 0u < params.n) { c[address + 0u] = left.x + bias_at(g, i, j + 0u); }
    if (j + 1u < params.n) { c[address + 1u] = left.y + bias_at(g, i, j + 1u); }
    if (j + 2u < params.n) { c[address + 2u] = left.z + bias_at(g, i, j + 2u); }
    if (j + 3u < params.n) { c[address + 3u] = left.w + bias_at(g, i, j + 3u); }
    if (j + 4u < params.n) { c[address + 4u] = right.x + bias_at(g, i, j + 4u); }
    if (j + 5u < params.n) { c[address + 5u] = right.y + bias_at(g, i, j + 5u); }
    if (j + 6u < params.n) { c[address + 6u] = right.z + bias_at(g, i, j + 6u); }
    if (j + 7u < params.n) { c[address + 7u] = right.w + bias_at(g, i, j + 7u); }
}

@compute @workgroup_size(64)
fn matmul_subgroups(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let across = (params.n + 511u) / 512u;
    let down = (params.m + 15u) / 16u;
    let at_tile = workgroup_index(group, groups);
    if (at_tile >= across * down * params.batches) { return; }
    let batch = at_tile / (across * down);
    let in_batch = at_tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i = in_batch / across * 16u;
    let j = in_batch % across * 512u + lane * 8u;
    // Eights of lanes with nothing to do leave together; the lanes that hand elements on stay.
    if (j / 64u * 64u >= params.n) { return; }
    let last_i = params.m - 1u;
    let last_j = params.n - 1u;
    let steps = min(params.reduce, params.reduce_total - o * params.reduce);
    let a_base = params.a_offset + o * params.a_outer + g * params.a_inner;
    let b_base = params.b_offset + o * params.b_outer + g * params.b_inner;

    // Rows of the lanes that hand elements on: 0 to 7, and 8 to 15.
    let alo = a_base + min(i + sub % 8u, last_i) * params.a_row;
    let ahi = a_base + min(i + 8u + sub % 8u, last_i) * params.a_row;
    let b0 = b_base + min(j + 0u, last_j) * params.b_col;
    let b1 = b_base + min(j + 1u, last_j) * params.b_col;
    let b2 = b_base + min(j + 2u, last_j) * params.b_col;
    let b3 = b_base + min(j + 3u, last_j) * params.b_col;
    let b4 = b_base + min(j + 4u, last_j) * params.b_col;
    let b5 = b_base + min(j + 5u, last_j) * params.b_col;
    let b6 = b_base + min(j + 6u, last_j) * params.b_col;
    let b7 = b_base + min(j + 7u, last_j) * params.b_col;

    var tile: Tile;
    for (var r = 0u; r < steps; r++) {
        var at = r * params.a_reduce;
        var bt = r * params.b_reduce;
        var t = 0u;
        for (; t + 4u <= params.k; t += 4u) {
            add_outer(&tile, a[alo + at], a[ahi + at], vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]), vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]));
            at += params.a_col;
            bt += params.b_row;
            add_outer(&tile, a[alo + at], a[ahi + at], vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]), vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]));
            at += params.a_col;
            bt += params.b_row;
            add_outer(&tile, a[alo + at], a[ahi + at], vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]), vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]));
            at += params.a_col;
            bt += params.b_row;
            add_outer(&tile, a[alo + at], a[ahi + at], vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]), vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]));
            at += params.a_col;
            bt += params.b_row;
        }
        for (; t < params.k; t++) {
            add_outer(&tile, a[alo + at], a[ahi + at], vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]), vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]));
            at += params.a_col;
            bt += params.b_row;
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + i * params.c_row + j;
    store(g, i + 0u, j, c_base + 0u * params.c_row, tile.r0, tile.s0);
    store(g, i + 1u, j, c_base + 1u * params.c_row, tile.r1, tile.s1);
    store(g, i + 2u, j, c_base + 2u * params.c_row, tile.r2, tile.s2);
    store(g, i + 3u, j, c_base + 3u * params.c_row, tile.r3, tile.s3);
    store(g, i + 4u, j, c_base + 4u * params.c_row, tile.r4, tile.s4);
    store(g, i + 5u, j, c_base + 5u * params.c_row, tile.r5, tile.s5);
    store(g, i + 6u, j, c_base + 6u * params.c_row, tile.r6, tile.s6);
    store(g, i + 7u, j, c_base + 7u * params.c_row, tile.r7, tile.s7);
    store(g, i + 8u, j, c_base + 8u * params.c_row, tile.r8, tile.s8);
    store(g, i + 9u, j, c_base + 9u * params.c_row, tile.r9, tile.s9);
    store(g, i + 10u, j, c_base + 10u * params.c_row, tile.r10, tile.s10);
    store(g, i + 11u, j, c_base + 11u * params.c_row, tile.r11, tile.s11);
    store(g, i + 12u, j, c_base + 12u * params.c_row, tile.r12, tile.s12);
    store(g, i + 13u, j, c_base + 13u * params.c_row, tile.r13, tile.s13);
    store(g, i + 14u, j, c_base + 14u * params.c_row, tile.r14, tile.s14);
    store(g, i + 15u, j, c_base + 15u * params.c_row, tile.r15, tile.s15);
}

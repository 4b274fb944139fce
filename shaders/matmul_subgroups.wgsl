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
// steps a turn, since a turn of a loop moves all 32 named vec4s.
// Dispatch: batches * ceil(m / 16) * ceil(n / 512) workgroups.

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

fn store(g: u32, i: u32, j: u32, address: u32, row: vec4f) {
    if (i >= params.m) { return; }
    if (j < params.n) { c[address] = row.x + bias_at(g, i, j); }
    if (j + 1u < params.n) { c[address + 1u] = row.y + bias_at(g, i, j + 1u); }
    if (j + 2u < params.n) { c[address + 2u] = row.z + bias_at(g, i, j + 2u); }
    if (j + 3u < params.n) { c[address + 3u] = row.w + bias_at(g, i, j + 3u); }
}

@compute @workgroup_size(64)
fn matmul_subgroups(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let across = (params.n + 511u) / 512u;
    let down = (params.m + 15u) / 16u;
    let tile = workgroup_index(group, groups);
    if (tile >= across * down * params.batches) { return; }
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i = in_batch / across * 16u;
    let j = in_batch % across * 512u + lane * 8u;
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
    var c0_0 = vec4f();
    var c0_1 = vec4f();
    var c1_0 = vec4f();
    var c1_1 = vec4f();
    var c2_0 = vec4f();
    var c2_1 = vec4f();
    var c3_0 = vec4f();
    var c3_1 = vec4f();
    var c4_0 = vec4f();
    var c4_1 = vec4f();
    var c5_0 = vec4f();
    var c5_1 = vec4f();
    var c6_0 = vec4f();
    var c6_1 = vec4f();
    var c7_0 = vec4f();
    var c7_1 = vec4f();
    var c8_0 = vec4f();
    var c8_1 = vec4f();
    var c9_0 = vec4f();
    var c9_1 = vec4f();
    var c10_0 = vec4f();
    var c10_1 = vec4f();
    var c11_0 = vec4f();
    var c11_1 = vec4f();
    var c12_0 = vec4f();
    var c12_1 = vec4f();
    var c13_0 = vec4f();
    var c13_1 = vec4f();
    var c14_0 = vec4f();
    var c14_1 = vec4f();
    var c15_0 = vec4f();
    var c15_1 = vec4f();
    for (var r = 0u; r < steps; r++) {
        var at = r * params.a_reduce;
        var bt = r * params.b_reduce;
        var t = 0u;
        for (; t + 4u <= params.k; t += 4u) {
            {
                let bu = bt + 0u * params.b_row;
                let au = at + 0u * params.a_col;
                let v0 = vec4f(b[b0 + bu], b[b1 + bu], b[b2 + bu], b[b3 + bu]);
                let v1 = vec4f(b[b4 + bu], b[b5 + bu], b[b6 + bu], b[b7 + bu]);
                let lo = a[alo + au];
                let hi = a[ahi + au];
                let w0 = subgroupBroadcast(lo, 0u);
                c0_0 += w0 * v0;
                c0_1 += w0 * v1;
                let w1 = subgroupBroadcast(lo, 1u);
                c1_0 += w1 * v0;
                c1_1 += w1 * v1;
                let w2 = subgroupBroadcast(lo, 2u);
                c2_0 += w2 * v0;
                c2_1 += w2 * v1;
                let w3 = subgroupBroadcast(lo, 3u);
                c3_0 += w3 * v0;
                c3_1 += w3 * v1;
                let w4 = subgroupBroadcast(lo, 4u);
                c4_0 += w4 * v0;
                c4_1 += w4 * v1;
                let w5 = subgroupBroadcast(lo, 5u);
                c5_0 += w5 * v0;
                c5_1 += w5 * v1;
                let w6 = subgroupBroadcast(lo, 6u);
                c6_0 += w6 * v0;
                c6_1 += w6 * v1;
                let w7 = subgroupBroadcast(lo, 7u);
                c7_0 += w7 * v0;
                c7_1 += w7 * v1;
                let w8 = subgroupBroadcast(hi, 0u);
                c8_0 += w8 * v0;
                c8_1 += w8 * v1;
                let w9 = subgroupBroadcast(hi, 1u);
                c9_0 += w9 * v0;
                c9_1 += w9 * v1;
                let w10 = subgroupBroadcast(hi, 2u);
                c10_0 += w10 * v0;
                c10_1 += w10 * v1;
                let w11 = subgroupBroadcast(hi, 3u);
                c11_0 += w11 * v0;
                c11_1 += w11 * v1;
                let w12 = subgroupBroadcast(hi, 4u);
                c12_0 += w12 * v0;
                c12_1 += w12 * v1;
                let w13 = subgroupBroadcast(hi, 5u);
                c13_0 += w13 * v0;
                c13_1 += w13 * v1;
                let w14 = subgroupBroadcast(hi, 6u);
                c14_0 += w14 * v0;
                c14_1 += w14 * v1;
                let w15 = subgroupBroadcast(hi, 7u);
                c15_0 += w15 * v0;
                c15_1 += w15 * v1;
            }
            {
                let bu = bt + 1u * params.b_row;
                let au = at + 1u * params.a_col;
                let v0 = vec4f(b[b0 + bu], b[b1 + bu], b[b2 + bu], b[b3 + bu]);
                let v1 = vec4f(b[b4 + bu], b[b5 + bu], b[b6 + bu], b[b7 + bu]);
                let lo = a[alo + au];
                let hi = a[ahi + au];
                let w0 = subgroupBroadcast(lo, 0u);
                c0_0 += w0 * v0;
                c0_1 += w0 * v1;
                let w1 = subgroupBroadcast(lo, 1u);
                c1_0 += w1 * v0;
                c1_1 += w1 * v1;
                let w2 = subgroupBroadcast(lo, 2u);
                c2_0 += w2 * v0;
                c2_1 += w2 * v1;
                let w3 = subgroupBroadcast(lo, 3u);
                c3_0 += w3 * v0;
                c3_1 += w3 * v1;
                let w4 = subgroupBroadcast(lo, 4u);
                c4_0 += w4 * v0;
                c4_1 += w4 * v1;
                let w5 = subgroupBroadcast(lo, 5u);
                c5_0 += w5 * v0;
                c5_1 += w5 * v1;
                let w6 = subgroupBroadcast(lo, 6u);
                c6_0 += w6 * v0;
                c6_1 += w6 * v1;
                let w7 = subgroupBroadcast(lo, 7u);
                c7_0 += w7 * v0;
                c7_1 += w7 * v1;
                let w8 = subgroupBroadcast(hi, 0u);
                c8_0 += w8 * v0;
                c8_1 += w8 * v1;
                let w9 = subgroupBroadcast(hi, 1u);
                c9_0 += w9 * v0;
                c9_1 += w9 * v1;
                let w10 = subgroupBroadcast(hi, 2u);
                c10_0 += w10 * v0;
                c10_1 += w10 * v1;
                let w11 = subgroupBroadcast(hi, 3u);
                c11_0 += w11 * v0;
                c11_1 += w11 * v1;
                let w12 = subgroupBroadcast(hi, 4u);
                c12_0 += w12 * v0;
                c12_1 += w12 * v1;
                let w13 = subgroupBroadcast(hi, 5u);
                c13_0 += w13 * v0;
                c13_1 += w13 * v1;
                let w14 = subgroupBroadcast(hi, 6u);
                c14_0 += w14 * v0;
                c14_1 += w14 * v1;
                let w15 = subgroupBroadcast(hi, 7u);
                c15_0 += w15 * v0;
                c15_1 += w15 * v1;
            }
            {
                let bu = bt + 2u * params.b_row;
                let au = at + 2u * params.a_col;
                let v0 = vec4f(b[b0 + bu], b[b1 + bu], b[b2 + bu], b[b3 + bu]);
                let v1 = vec4f(b[b4 + bu], b[b5 + bu], b[b6 + bu], b[b7 + bu]);
                let lo = a[alo + au];
                let hi = a[ahi + au];
                let w0 = subgroupBroadcast(lo, 0u);
                c0_0 += w0 * v0;
                c0_1 += w0 * v1;
                let w1 = subgroupBroadcast(lo, 1u);
                c1_0 += w1 * v0;
                c1_1 += w1 * v1;
                let w2 = subgroupBroadcast(lo, 2u);
                c2_0 += w2 * v0;
                c2_1 += w2 * v1;
                let w3 = subgroupBroadcast(lo, 3u);
                c3_0 += w3 * v0;
                c3_1 += w3 * v1;
                let w4 = subgroupBroadcast(lo, 4u);
                c4_0 += w4 * v0;
                c4_1 += w4 * v1;
                let w5 = subgroupBroadcast(lo, 5u);
                c5_0 += w5 * v0;
                c5_1 += w5 * v1;
                let w6 = subgroupBroadcast(lo, 6u);
                c6_0 += w6 * v0;
                c6_1 += w6 * v1;
                let w7 = subgroupBroadcast(lo, 7u);
                c7_0 += w7 * v0;
                c7_1 += w7 * v1;
                let w8 = subgroupBroadcast(hi, 0u);
                c8_0 += w8 * v0;
                c8_1 += w8 * v1;
                let w9 = subgroupBroadcast(hi, 1u);
                c9_0 += w9 * v0;
                c9_1 += w9 * v1;
                let w10 = subgroupBroadcast(hi, 2u);
                c10_0 += w10 * v0;
                c10_1 += w10 * v1;
                let w11 = subgroupBroadcast(hi, 3u);
                c11_0 += w11 * v0;
                c11_1 += w11 * v1;
                let w12 = subgroupBroadcast(hi, 4u);
                c12_0 += w12 * v0;
                c12_1 += w12 * v1;
                let w13 = subgroupBroadcast(hi, 5u);
                c13_0 += w13 * v0;
                c13_1 += w13 * v1;
                let w14 = subgroupBroadcast(hi, 6u);
                c14_0 += w14 * v0;
                c14_1 += w14 * v1;
                let w15 = subgroupBroadcast(hi, 7u);
                c15_0 += w15 * v0;
                c15_1 += w15 * v1;
            }
            {
                let bu = bt + 3u * params.b_row;
                let au = at + 3u * params.a_col;
                let v0 = vec4f(b[b0 + bu], b[b1 + bu], b[b2 + bu], b[b3 + bu]);
                let v1 = vec4f(b[b4 + bu], b[b5 + bu], b[b6 + bu], b[b7 + bu]);
                let lo = a[alo + au];
                let hi = a[ahi + au];
                let w0 = subgroupBroadcast(lo, 0u);
                c0_0 += w0 * v0;
                c0_1 += w0 * v1;
                let w1 = subgroupBroadcast(lo, 1u);
                c1_0 += w1 * v0;
                c1_1 += w1 * v1;
                let w2 = subgroupBroadcast(lo, 2u);
                c2_0 += w2 * v0;
                c2_1 += w2 * v1;
                let w3 = subgroupBroadcast(lo, 3u);
                c3_0 += w3 * v0;
                c3_1 += w3 * v1;
                let w4 = subgroupBroadcast(lo, 4u);
                c4_0 += w4 * v0;
                c4_1 += w4 * v1;
                let w5 = subgroupBroadcast(lo, 5u);
                c5_0 += w5 * v0;
                c5_1 += w5 * v1;
                let w6 = subgroupBroadcast(lo, 6u);
                c6_0 += w6 * v0;
                c6_1 += w6 * v1;
                let w7 = subgroupBroadcast(lo, 7u);
                c7_0 += w7 * v0;
                c7_1 += w7 * v1;
                let w8 = subgroupBroadcast(hi, 0u);
                c8_0 += w8 * v0;
                c8_1 += w8 * v1;
                let w9 = subgroupBroadcast(hi, 1u);
                c9_0 += w9 * v0;
                c9_1 += w9 * v1;
                let w10 = subgroupBroadcast(hi, 2u);
                c10_0 += w10 * v0;
                c10_1 += w10 * v1;
                let w11 = subgroupBroadcast(hi, 3u);
                c11_0 += w11 * v0;
                c11_1 += w11 * v1;
                let w12 = subgroupBroadcast(hi, 4u);
                c12_0 += w12 * v0;
                c12_1 += w12 * v1;
                let w13 = subgroupBroadcast(hi, 5u);
                c13_0 += w13 * v0;
                c13_1 += w13 * v1;
                let w14 = subgroupBroadcast(hi, 6u);
                c14_0 += w14 * v0;
                c14_1 += w14 * v1;
                let w15 = subgroupBroadcast(hi, 7u);
                c15_0 += w15 * v0;
                c15_1 += w15 * v1;
            }
            at += 4u * params.a_col;
            bt += 4u * params.b_row;
        }
        for (; t < params.k; t++) {
            {
                let bu = bt + 0u * params.b_row;
                let au = at + 0u * params.a_col;
                let v0 = vec4f(b[b0 + bu], b[b1 + bu], b[b2 + bu], b[b3 + bu]);
                let v1 = vec4f(b[b4 + bu], b[b5 + bu], b[b6 + bu], b[b7 + bu]);
                let lo = a[alo + au];
                let hi = a[ahi + au];
                let w0 = subgroupBroadcast(lo, 0u);
                c0_0 += w0 * v0;
                c0_1 += w0 * v1;
                let w1 = subgroupBroadcast(lo, 1u);
                c1_0 += w1 * v0;
                c1_1 += w1 * v1;
                let w2 = subgroupBroadcast(lo, 2u);
                c2_0 += w2 * v0;
                c2_1 += w2 * v1;
                let w3 = subgroupBroadcast(lo, 3u);
                c3_0 += w3 * v0;
                c3_1 += w3 * v1;
                let w4 = subgroupBroadcast(lo, 4u);
                c4_0 += w4 * v0;
                c4_1 += w4 * v1;
                let w5 = subgroupBroadcast(lo, 5u);
                c5_0 += w5 * v0;
                c5_1 += w5 * v1;
                let w6 = subgroupBroadcast(lo, 6u);
                c6_0 += w6 * v0;
                c6_1 += w6 * v1;
                let w7 = subgroupBroadcast(lo, 7u);
                c7_0 += w7 * v0;
                c7_1 += w7 * v1;
                let w8 = subgroupBroadcast(hi, 0u);
                c8_0 += w8 * v0;
                c8_1 += w8 * v1;
                let w9 = subgroupBroadcast(hi, 1u);
                c9_0 += w9 * v0;
                c9_1 += w9 * v1;
                let w10 = subgroupBroadcast(hi, 2u);
                c10_0 += w10 * v0;
                c10_1 += w10 * v1;
                let w11 = subgroupBroadcast(hi, 3u);
                c11_0 += w11 * v0;
                c11_1 += w11 * v1;
                let w12 = subgroupBroadcast(hi, 4u);
                c12_0 += w12 * v0;
                c12_1 += w12 * v1;
                let w13 = subgroupBroadcast(hi, 5u);
                c13_0 += w13 * v0;
                c13_1 += w13 * v1;
                let w14 = subgroupBroadcast(hi, 6u);
                c14_0 += w14 * v0;
                c14_1 += w14 * v1;
                let w15 = subgroupBroadcast(hi, 7u);
                c15_0 += w15 * v0;
                c15_1 += w15 * v1;
            }
            at += params.a_col;
            bt += params.b_row;
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + i * params.c_row + j;
    store(g, i + 0u, j + 0u, c_base + 0u * params.c_row + 0u, c0_0);
    store(g, i + 0u, j + 4u, c_base + 0u * params.c_row + 4u, c0_1);
    store(g, i + 1u, j + 0u, c_base + 1u * params.c_row + 0u, c1_0);
    store(g, i + 1u, j + 4u, c_base + 1u * params.c_row + 4u, c1_1);
    store(g, i + 2u, j + 0u, c_base + 2u * params.c_row + 0u, c2_0);
    store(g, i + 2u, j + 4u, c_base + 2u * params.c_row + 4u, c2_1);
    store(g, i + 3u, j + 0u, c_base + 3u * params.c_row + 0u, c3_0);
    store(g, i + 3u, j + 4u, c_base + 3u * params.c_row + 4u, c3_1);
    store(g, i + 4u, j + 0u, c_base + 4u * params.c_row + 0u, c4_0);
    store(g, i + 4u, j + 4u, c_base + 4u * params.c_row + 4u, c4_1);
    store(g, i + 5u, j + 0u, c_base + 5u * params.c_row + 0u, c5_0);
    store(g, i + 5u, j + 4u, c_base + 5u * params.c_row + 4u, c5_1);
    store(g, i + 6u, j + 0u, c_base + 6u * params.c_row + 0u, c6_0);
    store(g, i + 6u, j + 4u, c_base + 6u * params.c_row + 4u, c6_1);
    store(g, i + 7u, j + 0u, c_base + 7u * params.c_row + 0u, c7_0);
    store(g, i + 7u, j + 4u, c_base + 7u * params.c_row + 4u, c7_1);
    store(g, i + 8u, j + 0u, c_base + 8u * params.c_row + 0u, c8_0);
    store(g, i + 8u, j + 4u, c_base + 8u * params.c_row + 4u, c8_1);
    store(g, i + 9u, j + 0u, c_base + 9u * params.c_row + 0u, c9_0);
    store(g, i + 9u, j + 4u, c_base + 9u * params.c_row + 4u, c9_1);
    store(g, i + 10u, j + 0u, c_base + 10u * params.c_row + 0u, c10_0);
    store(g, i + 10u, j + 4u, c_base + 10u * params.c_row + 4u, c10_1);
    store(g, i + 11u, j + 0u, c_base + 11u * params.c_row + 0u, c11_0);
    store(g, i + 11u, j + 4u, c_base + 11u * params.c_row + 4u, c11_1);
    store(g, i + 12u, j + 0u, c_base + 12u * params.c_row + 0u, c12_0);
    store(g, i + 12u, j + 4u, c_base + 12u * params.c_row + 4u, c12_1);
    store(g, i + 13u, j + 0u, c_base + 13u * params.c_row + 0u, c13_0);
    store(g, i + 13u, j + 4u, c_base + 13u * params.c_row + 4u, c13_1);
    store(g, i + 14u, j + 0u, c_base + 14u * params.c_row + 0u, c14_0);
    store(g, i + 14u, j + 4u, c_base + 14u * params.c_row + 4u, c14_1);
    store(g, i + 15u, j + 0u, c_base + 15u * params.c_row + 0u, c15_0);
    store(g, i + 15u, j + 4u, c_base + 15u * params.c_row + 4u, c15_1);
}

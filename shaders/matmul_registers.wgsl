// Strided, batched matrix product with results in registers: 8 x 8 of them an invocation, no shared memory.
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
// Software adapters like this one: sixteen loads feed 64 multiply-adds, and there is no barrier. The 64
// results are sixteen named vec4s, since an indexed array might not stay in registers. Rows and columns
// past the edge read the last one and are not stored.
// Dispatch: ceil(tiles / 64) workgroups, tiles = batches * ceil(m / 8) * ceil(n / 8).

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

fn store(g: u32, i: u32, j: u32, address: u32, low: vec4f, high: vec4f) {
    if (i >= params.m) { return; }
    if (j + 0u < params.n) { c[address + 0u] = low.x + bias_at(g, i, j + 0u); }
    if (j + 1u < params.n) { c[address + 1u] = low.y + bias_at(g, i, j + 1u); }
    if (j + 2u < params.n) { c[address + 2u] = low.z + bias_at(g, i, j + 2u); }
    if (j + 3u < params.n) { c[address + 3u] = low.w + bias_at(g, i, j + 3u); }
    if (j + 4u < params.n) { c[address + 4u] = high.x + bias_at(g, i, j + 4u); }
    if (j + 5u < params.n) { c[address + 5u] = high.y + bias_at(g, i, j + 5u); }
    if (j + 6u < params.n) { c[address + 6u] = high.z + bias_at(g, i, j + 6u); }
    if (j + 7u < params.n) { c[address + 7u] = high.w + bias_at(g, i, j + 7u); }
}

@compute @workgroup_size(64)
fn matmul_registers(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let across = (params.n + 7u) / 8u;
    let down = (params.m + 7u) / 8u;
    let tile = workgroup_index(group, groups) * 64u + lane;
    if (tile >= across * down * params.batches) { return; }
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i = in_batch / across * 8u;
    let j = in_batch % across * 8u;
    let last_i = params.m - 1u;
    let last_j = params.n - 1u;
    let steps = min(params.reduce, params.reduce_total - o * params.reduce);
    let a_base = params.a_offset + o * params.a_outer + g * params.a_inner;
    let b_base = params.b_offset + o * params.b_outer + g * params.b_inner;

    let a0 = a_base + min(i + 0u, last_i) * params.a_row;
    let a1 = a_base + min(i + 1u, last_i) * params.a_row;
    let a2 = a_base + min(i + 2u, last_i) * params.a_row;
    let a3 = a_base + min(i + 3u, last_i) * params.a_row;
    let a4 = a_base + min(i + 4u, last_i) * params.a_row;
    let a5 = a_base + min(i + 5u, last_i) * params.a_row;
    let a6 = a_base + min(i + 6u, last_i) * params.a_row;
    let a7 = a_base + min(i + 7u, last_i) * params.a_row;
    let b0 = b_base + min(j + 0u, last_j) * params.b_col;
    let b1 = b_base + min(j + 1u, last_j) * params.b_col;
    let b2 = b_base + min(j + 2u, last_j) * params.b_col;
    let b3 = b_base + min(j + 3u, last_j) * params.b_col;
    let b4 = b_base + min(j + 4u, last_j) * params.b_col;
    let b5 = b_base + min(j + 5u, last_j) * params.b_col;
    let b6 = b_base + min(j + 6u, last_j) * params.b_col;
    let b7 = b_base + min(j + 7u, last_j) * params.b_col;
    var low0 = vec4f(); var high0 = vec4f();
    var low1 = vec4f(); var high1 = vec4f();
    var low2 = vec4f(); var high2 = vec4f();
    var low3 = vec4f(); var high3 = vec4f();
    var low4 = vec4f(); var high4 = vec4f();
    var low5 = vec4f(); var high5 = vec4f();
    var low6 = vec4f(); var high6 = vec4f();
    var low7 = vec4f(); var high7 = vec4f();
    for (var r = 0u; r < steps; r++) {
        var at = r * params.a_reduce;
        var bt = r * params.b_reduce;
        for (var t = 0u; t < params.k; t++) {
            let low = vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]);
            let high = vec4f(b[b4 + bt], b[b5 + bt], b[b6 + bt], b[b7 + bt]);
            let v0 = vec4f(a[a0 + at]); low0 = fma(v0, low, low0); high0 = fma(v0, high, high0);
            let v1 = vec4f(a[a1 + at]); low1 = fma(v1, low, low1); high1 = fma(v1, high, high1);
            let v2 = vec4f(a[a2 + at]); low2 = fma(v2, low, low2); high2 = fma(v2, high, high2);
            let v3 = vec4f(a[a3 + at]); low3 = fma(v3, low, low3); high3 = fma(v3, high, high3);
            let v4 = vec4f(a[a4 + at]); low4 = fma(v4, low, low4); high4 = fma(v4, high, high4);
            let v5 = vec4f(a[a5 + at]); low5 = fma(v5, low, low5); high5 = fma(v5, high, high5);
            let v6 = vec4f(a[a6 + at]); low6 = fma(v6, low, low6); high6 = fma(v6, high, high6);
            let v7 = vec4f(a[a7 + at]); low7 = fma(v7, low, low7); high7 = fma(v7, high, high7);
            at += params.a_col;
            bt += params.b_row;
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + i * params.c_row + j;
    store(g, i + 0u, j, c_base + 0u * params.c_row, low0, high0);
    store(g, i + 1u, j, c_base + 1u * params.c_row, low1, high1);
    store(g, i + 2u, j, c_base + 2u * params.c_row, low2, high2);
    store(g, i + 3u, j, c_base + 3u * params.c_row, low3, high3);
    store(g, i + 4u, j, c_base + 4u * params.c_row, low4, high4);
    store(g, i + 5u, j, c_base + 5u * params.c_row, low5, high5);
    store(g, i + 6u, j, c_base + 6u * params.c_row, low6, high6);
    store(g, i + 7u, j, c_base + 7u * params.c_row, low7, high7);
}

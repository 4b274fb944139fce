// Strided, batched matrix product with results in registers: 16 x 4 per invocation, no workgroup memory.
//
//   c[o, g][i, j] = bias + sum over r < reduce, t < k of  a[o, g, r][i, t] * b[o, g, r][t, j]
//
// for i < m, j < n, and batches numbered o * inner + g. Element addresses:
//
//   a: a_offset + o * a_outer + g * a_inner + r * a_reduce + i * a_row + t * a_col
//   b: b_offset + o * b_outer + g * b_inner + r * b_reduce + t * b_row + j * b_col
//   c: c_offset + o * c_outer + g * c_inner + i * c_row + j
//
// Strides express transposes, a stride of 0 broadcasts an operand over batches, and `reduce` sums the products of several
// images into one result (a weight gradient). Only reduce_total - o * reduce of them remain for the last slice o.
// bias: 0 none, 1 bias[j], 2 bias[g * m + i].
//
// Meant for software adapters, where a load from a uniform address is cheap, one whose address differs between lanes costs
// eight times as much, and barriers are slow. A workgroup computes 16 rows x 256 columns: the 16 elements of `a` are uniform,
// so 16 cheap loads and 4 expensive ones feed 64 multiply-adds. The results are sixteen named vec4s because an indexed array
// might not stay in registers. Rows and columns past the edge read the last valid one and are not stored.
// Dispatch: batches * ceil(m / 16) * ceil(n / 256) workgroups.

// uses matmul_params.wgsl
// uses matmul_bias.wgsl

@group(0) @binding(0) var<uniform> params: Matmul;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn store(g: u32, i: u32, j: u32, address: u32, row: vec4f) {
    if (i >= params.m) { return; }
    if (j < params.n) { c[address] = row.x + bias_at(g, i, j); }
    if (j + 1u < params.n) { c[address + 1u] = row.y + bias_at(g, i, j + 1u); }
    if (j + 2u < params.n) { c[address + 2u] = row.z + bias_at(g, i, j + 2u); }
    if (j + 3u < params.n) { c[address + 3u] = row.w + bias_at(g, i, j + 3u); }
}

@compute @workgroup_size(64)
fn matmul_registers(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let across = (params.n + 255u) / 256u;
    let down = (params.m + 15u) / 16u;
    let tile = workgroup_index(group, groups);
    if (tile >= across * down * params.batches) { return; }
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i = in_batch / across * 16u;
    let j = in_batch % across * 256u + lane * 4u;
    if (j >= params.n) { return; }
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
    let a8 = a_base + min(i + 8u, last_i) * params.a_row;
    let a9 = a_base + min(i + 9u, last_i) * params.a_row;
    let a10 = a_base + min(i + 10u, last_i) * params.a_row;
    let a11 = a_base + min(i + 11u, last_i) * params.a_row;
    let a12 = a_base + min(i + 12u, last_i) * params.a_row;
    let a13 = a_base + min(i + 13u, last_i) * params.a_row;
    let a14 = a_base + min(i + 14u, last_i) * params.a_row;
    let a15 = a_base + min(i + 15u, last_i) * params.a_row;
    let b0 = b_base + min(j + 0u, last_j) * params.b_col;
    let b1 = b_base + min(j + 1u, last_j) * params.b_col;
    let b2 = b_base + min(j + 2u, last_j) * params.b_col;
    let b3 = b_base + min(j + 3u, last_j) * params.b_col;
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    var c4 = vec4f(0.0);
    var c5 = vec4f(0.0);
    var c6 = vec4f(0.0);
    var c7 = vec4f(0.0);
    var c8 = vec4f(0.0);
    var c9 = vec4f(0.0);
    var c10 = vec4f(0.0);
    var c11 = vec4f(0.0);
    var c12 = vec4f(0.0);
    var c13 = vec4f(0.0);
    var c14 = vec4f(0.0);
    var c15 = vec4f(0.0);
    for (var r = 0u; r < steps; r++) {
        var at = r * params.a_reduce;
        var bt = r * params.b_reduce;
        for (var t = 0u; t < params.k; t++) {
            let v = vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]);
            c0 += a[a0 + at] * v;
            c1 += a[a1 + at] * v;
            c2 += a[a2 + at] * v;
            c3 += a[a3 + at] * v;
            c4 += a[a4 + at] * v;
            c5 += a[a5 + at] * v;
            c6 += a[a6 + at] * v;
            c7 += a[a7 + at] * v;
            c8 += a[a8 + at] * v;
            c9 += a[a9 + at] * v;
            c10 += a[a10 + at] * v;
            c11 += a[a11 + at] * v;
            c12 += a[a12 + at] * v;
            c13 += a[a13 + at] * v;
            c14 += a[a14 + at] * v;
            c15 += a[a15 + at] * v;
            at += params.a_col;
            bt += params.b_row;
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + i * params.c_row + j;
    store(g, i + 0u, j, c_base + 0u * params.c_row, c0);
    store(g, i + 1u, j, c_base + 1u * params.c_row, c1);
    store(g, i + 2u, j, c_base + 2u * params.c_row, c2);
    store(g, i + 3u, j, c_base + 3u * params.c_row, c3);
    store(g, i + 4u, j, c_base + 4u * params.c_row, c4);
    store(g, i + 5u, j, c_base + 5u * params.c_row, c5);
    store(g, i + 6u, j, c_base + 6u * params.c_row, c6);
    store(g, i + 7u, j, c_base + 7u * params.c_row, c7);
    store(g, i + 8u, j, c_base + 8u * params.c_row, c8);
    store(g, i + 9u, j, c_base + 9u * params.c_row, c9);
    store(g, i + 10u, j, c_base + 10u * params.c_row, c10);
    store(g, i + 11u, j, c_base + 11u * params.c_row, c11);
    store(g, i + 12u, j, c_base + 12u * params.c_row, c12);
    store(g, i + 13u, j, c_base + 13u * params.c_row, c13);
    store(g, i + 14u, j, c_base + 14u * params.c_row, c14);
    store(g, i + 15u, j, c_base + 15u * params.c_row, c15);
}

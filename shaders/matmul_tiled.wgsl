// Strided, batched matrix product through workgroup memory: 64 x 64 results a workgroup, 4 x 4 an invocation.
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
// GPUs like this one: each step loads a 64 x 16 panel of `a` and a 16 x 64 panel of `b` once for 4,096
// results. Elements past an edge are loaded as zeros.
// Dispatch: batches * ceil(m / 64) * ceil(n / 64) workgroups.

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

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> a_panel: array<f32, 1024>; // [DEPTH][TILE]
var<workgroup> b_panel: array<f32, 1024>; // [DEPTH][TILE]

fn store(g: u32, i: u32, j: u32, address: u32, row: vec4f) {
    if (i >= params.m) { return; }
    if (j < params.n) { c[address] = row.x + bias_at(g, i, j); }
    if (j + 1u < params.n) { c[address + 1u] = row.y + bias_at(g, i, j + 1u); }
    if (j + 2u < params.n) { c[address + 2u] = row.z + bias_at(g, i, j + 2u); }
    if (j + 3u < params.n) { c[address + 3u] = row.w + bias_at(g, i, j + 3u); }
}

@compute @workgroup_size(256)
fn matmul_tiled(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let across = (params.n + TILE - 1u) / TILE;
    let down = (params.m + TILE - 1u) / TILE;
    let tile = workgroup_index(group, groups);
    if (tile >= across * down * params.batches) { return; } // uniform: the whole workgroup leaves
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i0 = in_batch / across * TILE;
    let j0 = in_batch % across * TILE;
    let row = lane / 16u * 4u;
    let col = lane % 16u * 4u;
    let steps = min(params.reduce, params.reduce_total - o * params.reduce);
    let a_base = params.a_offset + o * params.a_outer + g * params.a_inner;
    let b_base = params.b_offset + o * params.b_outer + g * params.b_inner;

    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    for (var r = 0u; r < steps; r++) {
        for (var t0 = 0u; t0 < params.k; t0 += DEPTH) {
            for (var e = lane; e < TILE * DEPTH; e += 256u) {
                // Neighbouring lanes read neighbouring elements of whichever axis is contiguous.
                let a_by_column = params.a_col == 1u;
                let at = select(e / TILE, e % DEPTH, a_by_column);
                let ai = select(e % TILE, e / DEPTH, a_by_column);
                var av = 0.0;
                if (i0 + ai < params.m && t0 + at < params.k) {
                    av = a[a_base + r * params.a_reduce + (i0 + ai) * params.a_row + (t0 + at) * params.a_col];
                }
                a_panel[at * TILE + ai] = av;
                let b_by_column = params.b_row == 1u;
                let bt = select(e / TILE, e % DEPTH, b_by_column);
                let bj = select(e % TILE, e / DEPTH, b_by_column);
                var bv = 0.0;
                if (j0 + bj < params.n && t0 + bt < params.k) {
                    bv = b[b_base + r * params.b_reduce + (t0 + bt) * params.b_row + (j0 + bj) * params.b_col];
                }
                b_panel[bt * TILE + bj] = bv;
            }
            workgroupBarrier();
            for (var t = 0u; t < DEPTH; t++) {
                let ap = t * TILE + row;
                let bp = t * TILE + col;
                let bv = vec4f(b_panel[bp], b_panel[bp + 1u], b_panel[bp + 2u], b_panel[bp + 3u]);
                c0 = fma(vec4f(a_panel[ap]), bv, c0);
                c1 = fma(vec4f(a_panel[ap + 1u]), bv, c1);
                c2 = fma(vec4f(a_panel[ap + 2u]), bv, c2);
                c3 = fma(vec4f(a_panel[ap + 3u]), bv, c3);
            }
            workgroupBarrier();
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + (i0 + row) * params.c_row + j0 + col;
    store(g, i0 + row, j0 + col, c_base, c0);
    store(g, i0 + row + 1u, j0 + col, c_base + params.c_row, c1);
    store(g, i0 + row + 2u, j0 + col, c_base + 2u * params.c_row, c2);
    store(g, i0 + row + 3u, j0 + col, c_base + 3u * params.c_row, c3);
}

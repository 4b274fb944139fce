// Strided, batched matrix product with results in registers: {{ rows }} x 4 per invocation, no workgroup memory. The formula and
// element addresses are in matmul_params.wgsl.
//
// Meant for software adapters, where a load from a uniform address is cheap, a load whose address differs between lanes costs
// eight times as much, and barriers are slow. A workgroup computes {{ rows }} rows x 256 columns. The elements of `a` are uniform, so
// {{ rows }} cheap loads and 4 expensive ones feed {{ 4 * rows }} multiply-adds. The results are named vec4s because an indexed array might
// not stay in registers. Rows and columns past the edge read the last valid one and are not stored.
// Dispatch: batches * ceil(m / {{ rows }}) * ceil(n / 256) workgroups.

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
    let down = (params.m + {{ rows - 1 }}u) / {{ rows }}u;
    let tile = workgroup_index(group, groups, params.first_workgroup);
    if (tile >= across * down * params.batches) { return; }
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i = in_batch / across * {{ rows }}u;
    let j = in_batch % across * 256u + lane * 4u;
    if (j >= params.n) { return; }
    let last_i = params.m - 1u;
    let last_j = params.n - 1u;
    let steps = min(params.reduce, params.reduce_total - o * params.reduce);
    let a_base = params.a_offset + o * params.a_outer + g * params.a_inner;
    let b_base = params.b_offset + o * params.b_outer + g * params.b_inner;

{%- for r in range(rows) %}
    let a{{ r }} = a_base + min(i + {{ r }}u, last_i) * params.a_row;
{%- endfor %}
{%- for q in range(4) %}
    let b{{ q }} = b_base + min(j + {{ q }}u, last_j) * params.b_col;
{%- endfor %}
{%- for r in range(rows) %}
    var c{{ r }} = vec4f(0.0);
{%- endfor %}
    for (var r = 0u; r < steps; r++) {
        var at = r * params.a_reduce;
        var bt = r * params.b_reduce;
        for (var t = 0u; t < params.k; t++) {
            let v = vec4f(b[b0 + bt], b[b1 + bt], b[b2 + bt], b[b3 + bt]);
{%- for r in range(rows) %}
            c{{ r }} += a[a{{ r }} + at] * v;
{%- endfor %}
            at += params.a_col;
            bt += params.b_row;
        }
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner + i * params.c_row + j;
{%- for r in range(rows) %}
    store(g, i + {{ r }}u, j, c_base + {{ r }}u * params.c_row, c{{ r }});
{%- endfor %}
}

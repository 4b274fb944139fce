// Matrix product of operands packed into panels, for software adapters: each invocation computes {{ rows * high }} rows x 8 columns.
//
//   c[o, g][i, j] = bias + sum over k < depth of  a(o, g)[i, k] * b(o, g)[k, j]
//
// for i < m, j < n, and batches numbered o * inner + g; bias: 0 none, 1 bias[j], 2 bias[g * m + i]. c(i, j) is stored at
// c_offset + o * c_outer + g * c_inner + i * c_row + j. a: [batches, ceil(m / {{ rows }}), depth, {{ rows }}] and
// b: [batches, ceil(n / {{ 8 * subgroup }}), depth, {{ 8 * subgroup }}], as packed by matmul_pack.wgsl, with zeros past the edges and an even depth.
//
// With `vec4` (here {{ vec4 }}), results are written four at a time: n and the address of each row of c are multiples of four.
// Loads whose addresses differ between lanes dominate the cost. So all lanes of a subgroup work on the same rows: each lane
// loads part of them, and subgroup broadcasts distribute it. Two panels of `a` at a time ({{ high }} here) need fewer loads per result but
// take longer to compile. Packing also avoids power-of-two row strides, which would thrash a few cache sets.
// Requires subgroups of exactly {{ subgroup }} lanes. Dispatch: one subgroup per batch, panel of b and {{ high }} panels of a, the latter innermost.

struct MatmulPacked { m: u32, n: u32, depth: u32, batches: u32, inner: u32, c_offset: u32, c_row: u32, c_outer: u32, c_inner: u32, bias: u32, width: u32, first_workgroup: u32 }

{%- set steps = 2 %}
{%- set loads = (rows * steps + 4 * subgroup - 1) // (4 * subgroup) %}

@group(0) @binding(0) var<uniform> params: MatmulPacked;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<{{ 'vec4f' if vec4 else 'f32' }}>;

// Biases are read once per row and once per column, outside the stores: where branches on `params` enclose much of a shader,
// lavapipe recompiles it for every launch with their values inlined, and keeps every variant.
fn column_bias(j: u32) -> f32 {
    if (params.bias != 1u || j >= params.n) { return 0.0; }
    return bias[j];
}

fn row_bias(g: u32, i: u32) -> f32 {
    if (params.bias != 2u || i >= params.m) { return 0.0; }
    return bias[g * params.m + i];
}

fn store(i: u32, j: u32, base: u32, left: vec4f, right: vec4f) {
    if (i >= params.m) { return; }
    let at = base + i * params.c_row + j;
{%- if vec4 %}
    if (j < params.n) { c[at / 4u] = left; }
    if (j + 4u < params.n) { c[at / 4u + 1u] = right; }
{%- else %}
   {%- for q in range(8) %}
    if (j + {{ q }}u < params.n) { c[at + {{ q }}u] = {{ 'left' if q < 4 else 'right' }}.{{ 'xyzw'[q % 4] }}; }
   {%- endfor %}
{%- endif %}
}

@compute @workgroup_size({{ threads }})
fn matmul_packed(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let down = (params.m + {{ rows - 1 }}u) / {{ rows }}u;
    let across = (params.n + {{ 8 * subgroup - 1 }}u) / {{ 8 * subgroup }}u;
    let tile = workgroup_index(group, groups, params.first_workgroup) * {{ threads // subgroup }}u + subgroup;
    let tiles_down = (down + {{ high - 1 }}u) / {{ high }}u;
    if (tile >= tiles_down * across * params.batches) { return; } // the whole subgroup returns
    let row_panel = tile % tiles_down * {{ high }}u;
    let column_panel = tile / tiles_down % across;
    let batch = tile / (tiles_down * across);
{%- for h in range(high) %}
    // Panels past the end repeat the last one; their results are not stored.
    var at_a{{ h }} = (batch * down + min(row_panel + {{ h }}u, down - 1u)) * params.depth * {{ rows // 4 }}u + lane;
{%- endfor %}
    var at_b = (batch * across + column_panel) * params.depth * {{ 2 * subgroup }}u;
{%- for i in range(rows * high) %}
    {% for j in range(8) %}var c{{ i }}_{{ j }} = 0.0; {% endfor %}
{%- endfor %}
    // The end differs between subgroups, so that the loop does not depend on `params` alone (see column_bias).
    let end_b = at_b + params.depth * {{ 2 * subgroup }}u;
    while (at_b < end_b) {
{%- for h in range(high) %}
   {%- for i in range(loads) %}
        let a{{ h }}_{{ i }} = a[at_a{{ h }} + {{ i * subgroup }}u];
   {%- endfor %}
        at_a{{ h }} += {{ steps * rows // 4 }}u;
{%- endfor %}
{%- for t in range(steps) %}
        let l{{ t }} = b[at_b + {{ t * 2 * subgroup }}u + 2u * lane];
        let r{{ t }} = b[at_b + {{ t * 2 * subgroup + 1 }}u + 2u * lane];
{%- endfor %}
        at_b += {{ steps * 2 * subgroup }}u;
{%- for i in range(rows * high) %}
   {%- for t in range(steps) %}
      {%- set f = t * rows + i % rows %}
        let w{{ i }}_{{ t }} = subgroupBroadcast(a{{ i // rows }}_{{ f // 4 // subgroup }}.{{ 'xyzw'[f % 4] }}, {{ f // 4 % subgroup }}u);
      {%- for j in range(8) %}
        c{{ i }}_{{ j }} += w{{ i }}_{{ t }} * {{ 'l' if j < 4 else 'r' }}{{ t }}.{{ 'xyzw'[j % 4] }};
      {%- endfor %}
   {%- endfor %}
{%- endfor %}
    }

    let o = batch / params.inner;
    let g = batch % params.inner;
    let base = params.c_offset + o * params.c_outer + g * params.c_inner;
    let j = column_panel * {{ 8 * subgroup }}u + lane * 8u;
    let left = vec4f(column_bias(j), column_bias(j + 1u), column_bias(j + 2u), column_bias(j + 3u));
    let right = vec4f(column_bias(j + 4u), column_bias(j + 5u), column_bias(j + 6u), column_bias(j + 7u));
{%- for i in range(rows * high) %}
    let i{{ i }} = row_panel * {{ rows }}u + {{ i }}u;
    let bias{{ i }} = row_bias(g, i{{ i }});
    store(i{{ i }}, j, base, vec4f(c{{ i }}_0, c{{ i }}_1, c{{ i }}_2, c{{ i }}_3) + left + bias{{ i }}, vec4f(c{{ i }}_4, c{{ i }}_5, c{{ i }}_6, c{{ i }}_7) + right + bias{{ i }});
{%- endfor %}
}

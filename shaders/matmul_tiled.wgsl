// Strided, batched matrix product through workgroup memory (see tiles.wgsl). The formula and element addresses are in
// matmul_params.wgsl.
// Dispatch: batches * ceil(m / {{ tile_m }}) * ceil(n / {{ tile_n }}) workgroups.

// uses tiles.wgsl
// uses matmul_params.wgsl
// uses matmul_bias.wgsl

@group(0) @binding(0) var<uniform> params: Matmul;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn store(g: u32, i: u32, j: u32, base: u32, value: f32) {
    if (i < params.m && j < params.n) { c[base + i * params.c_row + j] = value + bias_at(g, i, j); }
}

{#- Loads the panel at k0 of product r. Terms past the last one are read from the first panel. #}
{%- macro load() %}
        let a_step = r * params.a_reduce + k0 * params.a_col;
        let b_step = r * params.b_reduce + k0 * params.b_row;
{%- for i in range(a_loads) %}
        let a_exists{{ i }} = k0 + ap{{ i }}.x < params.k;
        let a_at{{ i }} = a_start{{ i }} + select(0u, a_step, a_exists{{ i }});
        let a_read{{ i }} = vec4f(a[a_at{{ i }}.x], a[a_at{{ i }}.y], a[a_at{{ i }}.z], a[a_at{{ i }}.w]);
{%- endfor %}
{%- for i in range(b_loads) %}
        let b_exists{{ i }} = k0 + bp{{ i }}.x < params.k;
        let b_at{{ i }} = b_start{{ i }} + select(0u, b_step, b_exists{{ i }});
        let b_read{{ i }} = vec4f(b[b_at{{ i }}.x], b[b_at{{ i }}.y], b[b_at{{ i }}.z], b[b_at{{ i }}.w]);
{%- endfor %}
{%- endmacro %}

{%- macro keep() %}
{%- for i in range(a_loads) %}
        let av{{ i }} = select(vec4f(0.0), a_read{{ i }}, a_exists{{ i }});
{%- endfor %}
{%- for i in range(b_loads) %}
        let bv{{ i }} = select(vec4f(0.0), b_read{{ i }}, b_exists{{ i }});
{%- endfor %}
{%- endmacro %}

@compute @workgroup_size({{ threads }})
fn matmul_tiled(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let across = (params.n + {{ tile_n - 1 }}u) / {{ tile_n }}u;
    let down = (params.m + {{ tile_m - 1 }}u) / {{ tile_m }}u;
    let tile = workgroup_index(group, groups, params.first_workgroup);
    if (tile >= across * down * params.batches) { return; } // uniform: the whole workgroup returns
    let batch = tile / (across * down);
    let in_batch = tile - batch * across * down;
    let o = batch / params.inner;
    let g = batch - o * params.inner;
    let i0 = in_batch / across * {{ tile_m }}u;
    let j0 = in_batch % across * {{ tile_n }}u;
    let a_base = params.a_offset + o * params.a_outer + g * params.a_inner;
    let b_base = params.b_offset + o * params.b_outer + g * params.b_inner;
    // The panels of all products, one product after another.
    let products = min(params.reduce, params.reduce_total - o * params.reduce);
    let steps = (params.k + {{ tile_k - 1 }}u) / {{ tile_k }}u * products;
    // Neighboring lanes read neighboring elements of whichever axis is contiguous. Rows and columns past the last one repeat
    // it; their results are not stored.
{%- for i in range(a_loads) %}
    let ap{{ i }} = select(vectors_fastest(lane + {{ i * threads }}u, {{ tile_m // 4 }}u), k_fastest(lane + {{ i * threads }}u), params.a_col == 1u);
    let a_start{{ i }} = a_base + min(components(i0 + ap{{ i }}.y, {{ tile_m // 4 }}u), vec4u(params.m - 1u)) * params.a_row + min(ap{{ i }}.x, params.k - 1u) * params.a_col;
    let a_to{{ i }} = ap{{ i }}.x * {{ a_row }}u + ap{{ i }}.y;
{%- endfor %}
{%- for i in range(b_loads) %}
    let bp{{ i }} = select(vectors_fastest(lane + {{ i * threads }}u, {{ tile_n // 4 }}u), k_fastest(lane + {{ i * threads }}u), params.b_row == 1u);
    let b_start{{ i }} = b_base + min(components(j0 + bp{{ i }}.y, {{ tile_n // 4 }}u), vec4u(params.n - 1u)) * params.b_col + min(bp{{ i }}.x, params.k - 1u) * params.b_row;
    let b_to{{ i }} = bp{{ i }}.x * {{ b_row }}u + bp{{ i }}.y;
{%- endfor %}
    var r = 0u;
    var k0 = 0u;
    {{- results() }}
    {
        {{- load() }}
        {{- keep() }}
        {{- write_tiles() }}
    }
    workgroupBarrier();
    for (var step = 0u; step < steps; step++) {
        k0 += {{ tile_k }}u;
        if (k0 >= params.k) { k0 = 0u; r++; }
        if (r == products) { r = 0u; }
        {{- load() }}
        {{- multiply() }}
        {{- keep() }}
        workgroupBarrier();
        {{- write_tiles() }}
        workgroupBarrier();
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner;
{%- for i in range(each_m) %}{% for j in range(each_n) %}
    store(g, i0 + {{ row(i) }}, j0 + {{ column(j) }}, c_base, {{ result(i, j) }});
{%- endfor %}{% endfor %}
}

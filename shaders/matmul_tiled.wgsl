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

fn store(g: u32, i: u32, j: u32, base: u32, row: vec4f) {
    if (i >= params.m) { return; }
    for (var q = 0u; q < 4u; q++) {
        if (j + q < params.n) { c[base + i * params.c_row + j + q] = row[q] + bias_at(g, i, j + q); }
    }
}

// Rows and columns past an edge repeat the last one and are not stored; elements past the end of the sum are zero.
fn load_a(base: u32, k: u32, i: u32) -> vec4f {
    if (k >= params.k) { return vec4f(0.0); }
    let at = base + k * params.a_col + min(vec4u(i, i + 1u, i + 2u, i + 3u), vec4u(params.m - 1u)) * params.a_row;
    return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn load_b(base: u32, k: u32, j: u32) -> vec4f {
    if (k >= params.k) { return vec4f(0.0); }
    let at = base + k * params.b_row + min(vec4u(j, j + 1u, j + 2u, j + 3u), vec4u(params.n - 1u)) * params.b_col;
    return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

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
    // The tiles of all products along k, one product after another.
    let k_tiles = (params.k + {{ tile_k - 1 }}u) / {{ tile_k }}u;
    let steps = k_tiles * min(params.reduce, params.reduce_total - o * params.reduce);
    // Neighboring lanes read neighboring elements of whichever axis is contiguous.
{%- for i in range(a_loads) %}
    let ap{{ i }} = select(vectors_fastest(lane + {{ i * threads }}u, {{ tile_m // 4 }}u), k_fastest(lane + {{ i * threads }}u), params.a_col == 1u);
    var av{{ i }} = load_a(a_base, ap{{ i }}.x, i0 + 4u * ap{{ i }}.y);
{%- endfor %}
{%- for i in range(b_loads) %}
    let bp{{ i }} = select(vectors_fastest(lane + {{ i * threads }}u, {{ tile_n // 4 }}u), k_fastest(lane + {{ i * threads }}u), params.b_row == 1u);
    var bv{{ i }} = load_b(b_base, bp{{ i }}.x, j0 + 4u * bp{{ i }}.y);
{%- endfor %}
    {{ results() }}
    for (var step = 1u; step <= steps; step++) {
        {{- write_tiles() }}
        workgroupBarrier();
        if (step < steps) {
            let r = step / k_tiles;
            let k0 = step % k_tiles * {{ tile_k }}u;
{%- for i in range(a_loads) %}
            av{{ i }} = load_a(a_base + r * params.a_reduce, k0 + ap{{ i }}.x, i0 + 4u * ap{{ i }}.y);
{%- endfor %}
{%- for i in range(b_loads) %}
            bv{{ i }} = load_b(b_base + r * params.b_reduce, k0 + bp{{ i }}.x, j0 + 4u * bp{{ i }}.y);
{%- endfor %}
        }
        {{- multiply() }}
        workgroupBarrier();
    }

    let c_base = params.c_offset + o * params.c_outer + g * params.c_inner;
{%- for i in range(each_m) %}{% for j in range(each_n // 4) %}
    store(g, i0 + row_of(lane, {{ i // 4 }}u) + {{ i % 4 }}u, j0 + column_of(lane, {{ j }}u), c_base, c{{ i }}_{{ j }});
{%- endfor %}{% endfor %}
}

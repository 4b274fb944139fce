// Up to {{ arrays }} arrays that a reduction reads, shared by non_finite.wgsl and sum_squares.wgsl.
// Array k has len_k elements and is padded to a multiple of four; the padding may hold anything.
// Prepended to the shaders that use it.

struct Arrays {
    groups: u32,
    keep: u32,
{%- for k in range(arrays) %}
    len{{ k }}: u32,
{%- endfor %}
    first_workgroup: u32,
}

@group(0) @binding(0) var<uniform> params: Arrays;
{%- for k in range(arrays) %}
@group(0) @binding({{ k + 1 }}) var<storage, read> x{{ k }}: array<vec4u>;
{%- endfor %}

// Which of four elements are among the first `count`.
fn elements(count: u32) -> vec4<bool> {
    return vec4u(0u, 1u, 2u, 3u) < vec4u(count);
}

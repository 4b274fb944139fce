// What a reduction reads, shared by non_finite.wgsl and sum_squares.wgsl: up to {{ arrays }} arrays, or with `ranges` up to 64 ranges of
// one array, such as the gradients of all small parameters. Array k has len_k elements. `ranges` holds the start (in vec4s) and the
// length (in elements) of each range, two ranges per vec4u. All are padded to a multiple of four elements; the padding may hold
// anything.
// Prepended to the shaders that use it.

{%- if ranges %}

struct Ranges { ranges: array<vec4u, 32>, count: u32, groups: u32, keep: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Ranges;
{%- else %}

struct Arrays {
    groups: u32,
    keep: u32,
{%- for k in range(arrays) %}
    len{{ k }}: u32,
{%- endfor %}
    first_workgroup: u32,
}

@group(0) @binding(0) var<uniform> params: Arrays;
{%- endif %}
{%- for k in range(arrays) %}
@group(0) @binding({{ k + 1 }}) var<storage, read> x{{ k }}: array<vec4u>;
{%- endfor %}

// Which of four elements are among the first `count`.
fn elements(count: u32) -> vec4<bool> {
    return vec4u(0u, 1u, 2u, 3u) < vec4u(count);
}

{#- Runs its body for each vector of a lane in workgroup g, with the number of its elements that exist, or more. Blocks of
    {{ 4 * threads }} elements go to the workgroups in turn: those of each array, or those of all ranges. #}
{%- macro each_vector() %}
{%- if ranges %}
    var block = g;
    var k = 0u;
    while (k < params.count) {
        let pair = params.ranges[k / 2u];
        let range = select(pair.xy, pair.zw, k % 2u == 1u);
        let blocks = (range.y + {{ 4 * threads - 1 }}u) / {{ 4 * threads }}u;
        if (block >= blocks) {
            block -= blocks;
            k++;
            continue;
        }
        let i = block * {{ threads }}u + lane;
        if (i < (range.y + 3u) / 4u) { {{- caller("x0[range.x + i]", "range.y - 4u * i") -}} }
        block += params.groups;
    }
{%- else %}
    let step = params.groups * {{ threads }}u;
    let first = g * {{ threads }}u + lane;
   {%- for k in range(arrays) %}
    for (var i = first; i < (params.len{{ k }} + 3u) / 4u; i += step) { {{- caller("x" ~ k ~ "[i]", "params.len" ~ k ~ " - 4u * i") -}} }
   {%- endfor %}
{%- endif %}
{%- endmacro %}

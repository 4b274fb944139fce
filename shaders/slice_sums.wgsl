// slice_sum_tree (reduce.wgsl) of up to {{ arrays }} arrays: the weight gradients of several layers in one launch.
//
//   out[at_k + i] = sum over s < slices_k of  x_k[s, i]       for i < len_k
//
// x_k is [slices_k, len_k]; len_k and at_k are multiples of four, and unused arrays have a len of 0. Lanes load {{ at_once }} slices at a
// time, but add them in the order of slice_sum_tree, so sums have the same bits.
// Dispatch: ceil(len_0 / 64) + ceil(len_1 / 64) + ... workgroups.

// Of each array: len, slices, at, and nothing.
struct SliceSums { arrays: array<vec4u, {{ arrays }}>, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: SliceSums;
{%- for k in range(arrays) %}
@group(0) @binding({{ k + 1 }}) var<storage, read> x{{ k }}: array<vec4f>;
{%- endfor %}
@group(0) @binding({{ arrays + 1 }}) var<storage, read_write> out: array<vec4f>;

const NOWHERE = 0xffffffffu;

var<workgroup> rows: array<vec4f, {{ threads }}>;

@compute @workgroup_size({{ threads }})
fn slice_sums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    // Index among the workgroups of array k. Past its end, it wraps around to huge values, which are past the end of all others.
    var index = workgroup_index(group, groups, params.first_workgroup);
    var sum = vec4f(0.0);
    var to = NOWHERE;
{%- for k in range(arrays) %}
    let vectors{{ k }} = params.arrays[{{ k }}].x / 4u;
    let i{{ k }} = index * 16u + lane % 16u;
    if (i{{ k }} < vectors{{ k }}) {
        for (var s = lane / 16u; s < params.arrays[{{ k }}].y; s += {{ 16 * at_once }}u) {
   {%- for t in range(at_once) %}
            let slice{{ t }} = s + {{ 16 * t }}u;
            let value{{ t }} = x{{ k }}[min(slice{{ t }}, params.arrays[{{ k }}].y - 1u) * vectors{{ k }} + i{{ k }}];
   {%- endfor %}
   {%- for t in range(at_once) %}
            if (slice{{ t }} < params.arrays[{{ k }}].y) { sum += value{{ t }}; }
   {%- endfor %}
        }
        to = params.arrays[{{ k }}].z / 4u + i{{ k }};
    }
    index -= (params.arrays[{{ k }}].x + 63u) / 64u;
{%- endfor %}
    rows[lane] = sum;
    for (var half = {{ threads // 2 }}u; half >= 16u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { rows[lane] += rows[lane + half]; }
    }
    if (lane < 16u && to != NOWHERE) { out[to] = rows[lane]; }
}

// Whether an element of several arrays (arrays.wgsl) is NaN or infinite, by bits:
//
//   out[g] = infinity if an element that workgroup g reads is not finite, else 0      (keep: infinity also if out[g] was not 0)
//
// The result is itself not finite if an element was not, so a second launch combines those of the first.
//
// Dispatch: `groups` workgroups, which read four elements per invocation at a time.

// uses arrays.wgsl

@group(0) @binding({{ arrays + 1 }}) var<storage, read_write> out: array<u32>;

const INFINITY = 0x7f800000u;

var<workgroup> lanes: array<u32, {{ threads }}>;

// 1 if one of the first `count` elements is not finite.
fn not_finite(v: vec4u, count: u32) -> u32 {
    return u32(any(elements(count) & ((v & vec4u(INFINITY)) == vec4u(INFINITY))));
}

@compute @workgroup_size({{ threads }})
fn non_finite{{ '_ranges' if ranges }}(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let g = workgroup_index(group, groups, params.first_workgroup);
    if (g >= params.groups) { return; } // uniform: the whole workgroup returns
    var found = 0u;
    {%- call(vector, count) each_vector() %} found |= not_finite({{ vector }}, {{ count }}); {% endcall %}
    lanes[lane] = found;
    for (var half = {{ threads }}u / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { lanes[lane] |= lanes[lane + half]; }
    }
    if (lane == 0u) {
        var result = lanes[0] * INFINITY;
        if (params.keep == 1u) { result |= out[g]; }
        out[g] = result;
    }
}

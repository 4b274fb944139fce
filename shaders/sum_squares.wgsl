// Partial sums of the squares of several arrays (arrays.wgsl), for clip.wgsl, in a fixed order:
//
//   out[g] = sum of x * x over the elements that workgroup g reads      (keep: + out[g])
//
// Each lane sums its elements array by array, then a tree reduction combines the lanes.
// Dispatch: `groups` workgroups, which read four elements per invocation at a time.

// uses arrays.wgsl

@group(0) @binding({{ arrays + 1 }}) var<storage, read_write> out: array<f32>;

var<workgroup> lanes: array<f32, {{ threads }}>;

// The squares of the first `count` elements.
fn squares(v: vec4u, count: u32) -> vec4f {
    let x = bitcast<vec4f>(v);
    return select(vec4f(0.0), x * x, elements(count));
}

@compute @workgroup_size({{ threads }})
fn sum_squares{{ '_ranges' if ranges }}(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let g = workgroup_index(group, groups, params.first_workgroup);
    if (g >= params.groups) { return; } // uniform: the whole workgroup returns
    var sum = vec4f(0.0);
    {%- call(vector, count) each_vector() %} sum += squares({{ vector }}, {{ count }}); {% endcall %}
    lanes[lane] = sum.x + sum.y + sum.z + sum.w;
    for (var half = {{ threads }}u / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { lanes[lane] += lanes[lane + half]; }
    }
    if (lane == 0u) {
        var result = lanes[0];
        if (params.keep == 1u) { result += out[g]; }
        out[g] = result;
    }
}

// Element-wise kernels over arrays of `params.len` elements, four per invocation. Buffers are padded to a multiple of four
// elements; the padding may hold anything.
//
//   copy        y = a                             (bitwise, so integers pass unchanged)
//   add         y = a + b
//   add_relu    y = max(a + b, 0), NaN stays NaN
//   blend       y = alpha * y + beta * a          (in place)
//   guarded_blend   the same, if factor[0] is neither NaN nor infinite
//   scale       y = a * factor[0]
//   mul         y = a * b
//   stabilized_div  y = a / (b + alpha with the sign of b), by its bits, so that a NaN stays NaN
//   relu        y = max(a, 0), NaN stays NaN
//   relu_grad   y = 0 where a <= 0, else b        (a: the ReLU's output, possibly NaN; b: the upstream gradient)
//   add_relu_grad   y = 0 where a <= 0, else b + c
//
// Dispatch: ceil(len / 1024) workgroups.

// uses nan.wgsl
// uses relu.wgsl

alias Value = vec4f;
alias Bits = vec4u;
alias Flags = vec4<bool>;

struct Elementwise { len: u32, alpha: f32, beta: f32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Elementwise;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> words_out: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y1: array<vec4f>; // unary kernels and blend
@group(0) @binding(3) var<storage, read_write> y2: array<vec4f>; // binary kernels
@group(0) @binding(3) var<storage, read> c: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y3: array<vec4f>;

@compute @workgroup_size(256)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    words_out[i] = words[i];
}

@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y2[i] = a[i] + b[i];
}

@compute @workgroup_size(256)
fn add_relu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y2[i] = relu_forward(a[i] + b[i]);
}

@compute @workgroup_size(256)
fn blend(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y1[i] = params.alpha * y1[i] + params.beta * a[i];
}

@compute @workgroup_size(256)
fn guarded_blend(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u || !is_finite(vec4f(factor[0])).x) { return; }
    y2[i] = params.alpha * y2[i] + params.beta * a[i];
}

@compute @workgroup_size(256)
fn scale(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y2[i] = a[i] * factor[0];
}

@compute @workgroup_size(256)
fn mul(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y2[i] = a[i] * b[i];
}

@compute @workgroup_size(256)
fn stabilized_div(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    let signs = bitcast<vec4u>(b[i]) & vec4u(0x80000000u);
    y2[i] = a[i] / (b[i] + bitcast<vec4f>(signs | vec4u(bitcast<u32>(params.alpha))));
}

@compute @workgroup_size(256)
fn relu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y1[i] = relu_forward(a[i]);
}

@compute @workgroup_size(256)
fn relu_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y2[i] = relu_backward(b[i], a[i]);
}

@compute @workgroup_size(256)
fn add_relu_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= (params.len + 3u) / 4u) { return; }
    y3[i] = relu_backward(b[i] + c[i], a[i]);
}

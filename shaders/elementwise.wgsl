// Element-wise kernels over arrays of `params.len` elements, one invocation an element.
//
//   copy        y = a                             (as words: integers pass unchanged)
//   add         y = a + b
//   blend       y = alpha * y + beta * a          (in place)
//   scale       y = a * b[0]                      (b holds one number)
//   relu        y = max(a, 0), NaN stays NaN
//   relu_grad   y = b where a > 0, else 0         (a: the ReLU's output, b: its upstream gradient)
//
// Dispatch: ceil(len / 256) workgroups.

struct Elementwise { len: u32, alpha: f32, beta: f32 }

@group(0) @binding(0) var<uniform> params: Elementwise;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> words_out: array<u32>;
@group(0) @binding(2) var<storage, read_write> y1: array<f32>; // kernels of one operand
@group(0) @binding(3) var<storage, read_write> y2: array<f32>; // kernels of two

@compute @workgroup_size(256)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    words_out[i] = words[i];
}

@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    y2[i] = a[i] + b[i];
}

@compute @workgroup_size(256)
fn blend(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    y1[i] = params.alpha * y1[i] + params.beta * a[i];
}

@compute @workgroup_size(256)
fn scale(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    y2[i] = a[i] * b[0];
}

@compute @workgroup_size(256)
fn relu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    let x = a[i];
    // `max` may drop a NaN; a comparison that is false keeps it.
    y1[i] = select(x, 0.0, x <= 0.0);
}

@compute @workgroup_size(256)
fn relu_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups) * 256u + lane;
    if (i >= params.len) { return; }
    y2[i] = select(0.0, b[i], a[i] > 0.0);
}

// Softmax along the middle axis of [outer, classes, inner], one invocation per line of classes.
//
//   softmax            y = exp(x - max) / sum of exp(x - max)
//   log_softmax        y = x - max - log(sum of exp(x - max))
//   softmax_grad       dx = y * (dy - sum of dy * y)
//   log_softmax_grad   dx = dy - exp(y) * sum of dy
//
// The gradients read the forward pass's output y. Dispatch: ceil(outer * inner / 64) workgroups.

struct Softmax { outer: u32, classes: u32, inner: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Softmax;
@group(0) @binding(1) var<storage, read> x: array<f32>; // in the gradients: y
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// Address of the first class of a line. Classes are `inner` elements apart.
fn line_start(line: u32) -> u32 {
    let o = line / params.inner;
    return o * params.classes * params.inner + (line - o * params.inner);
}

fn line_max(start: u32) -> f32 {
    var max_value = x[start];
    for (var c = 1u; c < params.classes; c++) { max_value = max(max_value, x[start + c * params.inner]); }
    return max_value;
}

fn line_sum(start: u32, max_value: f32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) { sum += exp(x[start + c * params.inner] - max_value); }
    return sum;
}

@compute @workgroup_size(64)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let line = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (line >= params.outer * params.inner) { return; }
    let start = line_start(line);
    let max_value = line_max(start);
    let sum = line_sum(start, max_value);
    for (var c = 0u; c < params.classes; c++) {
        let at = start + c * params.inner;
        y[at] = exp(x[at] - max_value) / sum;
    }
}

@compute @workgroup_size(64)
fn log_softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let line = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (line >= params.outer * params.inner) { return; }
    let start = line_start(line);
    let max_value = line_max(start);
    let log_sum = log(line_sum(start, max_value));
    for (var c = 0u; c < params.classes; c++) {
        let at = start + c * params.inner;
        y[at] = x[at] - max_value - log_sum;
    }
}

@compute @workgroup_size(64)
fn softmax_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let line = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (line >= params.outer * params.inner) { return; }
    let start = line_start(line);
    var dot = 0.0;
    for (var c = 0u; c < params.classes; c++) { dot = fma(dy[start + c * params.inner], x[start + c * params.inner], dot); }
    for (var c = 0u; c < params.classes; c++) {
        let at = start + c * params.inner;
        dx[at] = x[at] * (dy[at] - dot);
    }
}

@compute @workgroup_size(64)
fn log_softmax_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let line = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (line >= params.outer * params.inner) { return; }
    let start = line_start(line);
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) { sum += dy[start + c * params.inner]; }
    for (var c = 0u; c < params.classes; c++) {
        let at = start + c * params.inner;
        dx[at] = dy[at] - exp(x[at]) * sum;
    }
}

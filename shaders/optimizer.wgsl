// Optimizer steps, in place, four elements per invocation; buffers are padded to a multiple of four elements. `schedule` holds
// the values that change every step: (learning rate, 1 - beta1^t, 1 - beta2^t).
//
//   sgd    g = grad + weight_decay * w;  v = momentum * v + g;
//          w -= lr * (nesterov ? g + momentum * v : v)                       (momentum 0: w -= lr * g)
//   adam   g = grad + weight_decay * w (AdamW: w *= 1 - lr * weight_decay instead);
//          m = beta1 * m + (1 - beta1) * g;  s = beta2 * s + (1 - beta2) * g^2;
//          w -= lr / (1 - beta1^t) * m / (sqrt(s / (1 - beta2^t)) + eps)
//
// If guard[0] is NaN or infinite, nothing changes. Operations are ordered as in PyTorch. Dispatch: ceil(len / 1024) workgroups.

// uses nan.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

struct Sgd { len: u32, lr_scale: f32, momentum: f32, weight_decay: f32, nesterov: u32, first_workgroup: u32 }
struct Adam { len: u32, lr_scale: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, decoupled: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> sgd_params: Sgd;
@group(0) @binding(0) var<uniform> adam_params: Adam;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read> schedule: array<f32>;
@group(0) @binding(3) var<storage, read> guard: array<f32>;
@group(0) @binding(4) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> first: array<vec4f>; // velocity, or Adam's m
@group(0) @binding(6) var<storage, read_write> second: array<vec4f>; // Adam's s

@compute @workgroup_size(256)
fn sgd(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, sgd_params.first_workgroup) * 256u + lane;
    if (i >= (sgd_params.len + 3u) / 4u || !is_finite(guard[0])) { return; }
    var g = fma(vec4f(sgd_params.weight_decay), w[i], grad[i]);
    if (sgd_params.momentum != 0.0) {
        let v = sgd_params.momentum * first[i] + g;
        first[i] = v;
        g = select(v, fma(vec4f(sgd_params.momentum), v, g), sgd_params.nesterov == 1u);
    }
    w[i] -= schedule[0] * sgd_params.lr_scale * g;
}

@compute @workgroup_size(256)
fn adam(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, adam_params.first_workgroup) * 256u + lane;
    if (i >= (adam_params.len + 3u) / 4u || !is_finite(guard[0])) { return; }
    let lr = schedule[0] * adam_params.lr_scale;
    var weight = w[i];
    var g = grad[i];
    if (adam_params.decoupled == 1u) {
        weight -= weight * lr * adam_params.weight_decay;
    } else {
        g = fma(vec4f(adam_params.weight_decay), weight, g);
    }
    let m = adam_params.beta1 * first[i] + (1.0 - adam_params.beta1) * g;
    let s = adam_params.beta2 * second[i] + (1.0 - adam_params.beta2) * g * g;
    first[i] = m;
    second[i] = s;
    w[i] = weight - lr / schedule[1] * m / (sqrt(s / schedule[2]) + adam_params.eps);
}

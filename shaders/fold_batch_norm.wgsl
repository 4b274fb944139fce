// Folds a batch norm with fixed statistics into the preceding convolution:
//
//   scale[o] = gamma[o] / sqrt(variance[o] + eps)
//   w_out[o, ...] = w[o, ...] * scale[o]
//   bias_out[o]   = (bias[o] - mean[o]) * scale[o] + beta[o]       (bias[o] = 0 without a bias)
//
// w: [channels, per_channel], `len` elements in total; all others: [channels].
// Dispatch: ceil(len / 64) workgroups, one invocation per weight.

struct FoldBatchNorm { len: u32, per_channel: u32, eps: f32, has_bias: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: FoldBatchNorm;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read> bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> w_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> bias_out: array<f32>;

@compute @workgroup_size(64)
fn fold_batch_norm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.len) { return; }
    let o = at / params.per_channel;
    let scale = gamma[o] / sqrt(variance[o] + params.eps);
    w_out[at] = w[at] * scale;
    if (at == o * params.per_channel) {
        var shift = -mean[o];
        if (params.has_bias == 1u) { shift += bias[o]; }
        bias_out[o] = fma(shift, scale, beta[o]);
    }
}

// Losses and metrics of logits [rows, classes] against labels [rows], one invocation per row.
//
//   cross_entropy        out[r] = -sum over c of target[c] * log_softmax(logits)[c] / total,
//                        target[c] = ((c == label) * (1 - e) + e / classes) * weights[c],   e = label_smoothing
//   cross_entropy_grad   dx[r, c] = (softmax(logits)[c] * sum of target - target[c]) * scale * upstream / total
//   label_total          out[0] = sum over rows of weights[label]
//   top_k                out[r] = 1 if fewer than `top` classes rank before the label, else 0. A larger logit ranks first;
//                        ties go to the smaller class; NaN ranks before everything, and a label whose own logit is NaN is
//                        never correct
//
// weights[c] is 1 unless `weighted`, total is 1 unless `normalized`, and upstream is a scalar unless `by_row`. If `ignores`, rows
// labeled `ignored` yield 0 in every output. A label outside the classes makes the loss and its gradient NaN, and is never correct.
// The maximum is subtracted first, so that exp cannot overflow. slice_sum takes the mean over rows.
// Dispatch: ceil(rows / 64) workgroups; label_total: one.

// uses nan.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

struct Loss {
    rows: u32,
    classes: u32,
    label_smoothing: f32,
    scale: f32,
    top: u32,
    ignores: u32,
    ignored: u32,
    weighted: u32,
    normalized: u32,
    by_row: u32,
    first_workgroup: u32,
}

@group(0) @binding(0) var<uniform> params: Loss;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read> upstream: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<storage, read_write> correct: array<f32>;
@group(0) @binding(1) var<storage, read> total_labels: array<u32>;
@group(0) @binding(2) var<storage, read> total_weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> total_out: array<f32>;

fn row_max(start: u32) -> f32 {
    var max_logit = logits[start];
    for (var c = 1u; c < params.classes; c++) { max_logit = max(max_logit, logits[start + c]); }
    return max_logit;
}

fn row_sum(start: u32, max_logit: f32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) { sum += exp(logits[start + c] - max_logit); }
    return sum;
}

fn is_ignored(label: u32) -> bool {
    return params.ignores == 1u && label == params.ignored;
}

// NaN at run time; WGSL rejects NaN in constant expressions.
fn runtime_nan(label: u32) -> f32 {
    return bitcast<f32>(0x7fc00000u | label);
}

fn weight(c: u32) -> f32 {
    if (params.weighted == 0u) { return 1.0; }
    return weights[c];
}

// A term of a weighted sum. A weight of zero drops even an infinite value.
fn term(factor: f32, value: f32) -> f32 {
    let is_zero = bitcast<u32>(factor) << 1u == 0u; // by bits: some compilers take NaN for 0
    if (is_zero) { return 0.0; }
    return factor * value;
}

@compute @workgroup_size(64)
fn cross_entropy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (row >= params.rows) { return; }
    let label = labels[row];
    if (is_ignored(label) || label >= params.classes) {
        out[row] = select(runtime_nan(label), 0.0, is_ignored(label));
        return;
    }
    let start = row * params.classes;
    let max_logit = row_max(start);
    let log_sum = log(row_sum(start, max_logit));
    // Differences from the maximum, so that the smoothing term does not suffer from cancellation.
    var loss = term(weight(label) * (1.0 - params.label_smoothing), log_sum + (max_logit - logits[start + label]));
    if (params.label_smoothing > 0.0) {
        var uniform_loss = 0.0;
        for (var c = 0u; c < params.classes; c++) { uniform_loss += term(weight(c), log_sum + (max_logit - logits[start + c])); }
        loss += uniform_loss * params.label_smoothing / f32(params.classes);
    }
    if (params.normalized == 1u) { loss /= total[0]; }
    out[row] = loss;
}

@compute @workgroup_size(64)
fn cross_entropy_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (row >= params.rows) { return; }
    let label = labels[row];
    let start = row * params.classes;
    if (is_ignored(label) || label >= params.classes) {
        let value = select(runtime_nan(label), 0.0, is_ignored(label));
        for (var c = 0u; c < params.classes; c++) { dx[start + c] = value; }
        return;
    }
    let max_logit = row_max(start);
    let sum = row_sum(start, max_logit);
    let smoothing = params.label_smoothing / f32(params.classes);
    let on_label = 1.0 - params.label_smoothing;
    var target_sum = 1.0;
    if (params.weighted == 1u) {
        target_sum = on_label * weights[label];
        for (var c = 0u; c < params.classes; c++) { target_sum += smoothing * weights[c]; }
    }
    var factor = params.scale * upstream[select(0u, row, params.by_row == 1u)];
    if (params.normalized == 1u) { factor /= total[0]; }
    for (var c = 0u; c < params.classes; c++) {
        let target_c = (smoothing + select(0.0, on_label, c == label)) * weight(c);
        dx[start + c] = (exp(logits[start + c] - max_logit) / sum * target_sum - target_c) * factor;
    }
}

var<workgroup> lanes: array<f32, 64>;

@compute @workgroup_size(64)
fn label_total(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var row = lane; row < params.rows; row += 64u) {
        let label = total_labels[row];
        if (is_ignored(label)) { continue; }
        if (label >= params.classes) {
            sum += runtime_nan(label);
        } else if (params.weighted == 1u) {
            sum += total_weights[label];
        } else {
            sum += 1.0;
        }
    }
    lanes[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { lanes[lane] += lanes[lane + half]; }
    }
    if (lane == 0u) { total_out[0] = lanes[0]; }
}

@compute @workgroup_size(64)
fn top_k(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (row >= params.rows) { return; }
    let start = row * params.classes;
    let label = labels[row];
    if (is_ignored(label) || label >= params.classes) {
        correct[row] = 0.0;
        return;
    }
    let label_logit = logits[start + label];
    var rank = 0u;
    for (var c = 0u; c < params.classes; c++) {
        let other = logits[start + c];
        if (c != label && (is_nan(other) || other > label_logit || (other == label_logit && c < label))) { rank++; }
    }
    correct[row] = select(0.0, 1.0, rank < params.top && !is_nan(label_logit));
}

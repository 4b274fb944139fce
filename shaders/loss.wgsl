// Losses and metrics of logits [rows, classes] against labels [rows], one invocation a row.
//
//   cross_entropy        out[r] = -sum over c of target[c] * log_softmax(logits)[c],
//                        target[c] = (c == label) * (1 - e) + e / classes,   e = label_smoothing
//   cross_entropy_grad   dx[r, c] = (softmax(logits)[c] - target[c]) * scale * upstream[0]
//   top_k                out[r] = 1 if fewer than `top` classes rank before the label's, else 0; a larger
//                        logit ranks before, an equal one if its class is smaller, a NaN always, and a label
//                        whose own logit is NaN is never right
//
// The maximum is subtracted first, so logits of any size are safe. Means over rows are taken by slice_sum.
// Dispatch: ceil(rows / 64) workgroups.

struct Loss { rows: u32, classes: u32, label_smoothing: f32, scale: f32, top: u32 }

@group(0) @binding(0) var<uniform> params: Loss;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> upstream: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

fn row_max(start: u32) -> f32 {
    var most = logits[start];
    for (var c = 1u; c < params.classes; c++) { most = max(most, logits[start + c]); }
    return most;
}

fn row_sum(start: u32, most: f32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) { sum += exp(logits[start + c] - most); }
    return sum;
}

@compute @workgroup_size(64)
fn cross_entropy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups) * 64u + lane;
    if (row >= params.rows) { return; }
    let start = row * params.classes;
    let most = row_max(start);
    let log_sum = log(row_sum(start, most));
    // Distances from the maximum, so that the smoothed part cannot cancel.
    var loss = (log_sum + (most - logits[start + labels[row]])) * (1.0 - params.label_smoothing);
    if (params.label_smoothing > 0.0) {
        var spread = 0.0;
        for (var c = 0u; c < params.classes; c++) { spread += log_sum + (most - logits[start + c]); }
        loss += spread * params.label_smoothing / f32(params.classes);
    }
    out[row] = loss;
}

@compute @workgroup_size(64)
fn cross_entropy_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups) * 64u + lane;
    if (row >= params.rows) { return; }
    let start = row * params.classes;
    let most = row_max(start);
    let sum = row_sum(start, most);
    let spread = params.label_smoothing / f32(params.classes);
    for (var c = 0u; c < params.classes; c++) {
        let wanted = spread + select(0.0, 1.0 - params.label_smoothing, c == labels[row]);
        dx[start + c] = (exp(logits[start + c] - most) / sum - wanted) * params.scale * upstream[0];
    }
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn top_k(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup_index(group, groups) * 64u + lane;
    if (row >= params.rows) { return; }
    let start = row * params.classes;
    let label = labels[row];
    let own = logits[start + label];
    var before = 0u;
    for (var c = 0u; c < params.classes; c++) {
        let other = logits[start + c];
        if (c != label && (is_nan(other) || other > own || (other == own && c < label))) { before++; }
    }
    out[row] = select(0.0, 1.0, before < params.top && !is_nan(own));
}

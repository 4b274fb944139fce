// Shared by batch_norm.wgsl, which has the formulas, and batch_norm_merge.wgsl: sums over the lanes of a workgroup and over
// slices, and the final passes over x. The shader defines `slices_in`, the partial results, and `residual`, `y`, `grad_output`
// and `dx`.
// Shaders that use it must also use batch_norm_sums.wgsl, nan.wgsl and relu.wgsl.
// Prepended to the shaders that use it.

var<workgroup> moments: array<Moments, {{ threads }}>;

// Leaves the merged moments of all lanes in moments[0], for lane 0 to read.
fn merge_lanes(lane: u32, own: Moments) {
    moments[lane] = own;
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { moments[lane] = merge(moments[lane], moments[lane + half]); }
    }
}

// The moments of channel c in the partial results first, first + step, ...
fn merge_slices(c: u32, first: u32, step: u32) -> Moments {
    var merged = Moments(0.0, 0.0, 0.0);
    for (var s = first; s < params.partials; s += step) {
        let at = (c * params.partials + s) * 3u;
        merged = merge(merged, Moments(slices_in[at], slices_in[at + 1u], slices_in[at + 2u]));
    }
    return merged;
}

fn write_y(work: LaneWork, k: Affine) {
    {%- call(i) each_position([["value", "x"], ["residual", "residual"]]) %}
            var value = normalized(value{{ i }}, k.mean, k.scale, k.shift);
            if (params.epilogue == 2u) { value += residual{{ i }}; }
            if (params.epilogue > 0u) { value = relu_forward(value); }
            y[at{{ i }}] = value;
    {%- endcall %}
}

var<workgroup> sums: array<vec2f, {{ threads }}>;

// Leaves the sum over all lanes in sums[0], for lane 0 to read.
fn add_lanes(lane: u32, own: vec2f) {
    sums[lane] = own;
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { sums[lane] += sums[lane + half]; }
    }
}

// The sums of channel c over the slices first, first + step, ...
fn add_slices(c: u32, first: u32, step: u32) -> vec2f {
    var sum = vec2f(0.0);
    for (var s = first; s < params.slices; s += step) {
        let at = (c * params.slices + s) * 2u;
        sum += vec2f(slices_in[at], slices_in[at + 1u]);
    }
    return sum;
}

// Per channel: mean, weight / sqrt(var + eps), bias, grad_bias / count, and grad_weight / count / sqrt(var + eps).
struct Coefficients { mean: f32, scale: f32, shift: f32, dy_mean: f32, slope: f32 }

// From the sums of dy and of dy * xhat over all slices.
fn coefficients_of(c: u32, sum: vec2f) -> Coefficients {
    let at = affine_at(c);
    let count = f32(params.batch) * f32(params.pixels);
    // Fixed statistics do not depend on x.
    let means = select(sum / count, vec2f(0.0), params.fixed == 1u);
    return Coefficients(slices_in[at], slices_in[at + 2u], slices_in[at + 3u], means.x, means.y * slices_in[at + 1u]);
}

fn write_dx(work: LaneWork, k: Coefficients) {
    {%- call(i) each_position([["value", "x"], ["dy", "grad_output"]]) %}
            var upstream = dy{{ i }};
            if (params.epilogue == 1u) { upstream = relu_backward(upstream, normalized(value{{ i }}, k.mean, k.scale, k.shift)); }
            dx[at{{ i }}] = k.scale * (upstream - k.dy_mean - (value{{ i }} - k.mean) * k.slope);
    {%- endcall %}
}

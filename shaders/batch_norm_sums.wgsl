// Shared by batch_norm.wgsl, which has the formulas, batch_norm_merge.wgsl and batch_norm_subgroup.wgsl: parameters, the work of
// one lane, and its partial sums.
// Prepended to the shaders that use it.

struct BatchNorm { batch: u32, channels: u32, pixels: u32, slices: u32, images_per_slice: u32, partials: u32, width: u32, eps: f32, epilogue: u32, fixed: u32, first_workgroup: u32 }

{%- set value = 'vec4f' if vec4 else 'f32' %}
alias Value = {{ value }};
alias Bits = {{ 'vec4u' if vec4 else 'u32' }};
alias Flags = {{ 'vec4<bool>' if vec4 else 'bool' }};
@group(0) @binding(0) var<uniform> params: BatchNorm;
@group(0) @binding(1) var<storage, read> x: array<{{ value }}>;
@group(0) @binding(2) var<storage, read_write> partial_out: array<f32>;

// The work of one lane in channel c: images start, start + step, ... below `end`, and in each image the pixels column,
// column + width, ... below `columns` (with `vec4`, pixels are counted in vectors).
struct LaneWork { c: u32, end: u32, start: u32, step: u32, column: u32, columns: u32 }

// The work of one of `lanes` lanes in slice s of channel c, where slice_channel = s * channels + c.
fn lane_work(slice_channel: u32, lane: u32, lanes: u32) -> LaneWork {
    let s = slice_channel / params.channels;
    let first = s * params.images_per_slice;
    return LaneWork(
        slice_channel - s * params.channels,
        min(first + params.images_per_slice, params.batch),
        first + lane / params.width,
        lanes / params.width,
        lane % params.width,
        params.pixels{{ ' / 4u' if vec4 }},
    );
}

// The index of the partial result of slice s of channel c, where slice_channel = s * channels + c: slices of a channel are neighbors.
fn partial_index(slice_channel: u32) -> u32 {
    return slice_channel % params.channels * params.slices + slice_channel / params.channels;
}

// A lane's position is an image and a column. It is past the end when the image is.
fn first_position(work: LaneWork) -> vec2u {
    return vec2u(select(work.end, work.start, work.column < work.columns), work.column);
}
fn next_position(work: LaneWork, position: vec2u) -> vec2u {
    let column = position.y + params.width;
    return select(vec2u(position.x + work.step, work.column), vec2u(position.x, column), column < work.columns);
}
fn address_of(work: LaneWork, position: vec2u) -> u32 {
    return (position.x * params.channels + work.c) * work.columns + position.y;
}

{#- Runs its body at every position of a lane's work, {{ at_once }} at a time, so that the lane waits for the loads of all of them together:
    i tells them apart, at<i> is the address, and `loads` names values and the arrays that they are read from. #}
{%- macro each_position(loads) %}
    var position = first_position(work);
    while (position.x < work.end) {
        let at0 = address_of(work, position);
        position = next_position(work, position);
   {%- for i in range(1, at_once) %}
        let is{{ i }} = position.x < work.end;
        let at{{ i }} = select(at0, address_of(work, position), is{{ i }});
        position = next_position(work, position);
   {%- endfor %}
   {%- for i in range(at_once) %}{% for value, array in loads %}
        let {{ value }}{{ i }} = {{ array }}[at{{ i }}];
   {%- endfor %}{% endfor %}
   {%- for i in range(at_once) %}
        {% if i > 0 %}if (is{{ i }}) {% endif %}{
            {{- caller(i) }}
        }
   {%- endfor %}
    }
{%- endmacro %}

fn component_sum(v: {{ value }}) -> f32 {
    return {{ 'v.x + v.y + v.z + v.w' if vec4 else 'v' }};
}

struct Moments { count: f32, mean: f32, m2: f32 }

fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    if (count == 0.0) { return a; }
    let fraction = b.count / count;
    let delta = b.mean - a.mean;
    return Moments(count, a.mean + delta * fraction, a.m2 + b.m2 + delta * delta * a.count * fraction);
}

// Deviations are taken from the lane's first element so that a large mean causes no cancellation.
fn moments_of(work: LaneWork) -> Moments {
    var count = 0.0;
    var sum = {{ value }}();
    var squares = {{ value }}();
    var shift = 0.0;
    let first = first_position(work);
    if (first.x < work.end) { shift = x[address_of(work, first)]{{ '.x' if vec4 }}; }
    {%- call(i) each_position([["value", "x"]]) %}
            let d = value{{ i }} - shift;
            count += {{ '4.0' if vec4 else '1.0' }};
            sum += d;
            squares = fma(d, d, squares);
    {%- endcall %}
    let deviation_sum = component_sum(sum);
    let mean_deviation = deviation_sum / max(count, 1.0);
    let m2 = component_sum(squares) - deviation_sum * mean_deviation;
    return Moments(count, shift + mean_deviation, without_negative(m2));
}

@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<{{ value }}>;
@group(0) @binding(7) var<storage, read_write> grad_partial: array<f32>;

// y = (x - mean) * scale + shift in one channel.
struct Affine { mean: f32, inv_std: f32, scale: f32, shift: f32 }

fn affine(c: u32, mean: f32, variance: f32) -> Affine {
    let inv_std = 1.0 / sqrt(variance + params.eps);
    return Affine(mean, inv_std, weight[c] * inv_std, bias[c]);
}

// Shared by the forward pass and its recomputation in the backward pass, so that both agree on which outputs are positive.
fn normalized(x: {{ value }}, mean: f32, scale: f32, shift: f32) -> {{ value }} {
    return fma(x - mean, {{ value }}(scale), {{ value }}(shift));
}

// The sums of dy and of dy * xhat over a lane's work.
fn gradient_sums(work: LaneWork) -> vec2f {
    let k = affine(work.c, mean[work.c], variance[work.c]);
    var dy_sum = {{ value }}();
    var product_sum = {{ value }}();
    {%- call(i) each_position([["value", "x"], ["dy", "dy"]]) %}
            var upstream = dy{{ i }};
            if (params.epilogue == 1u) { upstream = relu_backward(upstream, normalized(value{{ i }}, k.mean, k.scale, k.shift)); }
            dy_sum += upstream;
            product_sum = fma(upstream, value{{ i }} - k.mean, product_sum);
    {%- endcall %}
    return vec2f(component_sum(dy_sum), component_sum(product_sum) * k.inv_std);
}

// Where the coefficients of channel c are stored, after all partial sums.
fn affine_at(c: u32) -> u32 {
    return 2u * params.slices * params.channels + 4u * c;
}

// Writes the sums of a slice and channel, and for the first slice also the coefficients of the channel.
fn write_gradient_sums(slice_channel: u32, total: vec2f) {
    let sums_at = partial_index(slice_channel) * 2u;
    grad_partial[sums_at] = total.x;
    grad_partial[sums_at + 1u] = total.y;
    if (slice_channel >= params.channels) { return; }
    let k = affine(slice_channel, mean[slice_channel], variance[slice_channel]);
    let at = affine_at(slice_channel);
    grad_partial[at] = k.mean;
    grad_partial[at + 1u] = k.inv_std;
    grad_partial[at + 2u] = k.scale;
    grad_partial[at + 3u] = k.shift;
}

// Convolution, or its gradient with respect to the input, as an implicit matrix product through workgroup memory (see
// tiles.wgsl): the im2col matrix is read straight from the images and never stored.
//
//   y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of  x[n, g(o) + c, iy, ix] * w(o, c, ky, kx)
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix likewise, zeros outside the image, and g(o) the first channel
// of o's group; then the epilogue (conv_epilogue.wgsl). Element addresses:
//
//   w(o, c, ky, kx): group * w_group + o * w_out + c * w_in + w_start + ky * w_down + kx * w_right
//   y(n, o, oy, ox): (n, o) * y_plane + y_start + oy * y_down + ox * y_right
//
// These strides let the same kernel compute the gradient with respect to the input: the channel roles are swapped, negative
// steps rotate the filters by 180 degrees, and at a stride above 1 each phase (the pixels whose row and column leave the
// same remainders modulo the stride) is one launch. Sizes and channels are per group, except for `groups`.
//
// As a product: m = output channels, n = (image, oy, ox), k = (c, ky, kx). The filter size is a compile-time constant
// (here {{ taps_h }} x {{ taps_w }}), or 0 if it is only known at run time.
// Dispatch: groups * ceil(m / {{ tile_m }}) * ceil(n / {{ tile_n }}) workgroups, m innermost.

// uses tiles.wgsl
// uses conv_gemm_params.wgsl
// uses conv_epilogue.wgsl
// uses nan.wgsl
// uses relu.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

@group(0) @binding(0) var<uniform> params: ConvGemm;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

{%- set taps = taps_h * taps_w %}

// Channel, row and column of the filter tap at row k of the im2col matrix.
fn tap_of(k: u32) -> vec3u {
{%- if taps == 1 %}
    return vec3u(k, 0u, 0u);
{%- elif taps > 1 %}
    return vec3u(k / {{ taps }}u, k % {{ taps }}u / {{ taps_w }}u, k % {{ taps_w }}u);
{%- else %}
    let taps = max(params.kernel_h * params.kernel_w, 1u);
    let kernel_w = max(params.kernel_w, 1u);
    return vec3u(k / taps, k % taps / kernel_w, k % taps % kernel_w);
{%- endif %}
}

// Channels past the last one repeat it; their results are not stored.
fn load_w(base: u32, o: u32, k: u32, depth: u32) -> vec4f {
    if (k >= depth) { return vec4f(0.0); }
    let tap = tap_of(k);
    let start = base + tap.x * params.w_in + tap.y * params.w_down + tap.z * params.w_right;
    let at = start + min(vec4u(o, o + 1u, o + 2u, o + 3u), vec4u(params.out_channels - 1u)) * params.w_out;
    return vec4f(w[at.x], w[at.y], w[at.z], w[at.w]);
}

// Where a column of the im2col matrix starts: the address of its image, and the row and column that the first tap reads.
fn column_at(g: u32, unclamped: u32) -> vec3u {
    let pixels = params.out_h * params.out_w;
    let pixel = min(unclamped, params.batch * pixels - 1u); // results past the end are not stored
    return vec3u(
        (pixel / pixels * params.groups + g) * params.in_channels * params.in_h * params.in_w,
        pixel % pixels / params.out_w * params.stride_h - params.padding_h,
        pixel % params.out_w * params.stride_w - params.padding_w,
    );
}

fn load_x(at: vec3u, tap: vec3u, inside: bool) -> f32 {
    // Coordinates above or left of the image wrap around to huge values.
    let iy = at.y + tap.y * params.dilation_h;
    let ix = at.z + tap.z * params.dilation_w;
    if (!inside || iy >= params.in_h || ix >= params.in_w) { return 0.0; }
    return x[at.x + (tap.x * params.in_h + iy) * params.in_w + ix];
}

fn store(g: u32, o: u32, pixel: u32, value: f32) {
    let pixels = params.out_h * params.out_w;
    if (o >= params.out_channels || pixel >= params.batch * pixels) { return; }
    let channel = g * params.out_channels + o;
    let plane = pixel / pixels * params.groups * params.out_channels + channel;
    let at = plane * params.y_plane + params.y_start + pixel % pixels / params.out_w * params.y_down + pixel % params.out_w * params.y_right;
    var shift = 0.0;
    if (params.has_bias == 1u) { shift = bias[channel]; }
    y[at] = apply_epilogue(value + shift, at);
}

@compute @workgroup_size({{ threads }})
fn conv_gemm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = params.out_h * params.out_w;
    let down = (params.out_channels + {{ tile_m - 1 }}u) / {{ tile_m }}u;
    let across = (params.batch * pixels + {{ tile_n - 1 }}u) / {{ tile_n }}u;
    let tile = workgroup_index(group, groups, params.first_workgroup);
    if (tile >= down * across * params.groups) { return; } // uniform: the whole workgroup returns
    let i0 = tile % down * {{ tile_m }}u;
    let j0 = tile / down % across * {{ tile_n }}u;
    let g = tile / (down * across);
    let depth = params.in_channels * params.kernel_h * params.kernel_w;

    let w_base = g * params.w_group + params.w_start;
    // A lane loads the pixels of four neighboring results, which are contiguous, as are the weights of neighboring k.
{%- for i in range(a_loads) %}
    let ap{{ i }} = k_fastest(lane + {{ i * threads }}u);
    var av{{ i }} = load_w(w_base, i0 + 4u * ap{{ i }}.y, ap{{ i }}.x, depth);
{%- endfor %}
{%- for q in range(4) %}
    let column{{ q }} = column_at(g, j0 + 4u * (lane % {{ tile_n // 4 }}u) + {{ q }}u);
{%- endfor %}
{%- for i in range(b_loads) %}
    let bp{{ i }} = vectors_fastest(lane + {{ i * threads }}u, {{ tile_n // 4 }}u);
    let tap{{ i }} = tap_of(bp{{ i }}.x);
    let in{{ i }} = bp{{ i }}.x < depth;
    var bv{{ i }} = vec4f(load_x(column0, tap{{ i }}, in{{ i }}), load_x(column1, tap{{ i }}, in{{ i }}), load_x(column2, tap{{ i }}, in{{ i }}), load_x(column3, tap{{ i }}, in{{ i }}));
{%- endfor %}
    {{ results() }}
    for (var k0 = 0u; k0 < depth; k0 += {{ tile_k }}u) {
        {{- write_tiles() }}
        workgroupBarrier();
        let next = k0 + {{ tile_k }}u;
        if (next < depth) {
{%- for i in range(a_loads) %}
            av{{ i }} = load_w(w_base, i0 + 4u * ap{{ i }}.y, next + ap{{ i }}.x, depth);
{%- endfor %}
{%- for i in range(b_loads) %}
            let tap{{ i }} = tap_of(next + bp{{ i }}.x);
            let in{{ i }} = next + bp{{ i }}.x < depth;
            bv{{ i }} = vec4f(load_x(column0, tap{{ i }}, in{{ i }}), load_x(column1, tap{{ i }}, in{{ i }}), load_x(column2, tap{{ i }}, in{{ i }}), load_x(column3, tap{{ i }}, in{{ i }}));
{%- endfor %}
        }
        {{- multiply() }}
        workgroupBarrier();
    }

{%- for j in range(each_n) %}
    let n{{ j }} = j0 + column_of(lane, {{ j // 4 }}u) + {{ j % 4 }}u;
   {%- for i in range(each_m) %}
    store(g, i0 + row_of(lane, {{ i // 4 }}u) + {{ i % 4 }}u, n{{ j }}, c{{ i }}_{{ j // 4 }}.{{ 'xyzw'[j % 4] }});
   {%- endfor %}
{%- endfor %}
}

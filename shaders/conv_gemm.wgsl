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
// same remainders modulo the stride) is a convolution of its own. A launch computes up to four. Sizes and channels are per group,
// except for `groups`.
//
// As a product: m = output channels, n = (image, oy, ox), k = (c, ky, kx). A panel has {{ taps }} of the taps in a row of the filter,
// and {{ tile_k // taps }} channels. Panels run through the taps before the next channels, so that images and filters stay in cache. Where a
// panel's taps and channels read is known from three counters that are the same for all lanes.
// Dispatch: groups * ceil(m / {{ tile_m }}) * ceil(n / {{ tile_n }}) workgroups, m innermost, for each phase.
//
// conv_gemm_moments, for a convolution without bias and epilogue that batch norm follows, also writes partial results as
// batch_norm_partial (batch_norm.wgsl) would:
//
//   partial[c, s] = (count, mean, sum of squared deviations from that mean) of channel c in the {{ tile_n }} pixels of tile column s

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
{%- if moments %}
@group(0) @binding(6) var<storage, read_write> partial_out: array<f32>;
{%- endif %}

const NOWHERE = 0xffffffffu;
{%- set channels = tile_k // taps %}
{%- set k_step = threads * 4 // tile_n %}
{%- set vec4s = range(b_loads) %}

// What tells the phases of an input gradient apart.
struct Phase { out_h: u32, out_w: u32, kernel_h: u32, kernel_w: u32, padding_h: u32, padding_w: u32, w_start: u32, y_start: u32 }

fn phase_at(i: u32) -> Phase {
    if (i == 0u) {
        return Phase(params.out_h, params.out_w, params.kernel_h, params.kernel_w, params.padding_h, params.padding_w, params.w_start, params.y_start);
    }
    let sizes = params.more_phases[2u * i - 2u];
    let starts = params.more_phases[2u * i - 1u];
    return Phase(sizes.x, sizes.y, sizes.z, sizes.w, starts.x, starts.y, starts.z, starts.w);
}

fn columns_of_tiles(phase: Phase) -> u32 {
    return (params.batch * phase.out_h * phase.out_w + {{ tile_n - 1 }}u) / {{ tile_n }}u;
}

// Where the first tap of a result reads: image, row and column.
struct Pixel { image: u32, top: u32, left: u32 }

// Results past the end repeat the last one and are not stored.
fn pixel_of(phase: Phase, unclamped: u32) -> Pixel {
    let pixels = phase.out_h * phase.out_w;
    let at = min(unclamped, params.batch * pixels - 1u);
    let row = at % pixels / phase.out_w;
    return Pixel(at / pixels, row * params.stride_h - phase.padding_h, at % phase.out_w * params.stride_w - phase.padding_w);
}

// The address of a pixel of the group's first channel in y, or NOWHERE past the end.
fn result_at(phase: Phase, g: u32, at: u32) -> u32 {
    let pixels = phase.out_h * phase.out_w;
    if (at >= params.batch * pixels) { return NOWHERE; }
    let plane = (at / pixels * params.groups + g) * params.out_channels;
    return plane * params.y_plane + phase.y_start + at % pixels / phase.out_w * params.y_down + at % phase.out_w * params.y_right;
}

fn store(start: u32, o: u32, value: f32) {
    if (start == NOWHERE) { return; }
    let at = start + o * params.y_plane;
    y[at] = apply_epilogue(value, at);
}

{#- Column j of four of a lane's rows. #}
{%- macro rows(part, j) %}vec4f({% for e in range(4) %}{{ result(part * 4 + e, j) }}{% if e < 3 %}, {% endif %}{% endfor %}){% endmacro %}

{#- Loads the panel at channel c0 and tap (ky, kx). #}
{%- macro load() %}
        let w_step = c0 * params.w_in + ky * params.w_down + kx * params.w_right;
{%- for i in range(a_loads) %}
        let a_exists{{ i }} = c0 + ap{{ i }}.x % {{ channels }}u < params.in_channels && kx + ap{{ i }}.x / {{ channels }}u < phase.kernel_w;
        let a_at{{ i }} = a_start{{ i }} + select(0u, w_step, a_exists{{ i }});
        let a_read{{ i }} = vec4f(w[a_at{{ i }}.x], w[a_at{{ i }}.y], w[a_at{{ i }}.z], w[a_at{{ i }}.w]);
{%- endfor %}
        let row = ky * params.dilation_h;
{%- for t in range(b_loads if taps > 1 else 1) %}
        let column{{ t }} = (kx + {{ t }}u) * params.dilation_w;
   {%- for q in range(4) %}
        let inside{{ q }}_{{ t }} = top{{ q }} + row < params.in_h && left{{ q }} + column{{ t }} < params.in_w{% if taps > 1 %} && kx + {{ t }}u < phase.kernel_w{% endif %};
        let from{{ q }}_{{ t }} = select(0u, start{{ q }} + row * params.in_w + column{{ t }}, inside{{ q }}_{{ t }});
   {%- endfor %}
{%- endfor %}
{%- for i in vec4s %}
   {%- set t = i if taps > 1 else 0 %}
        let channel{{ i }} = c_at + bp.x * plane{% if taps == 1 %} + {{ i * k_step }}u * plane{% endif %};
        let channel_at{{ i }} = min(channel{{ i }}, last_channel);
        let b_read{{ i }} = vec4f(x[from0_{{ t }} + channel_at{{ i }}], x[from1_{{ t }} + channel_at{{ i }}], x[from2_{{ t }} + channel_at{{ i }}], x[from3_{{ t }} + channel_at{{ i }}]);
{%- endfor %}
{%- endmacro %}

{#- A weight that does not exist multiplies a zero pixel. #}
{%- macro keep() %}
{%- for i in range(a_loads) %}
        let av{{ i }} = a_read{{ i }};
{%- endfor %}
{%- for i in vec4s %}
   {%- set t = i if taps > 1 else 0 %}
        let b_exists{{ i }} = channel{{ i }} <= last_channel;
        let bv{{ i }} = select(vec4f(0.0), b_read{{ i }}, vec4<bool>({% for q in range(4) %}inside{{ q }}_{{ t }} && b_exists{{ i }}{% if q < 3 %}, {% endif %}{% endfor %}));
{%- endfor %}
{%- endmacro %}

@compute @workgroup_size({{ threads }})
fn conv_gemm{{ '_moments' if moments }}(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let down = (params.out_channels + {{ tile_m - 1 }}u) / {{ tile_m }}u;
    var tile = workgroup_index(group, groups, params.first_workgroup);
    var phase = phase_at(0u);
    var across = columns_of_tiles(phase);
    for (var i = 1u; i < params.phases && tile >= down * across * params.groups; i++) {
        tile -= down * across * params.groups;
        phase = phase_at(i);
        across = columns_of_tiles(phase);
    }
    if (tile >= down * across * params.groups) { return; } // uniform: the whole workgroup returns
    let i0 = tile % down * {{ tile_m }}u;
    let tile_column = tile / down % across;
    let j0 = tile_column * {{ tile_n }}u;
    let g = tile / (down * across);
    let plane = params.in_h * params.in_w;
    let last_channel = (params.in_channels - 1u) * plane;
    let steps = (params.in_channels + {{ channels - 1 }}u) / {{ channels }}u * phase.kernel_h * ((phase.kernel_w + {{ taps - 1 }}u) / {{ taps }}u);

    // Neighboring lanes read weights of neighboring input or output channels, whichever are closer. Channels and taps past the last
    // one repeat it.
{%- for i in range(a_loads) %}
    let ap{{ i }} = select(vectors_fastest(lane + {{ i * threads }}u, {{ tile_m // 4 }}u), k_fastest(lane + {{ i * threads }}u), params.w_in <= params.w_out);
    let a_start{{ i }} = g * params.w_group + phase.w_start + min(components(i0 + ap{{ i }}.y, {{ tile_m // 4 }}u), vec4u(params.out_channels - 1u)) * params.w_out
        + min(ap{{ i }}.x % {{ channels }}u, params.in_channels - 1u) * params.w_in + min(ap{{ i }}.x / {{ channels }}u, max(phase.kernel_w, 1u) - 1u) * params.w_right;
    let a_to{{ i }} = ap{{ i }}.x * {{ a_row }}u + ap{{ i }}.y;
{%- endfor %}
    let bp = vectors_fastest(lane, {{ tile_n // 4 }}u);
{%- for i in vec4s %}
    let b_to{{ i }} = bp.x * {{ b_row }}u + bp.y + {{ i * k_step * b_row }}u;
{%- endfor %}
    // The first pixel of an image may lie above or left of it. Then its coordinates wrap around to huge values.
{%- for q in range(4) %}
    let pixel{{ q }} = pixel_of(phase, j0 + bp.y + {{ q * tile_n // 4 }}u);
    let top{{ q }} = pixel{{ q }}.top;
    let left{{ q }} = pixel{{ q }}.left;
    let start{{ q }} = (pixel{{ q }}.image * params.groups + g) * params.in_channels * plane + top{{ q }} * params.in_w + left{{ q }};
{%- endfor %}
    // The panel's first channel, its offset, and its first tap.
    var c0 = 0u;
    var c_at = 0u;
    var ky = 0u;
    var kx = 0u;
    {{- results() }}
    {
        {{- load() }}
        {{- keep() }}
        {{- write_tiles() }}
    }
    workgroupBarrier();
    for (var step = 0u; step < steps; step++) {
        kx += {{ taps }}u;
        if (kx >= phase.kernel_w) { kx = 0u; ky++; }
        if (ky == phase.kernel_h) { ky = 0u; c0 += {{ channels }}u; c_at += {{ channels }}u * plane; }
        if (c0 >= params.in_channels) { c0 = 0u; c_at = 0u; }
        {{- load() }}
        {{- multiply() }}
        {{- keep() }}
        workgroupBarrier();
        {{- write_tiles() }}
        workgroupBarrier();
    }

{%- for j in range(each_n) %}
    let to{{ j }} = result_at(phase, g, j0 + {{ column(j) }});
{%- endfor %}
{%- for i in range(each_m) %}
    let o{{ i }} = i0 + {{ row(i) }};
    if (o{{ i }} < params.out_channels) {
        var shift = 0.0;
        if (params.has_bias == 1u) { shift = bias[g * params.out_channels + o{{ i }}]; }
   {%- for j in range(each_n) %}
        store(to{{ j }}, o{{ i }}, {{ result(i, j) }} + shift);
   {%- endfor %}
    }
{%- endfor %}
{%- if moments %}

    // Sums over the lanes of a row, of deviations from the first result of the row, so that a large mean causes no cancellation.
    // The panels are no longer needed, so their memory is reused: `a_tile` for first results, `b_tile` for sums. A vector
    // holds four rows.
    let count = f32(min({{ tile_n }}u, params.batch * phase.out_h * phase.out_w - j0));
    let at = lane_row(lane) * {{ columns }}u + lane_column(lane);
    if (lane_column(lane) == 0u) {
   {%- for part in range(each_m // 4) %}
        a_tile[lane_row(lane) + {{ part * tile_m // each_m }}u] = {{ rows(part, 0) }};
   {%- endfor %}
    }
   {%- for part in range(each_m // 4) %}
    {
        workgroupBarrier();
        let first = a_tile[lane_row(lane) + {{ part * tile_m // each_m }}u];
        var sum = vec4f(0.0);
        var squares = vec4f(0.0);
      {%- for j in range(each_n) %}
        let d{{ j }} = select(vec4f(0.0), {{ rows(part, j) }} - first, to{{ j }} != NOWHERE);
        sum += d{{ j }};
        squares = fma(d{{ j }}, d{{ j }}, squares);
      {%- endfor %}
        b_tile[at] = sum;
        b_tile[at + {{ threads }}u] = squares;
        for (var half = {{ columns // 2 }}u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if (lane_column(lane) < half) {
                b_tile[at] += b_tile[at + half];
                b_tile[at + {{ threads }}u] += b_tile[at + half + {{ threads }}u];
            }
        }
        if (lane_column(lane) == 0u) {
            let total = b_tile[at];
            let mean = total / count;
            let m2 = b_tile[at + {{ threads }}u] - total * mean;
      {%- for e in range(4) %}
            if (o{{ part * 4 + e }} < params.out_channels) {
                let to = ((g * params.out_channels + o{{ part * 4 + e }}) * across + tile_column) * 3u;
                partial_out[to] = count;
                partial_out[to + 1u] = first.{{ 'xyzw'[e] }} + mean.{{ 'xyzw'[e] }};
                partial_out[to + 2u] = without_negative(m2.{{ 'xyzw'[e] }});
            }
      {%- endfor %}
        }
    }
   {%- endfor %}
{%- endif %}
}

// Weight gradients of a convolution as an implicit matrix product through workgroup memory (see tiles.wgsl). The
// reduction over pixels is split into slices (split-K); slice_sum then adds the partial results in order.
//
//   partial[s, o, c, ky, kx] = sum over the pixels (n, oy, ox) of slice s of  dy[n, o, oy, ox] * x[n, g(o) + c, iy, ix]
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix likewise, zeros outside the image, and g(o) the first channel
// of o's group. x: [batch, groups * in_channels, in_h, in_w]; dy: [batch, groups * out_channels, out_h, out_w]. Slice s
// covers `pixels_per_slice` pixels starting at s * pixels_per_slice. Sizes and channels are per group, except for `groups`.
//
// As a product: m = output channels, k = pixels, and n = (c / {{ channels }}, ky, kx, c % {{ channels }}): blocks of {{ channels }} channels that have the same tap, so that
// a tap's offset is the same for all lanes. Channels are padded to whole blocks.
// Dispatch: slices * groups * ceil(m / {{ tile_m }}) * ceil(n / {{ tile_n }}) workgroups, m innermost, slices outermost.

// uses tiles.wgsl
// uses conv_gemm_params.wgsl

@group(0) @binding(0) var<uniform> params: ConvGemm;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

{%- set blocks = tile_n // channels %}
{%- set per_vector = blocks // 4 %}
{%- set k_lanes = threads // tile_k %}

fn store(start: u32, o: u32, value: f32) {
    if (o < params.out_channels) { partial[start + o * params.in_channels * params.kernel_h * params.kernel_w] = value; }
}

{#- Loads the panel whose pixel of this lane is at k, `top`, `left`, x_at and dy_at. #}
{%- macro load() %}
        let exists = k < end;
        let dy_from = select(dy_start, dy_at, exists);
{%- for i in range(a_loads) %}
        let a_read{{ i }} = vec4f(dy[dy_from + o{{ i }}.x], dy[dy_from + o{{ i }}.y], dy[dy_from + o{{ i }}.z], dy[dy_from + o{{ i }}.w]);
{%- endfor %}
{%- for q in range(4) %}
   {%- for t in range(per_vector) %}
        let inside{{ q }}_{{ t }} = exists && top + tap_row{{ q }}_{{ t }} < params.in_h && left + tap_column{{ q }}_{{ t }} < params.in_w;
        let from{{ q }}_{{ t }} = select(0u, x_at + tap_offset{{ q }}_{{ t }}, inside{{ q }}_{{ t }});
   {%- endfor %}
{%- endfor %}
{%- for i in range(b_loads) %}
        let b_read{{ i }} = vec4f({% for q in range(4) %}x[from{{ q }}_{{ i if per_vector > 1 else 0 }} + channel{{ q }}_{{ i }}]{% if q < 3 %}, {% endif %}{% endfor %});
{%- endfor %}
{%- endmacro %}

{#- A gradient past the end of the slice multiplies a zero pixel. #}
{%- macro keep() %}
{%- for i in range(a_loads) %}
        let av{{ i }} = a_read{{ i }};
{%- endfor %}
{%- for i in range(b_loads) %}
        let bv{{ i }} = select(vec4f(0.0), b_read{{ i }}, vec4<bool>({% for q in range(4) %}inside{{ q }}_{{ i if per_vector > 1 else 0 }}{% if q < 3 %}, {% endif %}{% endfor %}));
{%- endfor %}
{%- endmacro %}

@compute @workgroup_size({{ threads }})
fn conv_gemm_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let taps = params.kernel_h * params.kernel_w;
    let blocks = (params.in_channels + {{ channels - 1 }}u) / {{ channels }}u * taps;
    let down = (params.out_channels + {{ tile_m - 1 }}u) / {{ tile_m }}u;
    let across = (blocks + {{ blocks - 1 }}u) / {{ blocks }}u;
    let pixels = params.out_h * params.out_w;
    let total = params.batch * pixels;
    let tile = workgroup_index(group, groups, params.first_workgroup);
    let slice = tile / (down * across * params.groups);
    let first = slice * params.pixels_per_slice;
    if (first >= total) { return; } // uniform: the whole workgroup returns
    let end = min(first + params.pixels_per_slice, total);
    let i0 = tile % down * {{ tile_m }}u;
    let block0 = tile / down % across * {{ blocks }}u;
    let g = tile / (down * across) % params.groups;
    let plane = params.in_h * params.in_w;

    // A lane loads the same k of both tiles, so neighboring lanes read neighboring pixels. It follows its pixel from panel to
    // panel, without divisions: index, row and column in x without padding, and addresses in x and dy.
    var k = first + lane % {{ tile_k }}u;
    let image = k / pixels;
    let pixel = k % pixels;
    var top = pixel / params.out_w * params.stride_h;
    var left = pixel % params.out_w * params.stride_w;
    let dy_start = g * params.out_channels * pixels;
    var x_at = (image * params.groups + g) * params.in_channels * plane + top * params.in_w + left;
    var dy_at = dy_start + image * params.groups * params.out_channels * pixels + pixel;
    // A panel has this many images, rows and columns; after that, a column or row past the last one wraps around.
    let images = {{ tile_k }}u / pixels;
    let top_step = {{ tile_k }}u % pixels / params.out_w * params.stride_h;
    let left_step = {{ tile_k }}u % pixels % params.out_w * params.stride_w;
    let top_end = params.out_h * params.stride_h;
    let left_end = params.out_w * params.stride_w;
    let x_image = params.groups * params.in_channels * plane;
    let dy_image = (params.groups * params.out_channels - 1u) * pixels;
    let x_step = images * x_image + top_step * params.in_w + left_step;
    let dy_step = {{ tile_k }}u + images * dy_image;
    let x_row = params.stride_h * params.in_w - left_end;
    let x_rows = x_image - top_end * params.in_w;

    // Output channels past the last one repeat it; their results are not stored.
{%- for i in range(a_loads) %}
    let ap{{ i }} = k_fastest(lane + {{ i * threads }}u);
    let o{{ i }} = min(components(i0 + ap{{ i }}.y, {{ tile_m // 4 }}u), vec4u(params.out_channels - 1u)) * pixels;
    let a_to{{ i }} = ap{{ i }}.x * {{ a_row }}u + ap{{ i }}.y;
{%- endfor %}
    let bp = k_fastest(lane);
{%- for i in range(b_loads) %}
    let b_to{{ i }} = bp.x * {{ b_row }}u + bp.y + {{ i * k_lanes }}u;
{%- endfor %}
{%- for q in range(4) %}
   {%- for t in range(per_vector) %}
    let block{{ q }}_{{ t }} = block0 + {{ q * per_vector + t }}u;
    let tap_row{{ q }}_{{ t }} = block{{ q }}_{{ t }} % taps / params.kernel_w * params.dilation_h - params.padding_h;
    let tap_column{{ q }}_{{ t }} = block{{ q }}_{{ t }} % taps % params.kernel_w * params.dilation_w - params.padding_w;
    let tap_offset{{ q }}_{{ t }} = tap_row{{ q }}_{{ t }} * params.in_w + tap_column{{ q }}_{{ t }};
   {%- endfor %}
   {%- for i in range(b_loads) %}
    let channel{{ q }}_{{ i }} = min(block{{ q }}_{{ i if per_vector > 1 else 0 }} / taps * {{ channels }}u + bp.y{% if per_vector == 1 %} + {{ i * k_lanes }}u{% endif %}, params.in_channels - 1u) * plane;
   {%- endfor %}
{%- endfor %}
    {{- results() }}
    {
        {{- load() }}
        {{- keep() }}
        {{- write_tiles() }}
    }
    workgroupBarrier();
    for (var k0 = first; k0 < end; k0 += {{ tile_k }}u) {
        k += {{ tile_k }}u;
        top += top_step;
        left += left_step;
        x_at += x_step;
        dy_at += dy_step;
        if (left >= left_end) { left -= left_end; top += params.stride_h; x_at += x_row; }
        if (top >= top_end) { top -= top_end; x_at += x_rows; dy_at += dy_image; }
        {{- load() }}
        {{- multiply() }}
        {{- keep() }}
        workgroupBarrier();
        {{- write_tiles() }}
        workgroupBarrier();
    }

    let slice_start = (slice * params.groups + g) * params.out_channels * params.in_channels * taps;
{%- for j in range(each_n) %}
    {
        let n = {{ column(j) }};
        let block = block0 + n / {{ channels }}u;
        let c = block / taps * {{ channels }}u + n % {{ channels }}u;
        if (c < params.in_channels) {
            let start = slice_start + c * taps + block % taps;
   {%- for i in range(each_m) %}
            store(start, i0 + {{ row(i) }}, {{ result(i, j) }});
   {%- endfor %}
        }
    }
{%- endfor %}
}

// Weight gradients of a convolution as an implicit matrix product through workgroup memory (see tiles.wgsl). The
// reduction over pixels is split into slices (split-K); slice_sum then adds the partial results in order.
//
//   partial[s, o, c, ky, kx] = sum over the pixels (n, oy, ox) of slice s of  dy[n, o, oy, ox] * x[n, g(o) + c, iy, ix]
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix likewise, zeros outside the image, and g(o) the first channel
// of o's group. x: [batch, groups * in_channels, in_h, in_w]; dy: [batch, groups * out_channels, out_h, out_w]. Slice s
// covers `k_per_slice` pixels starting at s * k_per_slice. Sizes and channels are per group, except for `groups`.
//
// As a product: m = output channels, n = (c, ky, kx), k = pixels.
// Dispatch: slices * groups * ceil(m / {{ tile_m }}) * ceil(n / {{ tile_n }}) workgroups, m innermost, slices outermost.

// uses tiles.wgsl
// uses conv_gemm_params.wgsl

@group(0) @binding(0) var<uniform> params: ConvGemm;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

// A pixel of the slice: whether it exists, its address in dy, the address of its image in x, and the row and column that the
// first tap reads.
struct Pixel { inside: bool, dy_base: u32, x_base: u32, top: u32, left: u32 }

fn pixel_of(g: u32, k: u32, end: u32) -> Pixel {
    let pixels = params.out_h * params.out_w;
    let n = k / pixels * params.groups + g;
    let p = k % pixels;
    return Pixel(
        k < end,
        n * params.out_channels * pixels + p,
        n * params.in_channels * params.in_h * params.in_w,
        p / params.out_w * params.stride_h - params.padding_h,
        p % params.out_w * params.stride_w - params.padding_w,
    );
}

// Channels past the last one repeat it; their results are not stored.
fn load_dy(at: Pixel, o: u32) -> vec4f {
    if (!at.inside) { return vec4f(0.0); }
    let channels = min(vec4u(o, o + 1u, o + 2u, o + 3u), vec4u(params.out_channels - 1u));
    let lines = at.dy_base + channels * params.out_h * params.out_w;
    return vec4f(dy[lines.x], dy[lines.y], dy[lines.z], dy[lines.w]);
}

// `tap` holds the offset of the channel, then the row and column offsets; see tap_of.
fn load_x(at: Pixel, tap: vec3u, tap_exists: bool) -> f32 {
    let iy = at.top + tap.y;
    let ix = at.left + tap.z;
    if (!at.inside || !tap_exists || iy >= params.in_h || ix >= params.in_w) { return 0.0; }
    return x[at.x_base + tap.x + iy * params.in_w + ix];
}

fn tap_of(n: u32) -> vec3u {
    let taps = params.kernel_h * params.kernel_w;
    let ky = n % taps / params.kernel_w;
    let kx = n % taps % params.kernel_w;
    return vec3u(n / taps * params.in_h * params.in_w, ky * params.dilation_h, kx * params.dilation_w);
}

@compute @workgroup_size({{ threads }})
fn conv_gemm_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let width = params.in_channels * params.kernel_h * params.kernel_w;
    let down = (params.out_channels + {{ tile_m - 1 }}u) / {{ tile_m }}u;
    let across = (width + {{ tile_n - 1 }}u) / {{ tile_n }}u;
    let total = params.batch * params.out_h * params.out_w;
    let tile = workgroup_index(group, groups, params.first_workgroup);
    let slice = tile / (down * across * params.groups);
    let first = slice * params.k_per_slice;
    if (first >= total) { return; } // uniform: the whole workgroup returns
    let end = min(first + params.k_per_slice, total);
    let i0 = tile % down * {{ tile_m }}u;
    let j0 = tile / down % across * {{ tile_n }}u;
    let g = tile / (down * across) % params.groups;

    // A lane loads the same k of both tiles, so neighboring lanes read neighboring pixels.
    let k = lane % {{ tile_k }}u;
    let start = pixel_of(g, first + k, end);
{%- for i in range(a_loads) %}
    let ap{{ i }} = k_fastest(lane + {{ i * threads }}u);
    var av{{ i }} = load_dy(start, i0 + 4u * ap{{ i }}.y);
{%- endfor %}
{%- for i in range(b_loads) %}
    let bp{{ i }} = k_fastest(lane + {{ i * threads }}u);
   {%- for q in range(4) %}
    let n{{ i }}_{{ q }} = j0 + 4u * bp{{ i }}.y + {{ q }}u;
    let tap{{ i }}_{{ q }} = tap_of(n{{ i }}_{{ q }});
   {%- endfor %}
    var bv{{ i }} = vec4f({% for q in range(4) %}load_x(start, tap{{ i }}_{{ q }}, n{{ i }}_{{ q }} < width){% if q < 3 %}, {% endif %}{% endfor %});
{%- endfor %}
    {{ results() }}
    for (var k0 = first; k0 < end; k0 += {{ tile_k }}u) {
        {{- write_tiles() }}
        workgroupBarrier();
        let next = k0 + {{ tile_k }}u;
        if (next < end) {
            let at = pixel_of(g, next + k, end);
{%- for i in range(a_loads) %}
            av{{ i }} = load_dy(at, i0 + 4u * ap{{ i }}.y);
{%- endfor %}
{%- for i in range(b_loads) %}
            bv{{ i }} = vec4f({% for q in range(4) %}load_x(at, tap{{ i }}_{{ q }}, n{{ i }}_{{ q }} < width){% if q < 3 %}, {% endif %}{% endfor %});
{%- endfor %}
        }
        {{- multiply() }}
        workgroupBarrier();
    }

    let base = (slice * params.groups + g) * params.out_channels;
{%- for i in range(each_m) %}
    let o{{ i }} = i0 + row_of(lane, {{ i // 4 }}u) + {{ i % 4 }}u;
    if (o{{ i }} < params.out_channels) {
   {%- for j in range(each_n) %}
        let to{{ j }} = j0 + column_of(lane, {{ j // 4 }}u) + {{ j % 4 }}u;
        if (to{{ j }} < width) { partial[(base + o{{ i }}) * width + to{{ j }}] = c{{ i }}_{{ j // 4 }}.{{ 'xyzw'[j % 4] }}; }
   {%- endfor %}
    }
{%- endfor %}
}

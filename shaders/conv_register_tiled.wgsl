// Register-tiled direct convolution for software adapters: each invocation computes {{ channels }} output channels x {{ rows }} rows x
// 4 columns, {{ taps_h }} x {{ taps_w }} filter taps at a time. The gradient with respect to the input is the same convolution with
// rotated weights.
//
//   y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of  x[n, g(o) + c, iy, ix] * w(o, c, ky, kx)
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix = ox * {{ stride }} - padding_w + kx, zeros outside the image, and g(o)
// the first channel of o's group; then the epilogue (conv_epilogue.wgsl). x: [batch, groups * in_channels, in_h, in_w].
// y(n, o, oy, ox) is stored at (n, o) * y_plane + y_start + oy * y_down + ox * y_right, so that a single phase of a stride-2
// input gradient can be written. w: as packed by conv_pack.wgsl, one line of weights per group, block of {{ channels }} output
// channels, input channel and window of taps.
//
// Loads whose addresses differ between lanes dominate the cost. So all lanes of a subgroup work on the same block of channels:
// each lane loads part of the line of weights, and subgroup broadcasts distribute it. With `vec4`, pixels are loaded four at a
// time. With `shuffle`, the pixels to the left and right of those four come from the neighboring lanes; the number of tiles per row
// must then be a power of two, at most the subgroup size. Here vec4 is {{ vec4 }} and shuffle is {{ shuffle }}.
// Requires subgroups of exactly {{ subgroup }} lanes. Dispatch: one workgroup per {{ threads }} tiles and block of channels, blocks innermost.

// uses conv_register_tiled_rows.wgsl
// uses conv_epilogue.wgsl
// uses nan.wgsl
// uses relu.wgsl

{%- set loads = (channels * taps_h * taps_w + 4 * subgroup - 1) // (4 * subgroup) %}

alias Value = {{ 'vec4f' if vec4 else 'f32' }};
alias Bits = {{ 'vec4u' if vec4 else 'u32' }};
alias Flags = {{ 'vec4<bool>' if vec4 else 'bool' }};

@group(0) @binding(0) var<uniform> params: ConvRegisterTiled;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<Value>;
@group(0) @binding(5) var<storage, read_write> y: array<Value>;

@compute @workgroup_size({{ threads }})
fn conv_register_tiled(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
{{- tile_and_block('out_h') }}
{%- set whole = taps_h > 1 or taps_w == 1 %}
{%- if whole %}
    let ox = tile % params.across * 4u;
    let oy = tile / params.across % down * {{ rows }}u;
    let n = tile / (params.across * down);
    let ky = 0u;
    let kx = 0u;
    let steps = params.in_channels;
    var line = block * params.in_channels * (params.line / 4u) + lane;
{%- else %}
    // Consecutive lanes compute the same tile of consecutive images: the largest power of two that divides the batch, at most a
    // subgroup.
    let interleaved = min(params.batch & (~params.batch + 1u), {{ subgroup }}u);
    let tiles_per_band = params.across * params.batch;
    let ox = tile / interleaved % params.across * 4u;
    let oy = tile / tiles_per_band * {{ rows }}u;
    let n = tile / (interleaved * params.across) % (params.batch / interleaved) * interleaved + tile % interleaved;

    // Skips the rows of taps that read only padding in the whole subgroup.
    let top = i32((first_tile) / tiles_per_band * {{ rows }}u * params.stride_h) - i32(params.padding_h);
    let last = min(first_tile + {{ subgroup - 1 }}u, tiles - 1u) / tiles_per_band * {{ rows }}u + {{ rows - 1 }}u;
    let bottom = i32(last * params.stride_h) - i32(params.padding_h);
    let first_ky = (u32(max(-bottom, 0)) + params.dilation_h - 1u) / params.dilation_h;
    let end_ky = min((u32(max(i32(params.in_h) - top, 0)) + params.dilation_h - 1u) / params.dilation_h, params.kernel_h);
    var ky = first_ky;
    var kx = 0u;
    let windows_w = (params.kernel_w + {{ taps_w - 1 }}u) / {{ taps_w }}u;
    let used_rows = max(end_ky, first_ky) - first_ky;
    let steps = params.in_channels * used_rows * windows_w;
    let skipped = (params.kernel_h - used_rows) * windows_w * (params.line / 4u);
    var line = (block * params.in_channels * params.kernel_h + first_ky) * windows_w * (params.line / 4u) + lane;
{%- endif %}
    var plane = (n * params.groups + g) * params.in_channels;
{%- for o in range(channels) %}
   {%- for q in range(rows * 4) %} var a{{ o }}_{{ q }} = 0.0;{% endfor %}
{%- endfor %}
    // A single loop without divisions: with this many live values, both divisions and nested loops are expensive.
    for (var step = 0u; step < steps; step++) {
{{- rows_of_image() }}
{%- for i in range(loads) %}
        let w{{ i }} = w[line + {{ i * subgroup }}u];
{%- endfor %}
        line += params.line / 4u;
{%- if vec4 %}
   {%- if edge %}
        // The vectors from the tile's first pixel on; results past the row's end are not stored.
        let left = min(ox * {{ stride }}u, params.in_w - {{ 4 * stride }}u);
      {%- for r in range(input_rows) %}
         {%- for v in range(stride) %}
        let q{{ r }}_{{ v }} = select(vec4f(0.0), x[(row{{ r }} + left) / 4u + {{ v }}u], in{{ r }});
         {%- endfor %}
         {%- if shuffle %}
        let p{{ r }}_0 = select(0.0, subgroupShuffle(q{{ r }}_{{ stride - 1 }}.w, (lane + {{ subgroup - 1 }}u) % {{ subgroup }}u), ox > 0u);
         {%- else %}
        let at{{ r }} = row{{ r }} + max(left, 1u) - 1u;
        let p{{ r }}_0 = select(0.0, x[at{{ r }} / 4u][at{{ r }} % 4u], in{{ r }} && ox > 0u);
         {%- endif %}
         {%- if stride == 1 %}
            {%- if shuffle %}
        let p{{ r }}_5 = select(0.0, subgroupShuffle(q{{ r }}_0.x, (lane + 1u) % {{ subgroup }}u), ox + 4u < params.in_w);
            {%- else %}
        let to{{ r }} = row{{ r }} + min(left + 4u, params.in_w - 1u);
        let p{{ r }}_5 = select(0.0, x[to{{ r }} / 4u][to{{ r }} % 4u], in{{ r }} && left + 4u < params.in_w);
            {%- endif %}
         {%- endif %}
         {{- pixels_of_vec4(r, 1, 4 * stride) }}
      {%- endfor %}
   {%- else %}
      {{- load_vec4() }}
   {%- endif %}
{%- else %}
   {{- load_pixels() }}
{%- endif %}
{%- for o in range(channels) %}
   {%- for t in range(taps_h * taps_w) %}
      {%- set f = t * channels + o %}
        let b{{ o }}_{{ t }} = subgroupBroadcast(w{{ f // 4 // subgroup }}.{{ 'xyzw'[f % 4] }}, {{ f // 4 % subgroup }}u);
      {%- for q in range(rows * 4) %}
         {%- set r = q // 4 * stride + t // taps_w if taps_h > 1 else q // 4 %}
        a{{ o }}_{{ q }} += b{{ o }}_{{ t }} * p{{ r }}_{{ q % 4 * stride + t % taps_w }};
      {%- endfor %}
   {%- endfor %}
{%- endfor %}
{%- if whole %}
        plane += 1u;
{%- else %}
        kx += {{ taps_w }}u;
        let row_ends = kx >= params.kernel_w;
        kx = select(kx, 0u, row_ends);
        ky += select(0u, 1u, row_ends);
        let filter_ends = ky >= end_ky;
        ky = select(ky, first_ky, filter_ends);
        line += select(0u, skipped, filter_ends);
        plane += select(0u, 1u, filter_ends);
{%- endif %}
    }

    if (first_tile + lane >= tiles || ox >= params.out_w) { return; }
    let channel = g * params.out_channels + o;
    let at = (n * params.groups * params.out_channels + channel) * params.y_plane + params.y_start + oy * params.y_down + ox * params.y_right;
{%- for o in range(channels) %}
    if (o + {{ o }}u < params.out_channels) {
        var shift = 0.0;
        if (params.has_bias == 1u) { shift = bias[channel + {{ o }}u]; }
   {%- for r in range(rows) %}
        if (oy + {{ r }}u < params.out_h) {
            let to = at + {{ o }}u * params.y_plane + {{ r }}u * params.y_down;
      {%- if vec4 %}
            y[to / 4u] = apply_epilogue(vec4f({% for q in range(4) %}a{{ o }}_{{ r * 4 + q }}{% if not loop.last %}, {% endif %}{% endfor %}) + shift, to / 4u);
      {%- else %}
            y[to] = apply_epilogue(a{{ o }}_{{ r * 4 }} + shift, to);
         {%- for q in range(1, 4) %}
            if (ox + {{ q }}u < params.out_w) { let to{{ q }} = to + {{ q }}u * params.y_right; y[to{{ q }}] = apply_epilogue(a{{ o }}_{{ r * 4 + q }} + shift, to{{ q }}); }
         {%- endfor %}
      {%- endif %}
        }
   {%- endfor %}
    }
{%- endfor %}
}

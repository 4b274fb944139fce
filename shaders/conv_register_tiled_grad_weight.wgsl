// Register-tiled weight gradients of a convolution for software adapters: a lane computes {{ taps_h }} x {{ taps_w }} taps of one input
// channel for {{ channels }} output channels.
//
//   partial[s, o, c, ky, kx] = sum over the images n of slice s, and oy, ox, of  dy[n, o, oy, ox] * x[n, g(o) + c, iy, ix]
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix = ox * {{ stride }} - padding_w + kx, and g(o) the first channel of o's
// group. x: [batch, groups * in_channels, in_h, in_w]; dy: [batch, groups * out_channels, out_h, out_w]; partial: one weight
// gradient per slice of images_per_slice images.
//
// The sum runs over tiles of {{ rows }} rows x 4 columns of dy. All lanes of a subgroup share a tile's {{ channels }} channels: each loads
// part of them, and subgroup broadcasts distribute it. With `vec4` (here {{ vec4 }}), a row's pixels are loaded four at a time and
// reused by the next tile.
// Requires subgroups of exactly {{ subgroup }} lanes. Dispatch: one subgroup per slice, block of {{ channels }} output channels and
// {{ subgroup }} pairs of input channel and window of taps, pairs innermost.

// uses conv_register_tiled_rows.wgsl

{%- set size = 4 if vec4 else 1 %}
{%- set carried = vec4 and edge and stride == 1 %}
{%- set loads = (channels * rows * 4 + size * subgroup - 1) // (size * subgroup) %}

{#- The input rows of the tile at (n, oy). Rows loaded past the last image are not used. #}
{%- macro rows_of_tile() %}
        let plane = (min(n, params.batch - 1u) * params.groups + g) * params.in_channels + c;
        {{- rows_of_image() }}
{%- endmacro %}

{#- Moves to the next tile: along the row, then down, then to the next image. #}
{%- macro advance() %}
        ox += 4u;
        let row_ends = ox >= params.out_w;
        ox = select(ox, 0u, row_ends);
        oy += select(0u, {{ rows }}u, row_ends);
        let image_ends = oy >= params.out_h;
        oy = select(oy, 0u, image_ends);
        n += select(0u, 1u, image_ends);
{%- endmacro %}

@group(0) @binding(0) var<uniform> params: ConvRegisterTiled;
@group(0) @binding(1) var<storage, read> x: array<{{ 'vec4f' if vec4 else 'f32' }}>;
@group(0) @binding(2) var<storage, read> dy: array<{{ 'vec4f' if vec4 else 'f32' }}>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size({{ threads }})
fn conv_register_tiled_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let windows_h = (params.kernel_h + {{ taps_h - 1 }}u) / {{ taps_h }}u;
    let windows_w = (params.kernel_w + {{ taps_w - 1 }}u) / {{ taps_w }}u;
    let pairs = params.in_channels * windows_h * windows_w;
    let bundles = (pairs + {{ subgroup - 1 }}u) / {{ subgroup }}u;
    let blocks = (params.out_channels + {{ channels - 1 }}u) / {{ channels }}u;
    let slices = (params.batch + params.images_per_slice - 1u) / params.images_per_slice;
    let index = workgroup_index(group, groups, params.first_workgroup) * {{ threads // subgroup }}u + subgroup;
    let slice = index / (bundles * blocks * params.groups);
    if (slice >= slices) { return; } // the whole subgroup returns
    let block = index / bundles % (blocks * params.groups);
    let g = block / blocks;
    let o = block % blocks * {{ channels }}u;
    let unclamped = index % bundles * {{ subgroup }}u + lane;
    // Lanes past the end repeat the last pair, because broadcasts need every lane of the subgroup.
    let pair = min(unclamped, pairs - 1u);
    let c = pair / (windows_h * windows_w);
    let ky = pair / windows_w % windows_h * {{ taps_h }}u;
    let kx = pair % windows_w * {{ taps_w }}u;
{%- for o in range(channels) %}
   {%- for t in range(taps_h * taps_w) %} var a{{ o }}_{{ t }} = 0.0;{% endfor %}
{%- endfor %}
    // A lane loads {{ 'vectors' if vec4 else 'elements' }} lane, lane + {{ subgroup }}, ... of the dy tile, ordered by (channel, row{{ '' if vec4 else ', column' }}).
{%- for i in range(loads) %}
    let part{{ i }} = lane + {{ i * subgroup }}u;
   {%- if vec4 %}
    let o{{ i }} = o + part{{ i }} / {{ rows }}u;
    let r{{ i }} = part{{ i }} % {{ rows }}u;
   {%- else %}
    let o{{ i }} = o + part{{ i }} / {{ rows * 4 }}u;
    let r{{ i }} = part{{ i }} / 4u % {{ rows }}u;
    let j{{ i }} = part{{ i }} % 4u;
   {%- endif %}
{%- endfor %}
    let first = slice * params.images_per_slice;
    let end = min(first + params.images_per_slice, params.batch);
    let tiles = (end - first) * ((params.out_h + {{ rows - 1 }}u) / {{ rows }}u) * ((params.out_w + 3u) / 4u);
    var n = first;
    var oy = 0u;
    var ox = 0u;
{%- if edge and vec4 %}
   {%- for r in range(input_rows) %}
    var last{{ r }} = 0.0;
   {%- endfor %}
{%- endif %}
{%- if carried %}
    {{- rows_of_tile() }}
   {%- for r in range(input_rows) %}
    var q{{ r }}_0 = select(vec4f(0.0), x[row{{ r }} / 4u], in{{ r }});
   {%- endfor %}
{%- endif %}
    // A single loop without divisions: with this many live values, both divisions and nested loops are expensive.
    for (var tile = 0u; tile < tiles; tile++) {
{%- for i in range(loads) %}
        let from{{ i }} = ((n * params.groups + g) * params.out_channels + min(o{{ i }}, params.out_channels - 1u)) * params.out_h + min(oy + r{{ i }}, params.out_h - 1u);
        let on{{ i }} = o{{ i }} < params.out_channels && oy + r{{ i }} < params.out_h;
   {%- if vec4 %}
        let d{{ i }} = select(vec4f(0.0), dy[(from{{ i }} * params.out_w + ox) / 4u], on{{ i }});
   {%- else %}
        let d{{ i }} = select(0.0, dy[from{{ i }} * params.out_w + min(ox + j{{ i }}, params.out_w - 1u)], on{{ i }} && ox + j{{ i }} < params.out_w);
   {%- endif %}
{%- endfor %}
{%- if carried %}
        // The next tile's vectors, which also hold the pixels to the right of this tile unless its row ends.
        {{- advance() }}
        {{- rows_of_tile() }}
   {%- for r in range(input_rows) %}
        let next{{ r }} = select(vec4f(0.0), x[(row{{ r }} + ox) / 4u], in{{ r }});
        {{- pixels_of_vec4(r, 1, 4) }}
        let p{{ r }}_5 = select(0.0, next{{ r }}.x, ox > 0u);
        q{{ r }}_0 = next{{ r }};
   {%- endfor %}
{%- else %}
        {{- rows_of_tile() }}
   {%- if vec4 and edge %}
      {%- for r in range(input_rows) %}
         {%- for v in range(stride) %}
        let q{{ r }}_{{ v }} = select(vec4f(0.0), x[(row{{ r }} + ox * {{ stride }}u) / 4u + {{ v }}u], in{{ r }});
         {%- endfor %}
         {{- pixels_of_vec4(r, 1, 4 * stride) }}
      {%- endfor %}
   {%- elif vec4 %}
      {{- load_vec4() }}
   {%- else %}
      {{- load_pixels() }}
   {%- endif %}
        {{- advance() }}
{%- endif %}
{%- if vec4 and edge %}
        // To the left of a row's first tile is padding.
   {%- for r in range(input_rows) %}
        let p{{ r }}_0 = last{{ r }};
        last{{ r }} = select(0.0, p{{ r }}_{{ 4 * stride }}, ox > 0u);
   {%- endfor %}
{%- endif %}
{%- for o in range(channels) %}
   {%- for q in range(rows * 4) %}
      {%- set part = o * rows + q // 4 if vec4 else o * rows * 4 + q %}
        let b{{ o }}_{{ q }} = subgroupBroadcast(d{{ part // subgroup }}{% if vec4 %}.{{ 'xyzw'[q % 4] }}{% endif %}, {{ part % subgroup }}u);
      {%- for t in range(taps_h * taps_w) %}
         {%- set r = q // 4 * stride + t // taps_w if taps_h > 1 else q // 4 %}
        a{{ o }}_{{ t }} += b{{ o }}_{{ q }} * p{{ r }}_{{ q % 4 * stride + t % taps_w }};
      {%- endfor %}
   {%- endfor %}
{%- endfor %}
    }

    if (unclamped >= pairs) { return; }
    let taps = params.kernel_h * params.kernel_w;
    let to = ((slice * params.groups * params.out_channels + g * params.out_channels + o) * params.in_channels + c) * taps;
{%- for o in range(channels) %}
    if (o + {{ o }}u < params.out_channels) {
        let at = to + {{ o }}u * params.in_channels * taps;
   {%- for t in range(taps_h * taps_w) %}
        if (ky + {{ t // taps_w }}u < params.kernel_h && kx + {{ t % taps_w }}u < params.kernel_w) { partial[at + (ky + {{ t // taps_w }}u) * params.kernel_w + kx + {{ t % taps_w }}u] = a{{ o }}_{{ t }}; }
   {%- endfor %}
    }
{%- endfor %}
}

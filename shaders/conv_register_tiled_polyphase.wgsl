// The input gradient of a 3 x 3 convolution at stride 2 and padding 1, for software adapters. Each invocation computes
// {{ channels }} channels x {{ 2 * rows }} rows x 8 columns: all four phases of {{ rows }} x 4 pixels of the upstream gradient. The phases read
// the same pixels, each with different taps of the filter.
//
//   dx[n, c, 2a + i, 2b + j] = sum over o, ky, kx of  dy[n, g(c) + o, a + (i + 1 - ky) / 2, b + (j + 1 - kx) / 2] * w(o, c, ky, kx)
//
// over those ky and kx that divide without remainder, with zeros past the end of dy, and g(c) the first o of c's group.
// dy: [batch, groups * in_channels, in_h, in_w]; dx: [batch, groups * out_channels, 2 * in_h, 2 * in_w]; in_w is a multiple of
// four. w: as packed by conv_pack.wgsl, rotated by 180 degrees, one line per group, block of {{ channels }} channels of dx and channel o.
//
// As in conv_register_tiled.wgsl, all lanes of a subgroup work on the same block of channels and subgroup broadcasts distribute
// the weights. The pixel to the right of a vector is shuffled in from the neighboring lane, so the number of tiles per row must be a
// power of two, at most the subgroup size.
// Requires subgroups of exactly {{ subgroup }} lanes. Dispatch: one workgroup per {{ threads }} tiles and block of channels, blocks innermost.

// uses conv_register_tiled_rows.wgsl

{%- set loads = (channels * 9 + 4 * subgroup - 1) // (4 * subgroup) %}

@group(0) @binding(0) var<uniform> params: ConvRegisterTiled;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size({{ threads }})
fn conv_register_tiled_polyphase(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
{{- tile_and_block('in_h') }}
    let b = tile % params.across * 4u;
    let a = tile / params.across % down * {{ rows }}u;
    let n = tile / (params.across * down);
    let across = params.in_w / 4u;
    let last_column = b + 4u >= params.in_w;
    let column = min(b / 4u, across - 1u);
{%- for r in range(rows + 1) %}
    let in{{ r }} = a + {{ r }}u < params.in_h;
    let row{{ r }} = min(a + {{ r }}u, params.in_h - 1u) * across + column;
{%- endfor %}
    var plane = (n * params.groups + g) * params.in_channels * params.in_h * across;
    var line = block * params.in_channels * (params.line / 4u) + lane;
{%- for o in range(channels) %}
   {%- for q in range(rows * 16) %} var a{{ o }}_{{ q }} = 0.0;{% endfor %}
{%- endfor %}
    for (var step = 0u; step < params.in_channels; step++) {
{%- for i in range(loads) %}
        let w{{ i }} = w[line + {{ i * subgroup }}u];
{%- endfor %}
        line += params.line / 4u;
{%- for r in range(rows + 1) %}
        let q{{ r }} = select(vec4f(0.0), dy[plane + row{{ r }}], in{{ r }});
   {%- for i in range(4) %}
        let p{{ r }}_{{ i }} = q{{ r }}.{{ 'xyzw'[i] }};
   {%- endfor %}
        let p{{ r }}_4 = select(subgroupShuffle(q{{ r }}.x, (lane + 1u) % {{ subgroup }}u), 0.0, last_column);
{%- endfor %}
        plane += params.in_h * across;
{%- for o in range(channels) %}
   {%- for t in range(9) %}
      {%- set f = (8 - t) * channels + o %}
      {%- set ky = t // 3 %}
      {%- set kx = t % 3 %}
        let b{{ o }}_{{ t }} = subgroupBroadcast(w{{ f // 4 // subgroup }}.{{ 'xyzw'[f % 4] }}, {{ f // 4 % subgroup }}u);
      {%- for q in range(rows * 4) %}
        {#- The accumulator of the dx pixel, by row and column in the tile, that this pixel of dy contributes to through the tap. #}
         {%- set to = (q // 4 * 2 + (ky + 1) % 2) * 8 + q % 4 * 2 + (kx + 1) % 2 %}
        a{{ o }}_{{ to }} += b{{ o }}_{{ t }} * p{{ q // 4 + (1 if ky == 0 else 0) }}_{{ q % 4 + (1 if kx == 0 else 0) }};
      {%- endfor %}
   {%- endfor %}
{%- endfor %}
    }

    if (first_tile + lane >= tiles || b >= params.in_w) { return; }
    let at = (((n * params.groups + g) * params.out_channels + o) * params.in_h + a) * 4u * across + b / 2u;
{%- for o in range(channels) %}
    if (o + {{ o }}u < params.out_channels) {
   {%- for r in range(2 * rows) %}
        if (in{{ r // 2 }}) {
            let to = at + ({{ o * 2 }}u * params.in_h + {{ r }}u) * 2u * across;
      {%- for v in range(2) %}
            dx[to + {{ v }}u] = vec4f({% for q in range(4) %}a{{ o }}_{{ r * 8 + v * 4 + q }}{% if not loop.last %}, {% endif %}{% endfor %});
      {%- endfor %}
        }
   {%- endfor %}
    }
{%- endfor %}
}

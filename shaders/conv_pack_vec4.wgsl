// A vectorized conv_pack.wgsl for filters that are a single window of {{ taps }} taps and channel counts that are multiples
// of four: an invocation packs all taps of four output and four input channels, and so loads and stores only vectors.
//
//   packed[g, block, c, t, o] = w(g, block * channels + o, c, t), zeros past the last channel
//
// with w(...) as in conv_pack.wgsl.
// {{ 'The filter is rotated by 180 degrees and w_out = ' ~ taps if rotated else 'The filter is not rotated and w_in = ' ~ taps }}, so the weights of four {{ 'output' if rotated else 'input' }}
// channels are contiguous: {{ taps }} vectors.
// Dispatch: ceil(groups * blocks * channels / 4 * in_channels / 4 / 64) workgroups, output channels innermost.

// uses conv_pack_params.wgsl

@group(0) @binding(0) var<uniform> params: ConvPack;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size({{ threads }})
fn conv_pack_vec4(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, params.first_workgroup) * {{ threads }}u + lane;
    let vectors = params.channels / 4u;
    let channel_vectors = params.in_channels / 4u;
    let row = index / vectors;
    // Blocks are numbered across all groups.
    let block = row / channel_vectors;
    if (block * params.in_channels >= params.lines) { return; }
    let c = (row - block * channel_vectors) * 4u;
    let blocks = (params.out_channels + params.channels - 1u) / params.channels;
    let g = block / blocks;
    let vector = index - row * vectors;
    let o = (block - g * blocks) * params.channels + vector * 4u;
    let in_range = o < params.out_channels;
    let start = (g * params.w_group + min(o, params.out_channels - 4u) * params.w_out + c * params.w_in) / 4u;
    let row_stride = params.{{ 'w_in' if rotated else 'w_out' }} / 4u;
{%- for r in range(4) %}
   {%- for v in range(taps) %}
    let w{{ r }}_{{ v }} = select(vec4f(0.0), w[start + {{ r }}u * row_stride + {{ v }}u], in_range);
   {%- endfor %}
{%- endfor %}
    var to = (block * params.in_channels + c) * (params.line / 4u) + vector;
{%- for c in range(4) %}
   {%- for t in range(taps) %}
    packed[to + {{ t }}u * vectors] = vec4f(
      {%- for o in range(4) %}
         {%- set f = o * taps + taps - 1 - t if rotated else c * taps + t -%}
w{{ c if rotated else o }}_{{ f // 4 }}.{{ 'xyzw'[f % 4] }}{% if not loop.last %}, {% endif %}
      {%- endfor -%}
);
   {%- endfor %}
    to += params.line / 4u;
{%- endfor %}
}

// Shared by the conv_register_tiled shaders: parameters, tile indices, and loads of pixel rows. A tile of {{ rows }} rows x 4
// columns of results reads `input_rows` rows of `columns` pixels: p0_0, p0_1, ... is the first row, p1_0, ... the second.
// Channels are per group; paddings may be negative, in two's complement.
// Prepended to the shaders that use it.

struct ConvRegisterTiled {
    batch: u32, in_channels: u32, in_h: u32, in_w: u32, out_channels: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, dilation_h: u32, padding_h: u32, padding_w: u32, groups: u32,
    y_plane: u32, y_start: u32, y_down: u32, y_right: u32,
    across: u32, line: u32, channels: u32, taps_h: u32, taps_w: u32, has_bias: u32, epilogue: u32, images_per_slice: u32,
    first_workgroup: u32,
}

{%- set columns = 3 * stride + taps_w %}
{%- set edge = 1 if taps_w == 3 else 0 %}
{%- set input_rows = (rows - 1) * stride + taps_h if taps_h > 1 else rows %}

{#- The invocation's tile, of images of `height` rows, and its group and block of output channels. A workgroup has one block and
    as many tiles as lanes; blocks are innermost. #}
{%- macro tile_and_block(height) %}
    let blocks = (params.out_channels + {{ channels - 1 }}u) / {{ channels }}u;
    let down = (params.{{ height }} + {{ rows - 1 }}u) / {{ rows }}u;
    let tiles = params.batch * down * params.across;
    let index = workgroup_index(group, groups, params.first_workgroup);
    let block = index % (blocks * params.groups);
    let first_tile = index / (blocks * params.groups) * {{ threads }}u + subgroup * {{ subgroup }}u;
    if (first_tile >= tiles) { return; } // the whole subgroup returns
    // Lanes past the end repeat the last tile, because broadcasts and shuffles need every lane of the subgroup.
    let tile = min(first_tile + lane, tiles - 1u);
    let g = block / blocks;
    let o = block % blocks * {{ channels }}u;
{%- endmacro %}

{#- For each input row that the tile reads from row `oy` and tap row `ky` on: whether it is inside the image, and its address. #}
{%- macro rows_of_image() %}
        // Coordinates above or left of the image wrap around to huge values.
{%- for r in range(input_rows) %}
   {%- if taps_h > 1 %}
        let iy{{ r }} = oy * {{ stride }}u + ky + {{ r }}u - params.padding_h;
   {%- else %}
        let iy{{ r }} = (oy + {{ r }}u) * params.stride_h + ky * params.dilation_h - params.padding_h;
   {%- endif %}
        let in{{ r }} = iy{{ r }} < params.in_h;
        let row{{ r }} = (plane * params.in_h + min(iy{{ r }}, params.in_h - 1u)) * params.in_w;
{%- endfor %}
{%- endmacro %}

{#- Unpacks the pixels of row r from its vectors; the first is column `first`. #}
{%- macro pixels_of_vec4(r, first, count) %}
   {%- for i in range(count) %}
        let p{{ r }}_{{ i + first }} = q{{ r }}_{{ i // 4 }}.{{ 'xyzw'[i % 4] }};
   {%- endfor %}
{%- endmacro %}

{#- Loads the rows from column `ox * stride` - padding as whole vectors. #}
{%- macro load_vec4() %}
        // The padding is a multiple of four too, so each vector is entirely inside or outside the row.
        let left = ox - params.padding_w;
   {%- for r in range(input_rows) %}
      {%- for v in range((columns + 3) // 4) %}
        let q{{ r }}_{{ v }} = select(vec4f(0.0), x[(row{{ r }} + min(left + {{ 4 * v }}u, params.in_w - 4u)) / 4u], in{{ r }} && left + {{ 4 * v }}u < params.in_w);
      {%- endfor %}
      {{- pixels_of_vec4(r, 0, columns) }}
   {%- endfor %}
{%- endmacro %}

{#- Loads the rows from column `ox * stride` + kx - padding, pixel by pixel. #}
{%- macro load_pixels() %}
        let ix = ox * {{ stride }}u + kx - params.padding_w;
   {%- for i in range(columns) %}
        let jn{{ i }} = ix + {{ i }}u < params.in_w;
        let jx{{ i }} = min(ix + {{ i }}u, params.in_w - 1u);
   {%- endfor %}
   {%- for r in range(input_rows) %}
      {%- for i in range(columns) %}
        let p{{ r }}_{{ i }} = select(0.0, x[row{{ r }} + jx{{ i }}], in{{ r }} && jn{{ i }});
      {%- endfor %}
   {%- endfor %}
{%- endmacro %}

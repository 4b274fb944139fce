// Winograd convolution with 3 x 3 taps at stride 1: F({{ tile }} x {{ tile }}, 3 x 3) of Lavin & Gray, "Fast Algorithms for Convolutional
// Neural Networks" (2016), section 4. A tile of {{ tile }} x {{ tile }} results reads a patch of {{ tile + 2 }} x {{ tile + 2 }} pixels; e indexes a patch.
//
//   winograd_filter       U[e, o, c] = (G g[o, c] G^T)[e]              of a filter g of 3 x 3 taps
//   winograd_input        V[e, c, t] = (B^T d[c, t] B)[e]              of the patch d that tile t reads, zeros outside the image
//   a matrix product      M[e] = U[e] V[e]
//   winograd_output       y[o, t]    = A^T M[., o, t] A + bias[o]      a tile of results, clipped to the image
//
// The gradient with respect to the input is the same with filters rotated by 180 degrees. The gradient with respect to the
// filters transposes each step:
//
//   winograd_upstream     N[e, o, t] = (A dy[o, t] A^T)[e]             of a tile of the upstream gradient
//   a matrix product      dU[e] = N[e] V[e]^T                          a sum over all tiles
//   winograd_filter_grad  dg[o, c]   = G^T dU[., o, c] G
//
// Images: [batch, channels, height, width]; tiles t count images from image_start, then rows, then columns. Operands of a
// product are stored as packed panels [e, panel, depth, width]: i (a row of the first operand, a column of the second) is
// element i % width of panel i / width, k runs along the depth, and the padding is zero. If by_channel is set, i is the channel and
// k the tile; otherwise the reverse. Results M and dU: [e, rows, columns], with columns padded to a multiple of four.
// g[o, c] starts at o * w_out + c * w_in + w_start; w_down and w_right are the strides of its rows and columns.
// With `vec4` (here {{ vec4 }}), pixels are loaded and results written four at a time, a row of a tile per vector.
// Dispatch: one invocation per four i of one k, or per four columns of one row.

struct WinogradTiles {
    tile: u32, images: u32, image_start: u32, channels: u32, height: u32, width: u32, padding_h: u32, padding_w: u32, down: u32, across: u32,
    has_bias: u32, by_channel: u32, panels: u32, depth: u32, panel_width: u32,
    first_workgroup: u32,
}
struct WinogradFilters {
    tile: u32, outs: u32, ins: u32, w_out: u32, w_in: u32, w_start: u32, w_down: u32, w_right: u32, panels: u32, depth: u32, panel_width: u32,
    first_workgroup: u32,
}

@group(0) @binding(0) var<uniform> tiles: WinogradTiles;
@group(0) @binding(0) var<uniform> filters: WinogradFilters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x_vec4: array<vec4f>;
@group(0) @binding(1) var<storage, read> products: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> operand: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<{{ 'vec4f' if vec4 else 'f32' }}>;

{%- set patch = tile + 2 %}
{%- if tile == 2 %}
   {%- set BT = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]] %}
   {%- set G = [[1, 0, 0], [1/2, 1/2, 1/2], [1/2, -1/2, 1/2], [0, 0, 1]] %}
   {%- set AT = [[1, 1, 1, 0], [0, 1, -1, -1]] %}
{%- else %}
   {%- set BT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]] %}
   {%- set G = [[1/4, 0, 0], [-1/6, -1/6, -1/6], [-1/6, 1/6, -1/6], [1/24, 1/12, 1/6], [1/24, -1/12, 1/6], [0, 0, 1]] %}
   {%- set AT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]] %}
{%- endif %}

{#- The dot product of row r of a matrix, or of its transpose, with the values {before}0{after}, {before}1{after}, ... #}
{%- macro dot(matrix, transpose, r, before, after) %}
   {%- set count = matrix | length if transpose else matrix[0] | length %}
   {%- set factor = namespace(first=true) %}
   {%- for j in range(count) %}
      {%- set f = matrix[j][r] if transpose else matrix[r][j] %}
      {%- if f != 0 %}{{ '' if factor.first else ' + ' }}{{ f | float }} * {{ before }}{{ j }}{{ after }}{% set factor.first = false %}{% endif %}
   {%- endfor %}
{%- endmacro %}

{#- Computes T X T^T of the values x{row}_{column} as z{row}_{column}, where T is the matrix or its transpose. #}
{%- macro sandwich(matrix, transpose) %}
   {%- set to = matrix[0] | length if transpose else matrix | length %}
   {%- set from = matrix | length if transpose else matrix[0] | length %}
   {%- for s in range(from) %}
      {%- for r in range(to) %}
    let h{{ r }}_{{ s }} = {{ dot(matrix, transpose, r, 'x', '_' ~ s) }};
      {%- endfor %}
   {%- endfor %}
   {%- for r in range(to) %}
      {%- for s in range(to) %}
    let z{{ r }}_{{ s }} = {{ dot(matrix, transpose, s, 'h' ~ r ~ '_', '') }};
      {%- endfor %}
   {%- endfor %}
{%- endmacro %}

{#- Stores z{row}_{column} in an operand of a product, at i and k. #}
{%- macro store(params) %}
    let step = {{ params }}.panels * {{ params }}.depth * {{ params }}.panel_width / 4u;
    var to = ((i / {{ params }}.panel_width * {{ params }}.depth + k) * {{ params }}.panel_width + i % {{ params }}.panel_width) / 4u;
   {%- for e in range(patch * patch) %}
    operand[to] = z{{ e // patch }}_{{ e % patch }};
    to += step;
   {%- endfor %}
{%- endmacro %}

// Coordinates above or left of the image wrap around to huge values.
fn inside(row: u32, column: u32) -> bool { return row < tiles.height && column < tiles.width; }

// A pixel, or 0 outside the image.
fn pixel(plane: u32, row: u32, column: u32) -> f32 {
    let at = plane + min(row, tiles.height - 1u) * tiles.width + min(column, tiles.width - 1u);
    return select(0.0, x[at], inside(row, column));
}

// The index of the vector that starts at a pixel, clamped to the image.
fn vec4_index(plane: u32, row: u32, column: u32) -> u32 {
    return (plane + min(row, tiles.height - 1u) * tiles.width + min(column, tiles.width - 4u)) / 4u;
}

{#- Moves on to the next row or image where a row of tiles ends. #}
{%- macro wrap_around() %}
    if (column == tiles.across) {
        column = 0u;
        row++;
    }
    if (row == tiles.down) {
        row = 0u;
        n++;
    }
{%- endmacro %}

{#- Transforms four patches of side x side pixels, one per vector component. #}
{%- macro patches(entry, side, matrix, transpose) %}
@compute @workgroup_size({{ threads }})
fn {{ entry }}(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, tiles.first_workgroup) * {{ threads }}u + lane;
    let count = tiles.images * tiles.down * tiles.across;
    let vectors = (select(count, tiles.channels, tiles.by_channel == 1u) + 3u) / 4u;
    let k = index / vectors;
    if (k >= tiles.depth) { return; }
    let i = index % vectors * 4u;
    var t = select(i, k, tiles.by_channel == 1u);
    var c = select(k, i, tiles.by_channel == 1u);
    var column = t % tiles.across;
    var row = t / tiles.across % tiles.down;
    var n = t / (tiles.across * tiles.down);
   {%- for q in range(4) %}
      {%- if q %}
    if (tiles.by_channel == 1u) {
        c++;
    } else {
        t++;
        column++;
    }
         {{- wrap_around() }}
      {%- endif %}
    let plane{{ q }} = ((tiles.image_start + min(n, tiles.images - 1u)) * tiles.channels + min(c, tiles.channels - 1u)) * tiles.height * tiles.width;
    // Patches past the last one are placed far outside the image, so they read zeros.
    let top{{ q }} = select(0x80000000u, row * {{ tile }}u - tiles.padding_h, t < count && c < tiles.channels);
    let left{{ q }} = column * {{ tile }}u - tiles.padding_w;
   {%- endfor %}
   {%- if vec4 %}
      {%- set edge = (side - 4) // 2 %}
      {%- for r in range(side) %}
         {%- for q in range(4) %}
    let row{{ r }}_{{ q }} = top{{ q }} + {{ r }}u;
    let at{{ r }}_{{ q }} = left{{ q }} + {{ edge }}u;
    let p{{ r }}_{{ q }} = select(vec4f(0.0), x_vec4[vec4_index(plane{{ q }}, row{{ r }}_{{ q }}, at{{ r }}_{{ q }})], inside(row{{ r }}_{{ q }}, at{{ r }}_{{ q }}));
            {%- if edge %}
    let l{{ r }}_{{ q }} = select(0.0, x_vec4[vec4_index(plane{{ q }}, row{{ r }}_{{ q }}, at{{ r }}_{{ q }} - 4u)].w, inside(row{{ r }}_{{ q }}, at{{ r }}_{{ q }} - 4u));
    let r{{ r }}_{{ q }} = select(0.0, x_vec4[vec4_index(plane{{ q }}, row{{ r }}_{{ q }}, at{{ r }}_{{ q }} + 4u)].x, inside(row{{ r }}_{{ q }}, at{{ r }}_{{ q }} + 4u));
            {%- endif %}
         {%- endfor %}
         {%- if edge %}
    let x{{ r }}_0 = vec4f(l{{ r }}_0, l{{ r }}_1, l{{ r }}_2, l{{ r }}_3);
    let x{{ r }}_5 = vec4f(r{{ r }}_0, r{{ r }}_1, r{{ r }}_2, r{{ r }}_3);
         {%- endif %}
         {%- for s in range(4) %}
    let x{{ r }}_{{ s + edge }} = vec4f({% for q in range(4) %}p{{ r }}_{{ q }}.{{ 'xyzw'[s] }}{{ '' if loop.last else ', ' }}{% endfor %});
         {%- endfor %}
      {%- endfor %}
   {%- else %}
      {%- for s in range(side) %}
         {%- for r in range(side) %}
    let x{{ r }}_{{ s }} = vec4f({% for q in range(4) %}pixel(plane{{ q }}, top{{ q }} + {{ r }}u, left{{ q }} + {{ s }}u){{ '' if loop.last else ', ' }}{% endfor %});
         {%- endfor %}
      {%- endfor %}
   {%- endif %}
    {{- sandwich(matrix, transpose) }}
    {{- store('tiles') }}
}
{%- endmacro %}

{{ patches('winograd_input', patch, BT, false) }}

{{ patches('winograd_upstream', tile, AT, true) }}

@compute @workgroup_size({{ threads }})
fn winograd_output(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, tiles.first_workgroup) * {{ threads }}u + lane;
    let count = tiles.images * tiles.down * tiles.across;
    let vectors = (count + 3u) / 4u;
    let o = index / vectors;
    if (o >= tiles.channels) { return; }
{%- for e in range(patch * patch) %}
    let x{{ e // patch }}_{{ e % patch }} = products[{{ e }}u * tiles.channels * vectors + index];
{%- endfor %}
{{- sandwich(AT, false) }}
    var shift = 0.0;
    if (tiles.has_bias == 1u) { shift = bias[o]; }
    let t = index % vectors * 4u;
    var column = t % tiles.across;
    var row = t / tiles.across % tiles.down;
    var n = t / (tiles.across * tiles.down);
{%- for q in range(4) %}
   {%- if q %}
    column++;
      {{- wrap_around() }}
   {%- endif %}
    if (n < tiles.images) {
        let top = row * {{ tile }}u;
        let left = column * {{ tile }}u;
        let plane = (tiles.image_start + n) * tiles.channels + o;
   {%- for r in range(tile) %}
        if (top + {{ r }}u < tiles.height) {
            let to = (plane * tiles.height + top + {{ r }}u) * tiles.width + left;
      {%- if vec4 %}
            y[to / 4u] = vec4f({% for s in range(4) %}z{{ r }}_{{ s }}.{{ 'xyzw'[q] }}{{ '' if loop.last else ', ' }}{% endfor %}) + shift;
      {%- else %}
         {%- for s in range(tile) %}
            if (left + {{ s }}u < tiles.width) { y[to + {{ s }}u] = z{{ r }}_{{ s }}.{{ 'xyzw'[q] }} + shift; }
         {%- endfor %}
      {%- endif %}
        }
   {%- endfor %}
    }
{%- endfor %}
}

@compute @workgroup_size({{ threads }})
fn winograd_filter(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, filters.first_workgroup) * {{ threads }}u + lane;
    let vectors = (filters.outs + 3u) / 4u;
    let k = index / vectors;
    if (k >= filters.depth) { return; }
    let i = index % vectors * 4u;
    let start = min(k, filters.ins - 1u) * filters.w_in + filters.w_start;
    let o = vec4u(i, i + 1u, i + 2u, i + 3u);
    let first = start + min(o, vec4u(filters.outs - 1u)) * filters.w_out;
    let in_range = (o < vec4u(filters.outs)) & vec4<bool>(k < filters.ins);
{%- for r in range(3) %}
   {%- for s in range(3) %}
    let at{{ r }}_{{ s }} = first + {{ r }}u * filters.w_down + {{ s }}u * filters.w_right;
    let x{{ r }}_{{ s }} = select(vec4f(0.0), vec4f(x[at{{ r }}_{{ s }}.x], x[at{{ r }}_{{ s }}.y], x[at{{ r }}_{{ s }}.z], x[at{{ r }}_{{ s }}.w]), in_range);
   {%- endfor %}
{%- endfor %}
{{- sandwich(G, false) }}
{{- store('filters') }}
}

@compute @workgroup_size({{ threads }})
fn winograd_filter_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, filters.first_workgroup) * {{ threads }}u + lane;
    let vectors = (filters.ins + 3u) / 4u;
    let o = index / vectors;
    if (o >= filters.outs) { return; }
{%- for e in range(patch * patch) %}
    let x{{ e // patch }}_{{ e % patch }} = products[{{ e }}u * filters.outs * vectors + index];
{%- endfor %}
{{- sandwich(G, true) }}
    let c = index % vectors * 4u;
    let to = (o * filters.ins + c) * 9u;
{%- for q in range(4) %}
    if (c + {{ q }}u < filters.ins) {
   {%- for t in range(9) %}
        grad[to + {{ 9 * q + t }}u] = z{{ t // 3 }}_{{ t % 3 }}.{{ 'xyzw'[q] }};
   {%- endfor %}
    }
{%- endfor %}
}

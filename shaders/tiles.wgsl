// Tiled matrix product through workgroup memory, for GPUs: a workgroup computes {{ tile_m }} x {{ tile_n }} results, an invocation
// {{ each_m }} x {{ each_n }} of them. Panels of {{ tile_k }} columns of `a` and {{ tile_k }} rows of `b` are loaded once per workgroup.
//
// a_tile[k][v] packs the rows v, v + {{ tile_m // 4 }}, v + {{ tile_m // 2 }} and v + {{ tile_m * 3 // 4 }} of the tile into a vector, and b_tile[k][v] likewise the columns v,
// v + {{ tile_n // 4 }}, ..., so that neighboring lanes load and store neighboring elements. A spare vector between rows avoids bank
// conflicts when neighboring lanes write neighboring k. Vectors are written whole because writing one component may overwrite
// the others.
//
// Each step issues the loads of the next panel, multiplies the current one, and only then touches what was loaded. Loads are
// unconditional, from an address inside the operand, and elements outside become zero afterwards: a branch around a load makes
// compilers wait for it at once. The last step loads a panel again that nobody multiplies; loads inside an `if` would be moved
// behind the multiplication. The multiplication is unrolled here because not all drivers unroll its loop.
// Prepended to the shaders that use it.
{%- set a_row = tile_m // 4 + 1 %}
{%- set b_row = tile_n // 4 + 1 %}
{%- set a_vectors = tile_m * tile_k // 4 %}
{%- set b_vectors = tile_n * tile_k // 4 %}
{%- set a_loads = (a_vectors + threads - 1) // threads %}
{%- set b_loads = (b_vectors + threads - 1) // threads %}
{%- set columns = tile_n // each_n %}

var<workgroup> a_tile: array<vec4f, {{ tile_k * a_row }}>;
var<workgroup> b_tile: array<vec4f, {{ tile_k * b_row }}>;

// Where a lane's results are in the tile. With 16 lanes across, lanes fill two rows at a time, so that neighboring lanes read fewer
// different vectors: faster on an H100 (docs/gpu-kernels.md).
{%- if columns == 16 %}
fn lane_row(lane: u32) -> u32 { return lane / 32u * 2u + lane % 2u; }
fn lane_column(lane: u32) -> u32 { return lane % 32u / 2u; }
{%- else %}
fn lane_row(lane: u32) -> u32 { return lane / {{ columns }}u; }
fn lane_column(lane: u32) -> u32 { return lane % {{ columns }}u; }
{%- endif %}

// The i-th vector of a tile that a lane multiplies.
fn a_vector(lane: u32, i: u32) -> u32 { return i * {{ tile_m // each_m }}u + lane_row(lane); }
fn b_vector(lane: u32, i: u32) -> u32 { return i * {{ columns }}u + lane_column(lane); }

// The rows or columns of a vector, where neighboring components are `step` apart.
fn components(vector: u32, step: u32) -> vec4u { return vector + step * vec4u(0u, 1u, 2u, 3u); }

// The position of the `at`-th vector of a tile as (k, vector): consecutive lanes take neighboring k, or neighboring vectors.
fn k_fastest(at: u32) -> vec2u { return vec2u(at % {{ tile_k }}u, at / {{ tile_k }}u); }
fn vectors_fastest(at: u32, vectors: u32) -> vec2u { return vec2u(at / vectors, at % vectors); }

{%- macro write_tiles() %}
{%- for i in range(a_loads) %}
        {% if a_vectors < threads %}if (lane < {{ a_vectors }}u) { {% endif %}a_tile[a_to{{ i }}] = av{{ i }};{% if a_vectors < threads %} }{% endif %}
{%- endfor %}
{%- for i in range(b_loads) %}
        b_tile[b_to{{ i }}] = bv{{ i }};
{%- endfor %}
{%- endmacro %}

{%- macro results() %}
{%- for i in range(each_m) %}{% for j in range(each_n // 4) %}
    var c{{ i }}_{{ j }} = vec4f(0.0);
{%- endfor %}{% endfor %}
{%- endmacro %}

{%- macro multiply() %}
{%- for t in range(tile_k) %}
        {
{%- for i in range(each_m // 4) %}
            let a{{ i }} = a_tile[{{ t * a_row }}u + a_vector(lane, {{ i }}u)];
{%- endfor %}
{%- for j in range(each_n // 4) %}
            let b{{ j }} = b_tile[{{ t * b_row }}u + b_vector(lane, {{ j }}u)];
{%- endfor %}
{%- for i in range(each_m) %}{% for j in range(each_n // 4) %}
            c{{ i }}_{{ j }} = fma(vec4f(a{{ i // 4 }}.{{ 'xyzw'[i % 4] }}), b{{ j }}, c{{ i }}_{{ j }});
{%- endfor %}{% endfor %}
        }
{%- endfor %}
{%- endmacro %}

{#- Row i and column j of a lane's results, relative to the tile, and the result. #}
{%- macro row(i) %}a_vector(lane, {{ i // 4 }}u) + {{ i % 4 * tile_m // 4 }}u{% endmacro %}
{%- macro column(j) %}b_vector(lane, {{ j // 4 }}u) + {{ j % 4 * tile_n // 4 }}u{% endmacro %}
{%- macro result(i, j) %}c{{ i }}_{{ j // 4 }}.{{ 'xyzw'[j % 4] }}{% endmacro %}

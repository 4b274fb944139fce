// Tiled matrix product through workgroup memory, for GPUs: a workgroup computes {{ tile_m }} x {{ tile_n }} results, an invocation
// {{ each_m }} x {{ each_n }} of them. Tiles of {{ tile_k }} columns of `a` and {{ tile_k }} rows of `b` are loaded once per workgroup.
//
// a_tile[k][m] and b_tile[k][n] pack four m or n into a vector. A spare vector between rows avoids bank conflicts when
// neighboring lanes write neighboring k. Vectors are written whole because writing one component may overwrite the others.
// Loads of the next pair of tiles overlap with the multiplication of the current one. The multiplication is unrolled here
// because not all drivers unroll its loop.
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

// The first row of a lane's i-th group of four rows of results, and likewise for columns.
fn row_of(lane: u32, i: u32) -> u32 { return i * {{ tile_m // (each_m // 4) }}u + lane / {{ columns }}u * 4u; }
fn column_of(lane: u32, i: u32) -> u32 { return i * {{ tile_n // (each_n // 4) }}u + lane % {{ columns }}u * 4u; }

// The position of the `at`-th vector of a tile as (k, vector along m or n): consecutive lanes take neighboring k, or
// neighboring vectors.
fn k_fastest(at: u32) -> vec2u { return vec2u(at % {{ tile_k }}u, at / {{ tile_k }}u); }
fn vectors_fastest(at: u32, vectors: u32) -> vec2u { return vec2u(at / vectors, at % vectors); }

{%- macro write_tiles() %}
{%- for i in range(a_loads) %}
        {% if a_vectors < threads %}if (lane < {{ a_vectors }}u) { {% endif %}a_tile[ap{{ i }}.x * {{ a_row }}u + ap{{ i }}.y] = av{{ i }};{% if a_vectors < threads %} }{% endif %}
{%- endfor %}
{%- for i in range(b_loads) %}
        b_tile[bp{{ i }}.x * {{ b_row }}u + bp{{ i }}.y] = bv{{ i }};
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
            let a{{ i }} = a_tile[{{ t * a_row }}u + row_of(lane, {{ i }}u) / 4u];
{%- endfor %}
{%- for j in range(each_n // 4) %}
            let b{{ j }} = b_tile[{{ t * b_row }}u + column_of(lane, {{ j }}u) / 4u];
{%- endfor %}
{%- for i in range(each_m) %}{% for j in range(each_n // 4) %}
            c{{ i }}_{{ j }} = fma(vec4f(a{{ i // 4 }}.{{ 'xyzw'[i % 4] }}), b{{ j }}, c{{ i }}_{{ j }});
{%- endfor %}{% endfor %}
        }
{%- endfor %}
{%- endmacro %}

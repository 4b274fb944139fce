// Matrix products through workgroup memory, as GPUs like them: a workgroup computes {{ tile_m }} x {{ tile_n }} results, an
// invocation {{ each_m }} x {{ each_n }} of them, and panels of {{ tile_k }} columns of `a` and rows of `b` are loaded once for all.
//
// a_tile[k][m] and b_tile[k][n] hold four m or n a vector, and a vector to spare between rows, so that neighbouring lanes
// that write neighbouring k meet other banks. Vectors are written whole: writing a component may write the others too. While one
// pair of panels is multiplied, the next one's numbers are under way. The product is written out step by step, since not all drivers
// unroll its loop.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.
{%- set a_row = tile_m // 4 + 1 %}
{%- set b_row = tile_n // 4 + 1 %}
{%- set a_fours = tile_m * tile_k // 4 %}
{%- set b_fours = tile_n * tile_k // 4 %}
{%- set a_loads = (a_fours + threads - 1) // threads %}
{%- set b_loads = (b_fours + threads - 1) // threads %}
{%- set columns = tile_n // each_n %}

var<workgroup> a_tile: array<vec4f, {{ tile_k * a_row }}>;
var<workgroup> b_tile: array<vec4f, {{ tile_k * b_row }}>;

// The first of four rows of the results that an invocation computes, and of four columns.
fn row_of(lane: u32, four: u32) -> u32 { return four * {{ tile_m // (each_m // 4) }}u + lane / {{ columns }}u * 4u; }
fn column_of(lane: u32, four: u32) -> u32 { return four * {{ tile_n // (each_n // 4) }}u + lane % {{ columns }}u * 4u; }

// Where in its panel a lane's i-th vector lies, of m or n counted in fours: lanes in a row take neighbouring k, or
// neighbouring fours.
fn along_k(at: u32) -> vec2u { return vec2u(at % {{ tile_k }}u, at / {{ tile_k }}u); }
fn along_fours(at: u32, fours: u32) -> vec2u { return vec2u(at / fours, at % fours); }

{%- macro write_tiles() %}
{%- for i in range(a_loads) %}
        {% if a_fours < threads %}if (lane < {{ a_fours }}u) { {% endif %}a_tile[ap{{ i }}.x * {{ a_row }}u + ap{{ i }}.y] = av{{ i }};{% if a_fours < threads %} }{% endif %}
{%- endfor %}
{%- for i in range(b_loads) %}
        b_tile[bp{{ i }}.x * {{ b_row }}u + bp{{ i }}.y] = bv{{ i }};
{%- endfor %}
{%- endmacro %}

{%- macro results() %}
{%- for i in range(each_m) %}{% for j in range(each_n // 4) %}
    var c{{ i }}_{{ j }} = vec4f();
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

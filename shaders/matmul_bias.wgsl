// The bias of a matrix product's result (i, j) in inner batch g: 0 none, 1 bias[j], 2 bias[g * m + i].
// `params` and `bias` are the shader's own.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

fn bias_at(g: u32, i: u32, j: u32) -> f32 {
    switch params.bias {
        case 1u: { return bias[j]; }
        case 2u: { return bias[g * params.m + i]; }
        default: { return 0.0; }
    }
}

// The bias of element (i, j) of a matrix product in inner batch g: 0 none, 1 bias[j], 2 bias[g * m + i]. The shader defines
// `params` and `bias`.
// Prepended to the shaders that use it.

fn bias_at(g: u32, i: u32, j: u32) -> f32 {
    switch params.bias {
        case 1u: { return bias[j]; }
        case 2u: { return bias[g * params.m + i]; }
        default: { return 0.0; }
    }
}

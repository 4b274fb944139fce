// Tests for NaN, infinity and negative numbers by bit pattern, because compilers may assume that there are none: NVIDIA's evaluates `NaN <= 0` to true. The
// shader defines `Value`, a scalar or vector of floats, and `Bits` and `Flags`, integers and booleans of the same width.
// Prepended to the shaders that use it.

fn is_nan(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
}

fn is_finite(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7f800000u)) != Bits(0x7f800000u);
}

// 0 for a negative number, which rounding may have made of a sum of squares. By bits, because `max` may drop a NaN: those of
// negative numbers down to -infinity are consecutive.
fn without_negative(v: f32) -> f32 {
    return select(v, 0.0, bitcast<u32>(v) - 0x80000000u <= 0x7f800000u);
}

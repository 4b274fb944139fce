// Tests for NaN and infinity by bit pattern, because compilers may assume that there are none: NVIDIA's evaluates `NaN <= 0` to true. The
// shader defines `Value`, a scalar or vector of floats, and `Bits` and `Flags`, integers and booleans of the same width.
// Prepended to the shaders that use it.

fn is_nan(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
}

fn is_finite(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7f800000u)) != Bits(0x7f800000u);
}

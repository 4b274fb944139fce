// Tests for NaN by bit pattern: compilers may assume there are no NaNs, and NVIDIA's evaluates `NaN <= 0` to true. The shader
// defines `Value`, a scalar or vector of floats, and `Bits` and `Flags`, the integers and booleans of the same width.
// Prepended to the shaders that use it; it has no entry point, so no dispatch.

fn is_nan(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
}

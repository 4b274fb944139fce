// Which numbers are NaN. By their bits: compilers may assume that numbers compare, and NVIDIA's takes `NaN <= 0` for true. `Value`, a
// number or a vector, `Bits`, as many integers, and `Flags`, as many booleans, are the shader's own.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

fn is_nan(v: Value) -> Flags {
    return (bitcast<Bits>(v) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
}

// ReLU, and where its gradient passes. `Value`, a number or four, and `Bits`, as many integers, are the shader's own. A NaN stays a NaN and
// lets gradients pass. It is told by its bits: compilers may assume that numbers compare, and NVIDIA's takes `NaN <= 0` for true.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

fn rectified(x: Value) -> Value {
    let is_nan = (bitcast<Bits>(x) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
    return select(max(x, Value()), x, is_nan);
}

// dy after the ReLU whose input or result is x.
fn through_relu(dy: Value, x: Value) -> Value {
    let is_nan = (bitcast<Bits>(x) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
    return select(Value(), dy, (x > Value()) | is_nan);
}

// ReLU, and where its gradient passes. A NaN stays a NaN and lets gradients pass. `Value` and the other types of nan.wgsl, which every user
// of this uses, too, are the shader's own.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

fn rectified(x: Value) -> Value {
    return select(max(x, Value()), x, is_nan(x));
}

// dy after the ReLU whose input or result is x.
fn through_relu(dy: Value, x: Value) -> Value {
    return select(Value(), dy, (x > Value()) | is_nan(x));
}

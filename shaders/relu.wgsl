// ReLU and its backward pass. NaN stays NaN and lets gradients pass.
// The shader must use nan.wgsl too and define the types that it needs.
// Prepended to the shaders that use it; it has no entry point, so no dispatch.

fn relu_forward(x: Value) -> Value {
    return select(max(x, Value(0.0)), x, is_nan(x));
}

// The gradient of the ReLU whose input or output is x.
fn relu_backward(dy: Value, x: Value) -> Value {
    return select(Value(0.0), dy, (x > Value(0.0)) | is_nan(x));
}

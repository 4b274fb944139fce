// ReLU and its backward pass. NaN stays NaN and lets gradients pass.
// Shaders that use it must also use nan.wgsl.
// Prepended to the shaders that use it.

fn relu_forward(x: Value) -> Value {
    return select(max(x, Value(0.0)), x, is_nan(x));
}

// The gradient of the ReLU whose input or output is x.
fn relu_backward(dy: Value, x: Value) -> Value {
    return select(Value(0.0), dy, (x > Value(0.0)) | is_nan(x));
}

// The epilogue of a convolution, applied before a result is written: 0, none; 1, ReLU; 2, add the residual at the same
// index, then ReLU. The shader defines `Value`, the element type of y and the residual (a scalar or vec4f), `params` and
// `residual`.
// Prepended to the shaders that use it.

fn apply_epilogue(value: Value, at: u32) -> Value {
    var result = value;
    if (params.epilogue == 2u) { result += residual[at]; }
    if (params.epilogue > 0u) { result = relu_forward(result); }
    return result;
}

// What a convolution does to a result before writing it: `epilogue` 0, nothing; 1, ReLU; 2, the sum with the residual at the same
// place, then ReLU. `Value` is what y and the residual hold, a number or four; it, `params` and `residual` are the shader's own.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

fn finished(value: Value, at: u32) -> Value {
    var result = value;
    if (params.epilogue == 2u) { result += residual[at]; }
    if (params.epilogue > 0u) { result = rectified(result); }
    return result;
}

// The epilogue of a convolution, applied before a result is written:
//
//   0  none
//   1  ReLU
//   2  add the residual, then ReLU
//   3  add the residual: another gradient of the same value
//   4  the gradient of a ReLU
//   5  add the residual, then the gradient of a ReLU
//
// The residual and the output of the ReLU are read at the index of the result. Gradients have no bias, so its binding is the output of
// the ReLU. The shader defines `Value`, the element type of y and the residual (a scalar or vec4f), `params`, `residual` and
// `bias`, an array of scalars.
// Shaders that use it must also use nan.wgsl and relu.wgsl.
// Prepended to the shaders that use it.

{%- if vec4 is defined and vec4 %}
{%- set relu_output = 'vec4f(bias[4u * at], bias[4u * at + 1u], bias[4u * at + 2u], bias[4u * at + 3u])' %}
{%- else %}
{%- set relu_output = 'bias[at]' %}
{%- endif %}

fn apply_epilogue(value: Value, at: u32) -> Value {
    var result = value;
    if (params.epilogue == 2u || params.epilogue == 3u || params.epilogue == 5u) { result += residual[at]; }
    if (params.epilogue == 1u || params.epilogue == 2u) { result = relu_forward(result); }
    if (params.epilogue > 3u) { result = relu_backward(result, {{ relu_output }}); }
    return result;
}

// The global gradient norm and the factor that clips it to max_norm, from the sum of squared gradients:
//
//   norm[0] = sqrt(squares[0])
//   out[0]  = min(1, max_norm / (norm[0] + 1e-6))
//
// Dispatch: one workgroup of one invocation.

// uses nan.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

struct Clip { max_norm: f32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Clip;
@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(1)
fn clip_coefficient() {
    let root = sqrt(squares[0]);
    norm[0] = root;
    let factor = params.max_norm / (root + 1e-6);
    // `min` may drop a NaN.
    out[0] = select(min(factor, 1.0), factor, is_nan(factor));
}

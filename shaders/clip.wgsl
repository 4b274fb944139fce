// The global gradient norm and the factor that clips it to max_norm, from partial sums of squared gradients (sum_squares.wgsl):
//
//   norm[0] = sqrt(sum over g < groups of squares[g])
//   out[0]  = min(1, max_norm / (norm[0] + 1e-6))
//
// Each lane sums every 256th partial sum, then a tree reduction combines the lanes, so the order is fixed.
// Dispatch: one workgroup.

// uses nan.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

struct Clip { groups: u32, max_norm: f32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Clip;
@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

var<workgroup> lanes: array<f32, 256>;

@compute @workgroup_size(256)
fn clip_coefficient(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var g = lane; g < params.groups; g += 256u) { sum += squares[g]; }
    lanes[lane] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { lanes[lane] += lanes[lane + half]; }
    }
    if (lane > 0u) { return; }
    let root = sqrt(lanes[0]);
    norm[0] = root;
    let factor = params.max_norm / (root + 1e-6);
    // `min` may drop a NaN.
    out[0] = select(min(factor, 1.0), factor, is_nan(factor));
}

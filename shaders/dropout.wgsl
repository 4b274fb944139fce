// Counter-based dropout: the backward pass and a replay regenerate the same mask.
//
//   u = hash(seed, step, stream, i) / 2^24          uniform in [0, 1)
//   y[i] = u < p ? 0 : x[i] / (1 - p)
//
// The backward pass runs the same kernel on the upstream gradient. `counter` holds (step, seed). The hash is PCG's output
// permutation RXS-M-XS (O'Neill 2014; as a hash: Jarzynski & Olano 2020).
// Dispatch: ceil(len / 256) workgroups.

struct Dropout { len: u32, stream: u32, p: f32, scale: f32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Dropout;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> counter: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn pcg(v: u32) -> u32 {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

@compute @workgroup_size(256)
fn dropout(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= params.len) { return; }
    let h = pcg(i ^ pcg(params.stream ^ pcg(counter[0] ^ pcg(counter[1]))));
    let u = f32(h >> 8u) / 16777216.0;
    y[i] = select(x[i] * params.scale, 0.0, u < params.p);
}

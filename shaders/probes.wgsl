// What all other kernels take for granted of a device, for its self-test. One case per invocation.
//
//   probe_integers   y[8 i ..] = a / b, a % b, a / 9, a % 9, a * b, a >> (b % 32), signed a / b, signed a % b
//                    of a = x[2 i], b = x[2 i + 1]
//   probe_floats     r[3 i ..] = a, a + b, a * b of a = v[2 i], b = v[2 i + 1]: NaN and infinity survive
//   probe_ieee       y[4 i ..] = bits of a + b, a == b, a < b, a != b: with NaN and subnormals, which WGSL leaves open
//   probe_barriers   y[i]: 32 rounds in which the invocations of a workgroup exchange numbers through workgroup memory and through
//                    storage. From s = x, each round sets s = 1664525 s + (s of lane + round + 1), and then
//                    s = 22695477 s + (s of lane + 2 round + 1), lanes modulo 64
//
// Dispatch: ceil(len / 64) workgroups; `len` cases, a multiple of 64 for probe_barriers.

struct Probe { len: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: Probe;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;

@compute @workgroup_size(64)
fn probe_integers(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (i >= params.len) { return; }
    let a = x[2u * i];
    let b = x[2u * i + 1u];
    y[8u * i] = a / b;
    y[8u * i + 1u] = a % b;
    y[8u * i + 2u] = a / 9u;
    y[8u * i + 3u] = a % 9u;
    y[8u * i + 4u] = a * b;
    y[8u * i + 5u] = a >> (b % 32u);
    y[8u * i + 6u] = bitcast<u32>(bitcast<i32>(a) / bitcast<i32>(b));
    y[8u * i + 7u] = bitcast<u32>(bitcast<i32>(a) % bitcast<i32>(b));
}

@compute @workgroup_size(64)
fn probe_floats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (i >= params.len) { return; }
    let a = v[2u * i];
    let b = v[2u * i + 1u];
    r[3u * i] = a;
    r[3u * i + 1u] = a + b;
    r[3u * i + 2u] = a * b;
}

@compute @workgroup_size(64)
fn probe_ieee(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (i >= params.len) { return; }
    let a = v[2u * i];
    let b = v[2u * i + 1u];
    y[4u * i] = bitcast<u32>(a + b);
    y[4u * i + 1u] = u32(a == b);
    y[4u * i + 2u] = u32(a < b);
    y[4u * i + 3u] = u32(a != b);
}

var<workgroup> exchanged: array<u32, 64>;

@compute @workgroup_size(64)
fn probe_barriers(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let first = workgroup_index(group, groups, params.first_workgroup) * 64u;
    if (first >= params.len) { return; } // the whole workgroup returns
    var s = x[first + lane];
    for (var round = 0u; round < 32u; round++) {
        exchanged[lane] = s;
        workgroupBarrier();
        s = 1664525u * s + exchanged[(lane + round + 1u) % 64u];
        workgroupBarrier();
        y[first + lane] = s;
        storageBarrier();
        s = 22695477u * s + y[first + (lane + 2u * round + 1u) % 64u];
        storageBarrier();
    }
    y[first + lane] = s;
}

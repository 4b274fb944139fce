// Packs one operand of a matrix product into panels for matmul_packed.wgsl.
//
//   packed[batch, panel, k, i] = x(o, g, r)[panel * width + i, t],  with batch = o * inner + g and k = r * size + t
//
// with zeros past `count` (the rows of a, or columns of b), past the last summed product (the last o has only
// reduce_total - o * reduce of them, the others `reduce`), and up to an even depth. x(o, g, r)[i, t] is stored at
// offset + o * outer + g * inner_step + r * reduce_step + i * step + t * k_step.
// Dispatch: ceil(batches * panels * ceil(depth / 8) * width / 4 / 64) workgroups: an invocation packs eight k of four i.

struct MatmulPack {
    batches: u32, inner: u32, panels: u32, width: u32, depth: u32, count: u32, size: u32, reduce: u32, reduce_total: u32,
    offset: u32, step: u32, k_step: u32, reduce_step: u32, outer: u32, inner_step: u32,
    first_workgroup: u32,
}

@group(0) @binding(0) var<uniform> params: MatmulPack;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64)
fn matmul_pack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    let vectors = params.width / 4u;
    let chunks = (params.depth + 7u) / 8u;
    let line = index / (vectors * chunks);
    if (line >= params.batches * params.panels) { return; }
    let vector = index % vectors;
    let batch = line / params.panels;
    let i = line % params.panels * params.width + vector * 4u;
    let o = batch / params.inner;
    let products = min(params.reduce, params.reduce_total - o * params.reduce);
    let base = params.offset + o * params.outer + batch % params.inner * params.inner_step + i * params.step;
    let first = index / vectors % chunks * 8u;
    var r = first / params.size;
    var t = first % params.size;
    for (var k = first; k < min(first + 8u, params.depth); k++) {
        var value = vec4f(0.0);
        if (r < products) {
            let at = base + r * params.reduce_step + t * params.k_step;
            if (i + 0u < params.count) { value.x = x[at]; }
            if (i + 1u < params.count) { value.y = x[at + params.step]; }
            if (i + 2u < params.count) { value.z = x[at + 2u * params.step]; }
            if (i + 3u < params.count) { value.w = x[at + 3u * params.step]; }
        }
        packed[(line * params.depth + k) * vectors + vector] = value;
        t++;
        if (t == params.size) {
            t = 0u;
            r++;
        }
    }
}

// Max-pooling of windows of 2 x 2 that lie side by side: planes of [in_h, in_w] become [in_h / 2, in_w / 2]. in_h must be even
// and in_w a multiple of four; results and gradients are those of pool.wgsl.
//
//   max_pool_2x2        y = the window's maximum, index = where it stands in its plane (the first one; a NaN wins)
//   max_pool_grad_2x2   dx[i] = dy of i's window if its index is i, else 0
//
// Loads are what costs, so an invocation has two windows side by side, of which a row is one vector of four pixels. Rows of y are
// numbered through all planes, and row r reads rows 2r and 2r + 1 of x. Dispatch: ceil(planes * out_h * in_w / 4 / 64) workgroups.

// uses pool_params.wgsl
// uses nan.wgsl

alias Value = vec2f;
alias Bits = vec2u;
alias Flags = vec2<bool>;

@group(0) @binding(0) var<uniform> params: Pool;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> index_out: array<vec2u>;

// Two windows side by side: where the first row of their pixels is among the vectors of x, and the first pixels in the plane.
struct Pair { top: u32, first: vec2u }

fn pair(at: u32) -> Pair {
    let across = params.in_w / 4u;
    let row = at / across;
    let column = at - row * across;
    let first = 2u * (row % params.out_h) * params.in_w + 4u * column;
    return Pair(2u * row * across + column, vec2u(first, first + 2u));
}

// Whether later pixels of the windows replace the best so far.
fn better(value: vec2f, best: vec2f) -> vec2<bool> {
    return !is_nan(best) & (is_nan(value) | (value > best));
}

@compute @workgroup_size(64)
fn max_pool_2x2(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups) * 64u + lane;
    if (at >= params.planes * params.out_h * (params.in_w / 4u)) { return; }
    let own = pair(at);
    let top = x[own.top];
    let bottom = x[own.top + params.in_w / 4u];
    var best = top.xz;
    var best_at = own.first;
    let right = better(top.yw, best);
    best = select(best, top.yw, right);
    best_at = select(best_at, own.first + 1u, right);
    let below = better(bottom.xz, best);
    best = select(best, bottom.xz, below);
    best_at = select(best_at, own.first + params.in_w, below);
    let last = better(bottom.yw, best);
    y[at] = select(best, bottom.yw, last);
    index_out[at] = select(best_at, own.first + params.in_w + 1u, last);
}

@group(0) @binding(1) var<storage, read> dy: array<vec2f>;
@group(0) @binding(2) var<storage, read> index: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn max_pool_grad_2x2(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups) * 64u + lane;
    if (at >= params.planes * params.out_h * (params.in_w / 4u)) { return; }
    let own = pair(at);
    let up = dy[at].xxyy;
    // Where the maximum stands in its window: 0 and 1 are the first row's pixels, in_w and in_w + 1 the second's.
    let place = (index[at] - own.first).xxyy;
    let pixels = vec4u(0u, 1u, 0u, 1u);
    dx[own.top] = select(vec4f(), up, place == pixels);
    dx[own.top + params.in_w / 4u] = select(vec4f(), up, place == pixels + params.in_w);
}

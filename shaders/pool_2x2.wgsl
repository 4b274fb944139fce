// Max pooling with non-overlapping 2 x 2 windows: planes of [in_h, in_w] become [in_h / 2, in_w / 2]. in_h must be even and
// in_w a multiple of four; results and gradients equal those of pool.wgsl.
//
//   max_pool_2x2        y = the window's maximum, index = its position in the plane (the first of equals; NaN wins)
//   max_pool_grad_2x2   dx[i] = dy of i's window if its index is i, else 0
//
// Loads dominate the cost, so an invocation processes two adjacent windows, whose rows are one vector of four pixels each.
// Rows of y are numbered across all planes; row r reads rows 2r and 2r + 1 of x.
// Dispatch: ceil(planes * out_h * in_w / 4 / 64) workgroups.

// uses pool_params.wgsl
// uses nan.wgsl

alias Value = vec2f;
alias Bits = vec2u;
alias Flags = vec2<bool>;

@group(0) @binding(0) var<uniform> params: Pool;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> index_out: array<vec2u>;

// Two adjacent windows: the index of their top row among the vectors of x, and of their first pixels in the plane.
struct WindowPair { top: u32, first: vec2u }

fn window_pair(at: u32) -> WindowPair {
    let across = params.in_w / 4u;
    let row = at / across;
    let column = at - row * across;
    let first = 2u * (row % params.out_h) * params.in_w + 4u * column;
    return WindowPair(2u * row * across + column, vec2u(first, first + 2u));
}

// Whether a later pixel replaces the maximum so far.
fn better(value: vec2f, best: vec2f) -> vec2<bool> {
    return !is_nan(best) & (is_nan(value) | (value > best));
}

@compute @workgroup_size(64)
fn max_pool_2x2(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.out_h * (params.in_w / 4u)) { return; }
    let windows = window_pair(at);
    let top = x[windows.top];
    let bottom = x[windows.top + params.in_w / 4u];
    var best = top.xz;
    var best_at = windows.first;
    let right = better(top.yw, best);
    best = select(best, top.yw, right);
    best_at = select(best_at, windows.first + 1u, right);
    let below = better(bottom.xz, best);
    best = select(best, bottom.xz, below);
    best_at = select(best_at, windows.first + params.in_w, below);
    let last = better(bottom.yw, best);
    y[at] = select(best, bottom.yw, last);
    index_out[at] = select(best_at, windows.first + params.in_w + 1u, last);
}

@group(0) @binding(1) var<storage, read> dy: array<vec2f>;
@group(0) @binding(2) var<storage, read> index: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn max_pool_grad_2x2(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.out_h * (params.in_w / 4u)) { return; }
    let windows = window_pair(at);
    let upstream = dy[at].xxyy;
    // The position of the maximum relative to its window: 0 and 1 in the first row, in_w and in_w + 1 in the second.
    let offset = (index[at] - windows.first).xxyy;
    let pixels = vec4u(0u, 1u, 0u, 1u);
    dx[windows.top] = select(vec4f(0.0), upstream, offset == pixels);
    dx[windows.top + params.in_w / 4u] = select(vec4f(0.0), upstream, offset == pixels + params.in_w);
}

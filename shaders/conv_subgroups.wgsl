// Convolution of dilation 1 and stride 1 or 2 along rows, without unfolding anything: 16 output channels x 8 pixels of
// a row an invocation.
//
//   conv_subgroups               y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of  x[n, g(o) + c, iy, ix] * w(o, c, ky, kx)
//   conv_subgroups_grad_weight   partial[s, o, c, ky, kx] = sum over the pictures n of slice s, and oy, ox, of
//                                                           dy[n, o, oy, ox] * x[n, g(o) + c, iy, ix]
//
// with iy = oy * stride_h - padding_h + ky * dilation_h, ix = ox * stride - padding_w + kx, zeros outside the picture, and g(o)
// the first channel of o's group. w(o, c, ky, kx) lies at group * w_group + o * w_out + c * w_in + w_start + ky *
// w_down + kx * w_right, y(n, o, oy, ox) at (n, o) * y_plane + y_start + oy * y_down + ox * y_right. So the same kernel computes
// a gradient with respect to the input: the channels' roles exchanged, the filters turned around by negative steps, and at
// stride 2 one launch for each phase, that is for the pixels whose row and column have the same remainders.
// Sizes and channels are those of one group, except for `groups`; x: [batch, groups * in_channels, in_h, in_w].
//
// Made for software adapters (see tile.wgsl): along a row, three filter columns share ten pixels (seventeen at
// stride 2). So 16 loads feed 384 multiply-adds (forward), 26 loads 384 (grad_weight, where each invocation has one c,
// one ky and three kx).
// Needs subgroups of at least eight lanes. Dispatch: forward, a workgroup for each 64 row tiles and 16 channels,
// channels innermost; grad_weight, one for each slice, 16 channels and 64 triples, triples innermost.

// uses tile.wgsl

struct ConvSubgroups {
    batch: u32, in_channels: u32, in_h: u32, in_w: u32, out_channels: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, dilation_h: u32, padding_h: u32, padding_w: u32, groups: u32,
    w_group: u32, w_out: u32, w_in: u32, w_start: u32, w_down: u32, w_right: u32,
    y_plane: u32, y_start: u32, y_down: u32, y_right: u32,
    has_bias: u32, images_per_slice: u32,
}

@group(0) @binding(0) var<uniform> params: ConvSubgroups;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// A pixel of a row, 0 outside of it. `inside`: whether the row is in the picture at all.
fn pixel(row: u32, ix: u32, inside: bool) -> f32 {
    return select(0.0, x[row + min(ix, params.in_w - 1u)], inside && ix < params.in_w);
}

fn store(at: u32, o: u32, ox: u32, shift: f32, left: vec4f, right: vec4f) {
    if (o >= params.out_channels) { return; }
    if (ox + 0u < params.out_w) { y[at + 0u * params.y_right] = left.x + shift; }
    if (ox + 1u < params.out_w) { y[at + 1u * params.y_right] = left.y + shift; }
    if (ox + 2u < params.out_w) { y[at + 2u * params.y_right] = left.z + shift; }
    if (ox + 3u < params.out_w) { y[at + 3u * params.y_right] = left.w + shift; }
    if (ox + 4u < params.out_w) { y[at + 4u * params.y_right] = right.x + shift; }
    if (ox + 5u < params.out_w) { y[at + 5u * params.y_right] = right.y + shift; }
    if (ox + 6u < params.out_w) { y[at + 6u * params.y_right] = right.z + shift; }
    if (ox + 7u < params.out_w) { y[at + 7u * params.y_right] = right.w + shift; }
}

fn bias_at(o: u32) -> f32 {
    return select(0.0, bias[min(o, params.groups * params.out_channels - 1u)], params.has_bias == 1u);
}

@compute @workgroup_size(64)
fn conv_subgroups(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let across = (params.out_w + 7u) / 8u;
    let row_tiles = params.batch * params.out_h * across;
    let blocks = (params.out_channels + 15u) / 16u;
    let index = workgroup_index(group, groups);
    let block = index % (blocks * params.groups);
    let wanted = index / (blocks * params.groups) * 64u + lane;
    // Lanes past the end compute the last tile again: every lane of a subgroup must be there.
    let row_tile = min(wanted, row_tiles - 1u);
    let g = block / blocks;
    let o = block % blocks * 16u;
    let ox = row_tile % across * 8u;
    let oy = row_tile / across % params.out_h;
    let n = row_tile / (across * params.out_h);

    let last = params.out_channels - 1u;
    let w_base = g * params.w_group + params.w_start;
    let w_low = w_base + min(o + sub % 8u, last) * params.w_out;
    let w_high = w_base + min(o + 8u + sub % 8u, last) * params.w_out;
    var tile: Tile;
    for (var c = 0u; c < params.in_channels; c++) {
        let plane = (n * params.groups + g) * params.in_channels + c;
        for (var ky = 0u; ky < params.kernel_h; ky++) {
            // Above or left of the picture wraps to a huge number.
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            let inside = iy < params.in_h;
            let row = (plane * params.in_h + min(iy, params.in_h - 1u)) * params.in_w;
            for (var kx = 0u; kx < params.kernel_w; kx += 3u) {
                let ix = ox + kx - params.padding_w;
                let tap = c * params.w_in + ky * params.w_down + kx * params.w_right;
                let p0 = pixel(row, ix + 0u, inside);
                let p1 = pixel(row, ix + 1u, inside);
                let p2 = pixel(row, ix + 2u, inside);
                let p3 = pixel(row, ix + 3u, inside);
                let p4 = pixel(row, ix + 4u, inside);
                let p5 = pixel(row, ix + 5u, inside);
                let p6 = pixel(row, ix + 6u, inside);
                let p7 = pixel(row, ix + 7u, inside);
                let p8 = pixel(row, ix + 8u, inside);
                let p9 = pixel(row, ix + 9u, inside);
                add_outer(&tile, w[w_low + tap], w[w_high + tap], vec4f(p0, p1, p2, p3), vec4f(p4, p5, p6, p7));
                let on1 = kx + 1u < params.kernel_w;
                let tap1 = select(tap, tap + 1u * params.w_right, on1);
                add_outer(&tile, select(0.0, w[w_low + tap1], on1), select(0.0, w[w_high + tap1], on1), vec4f(p1, p2, p3, p4), vec4f(p5, p6, p7, p8));
                let on2 = kx + 2u < params.kernel_w;
                let tap2 = select(tap, tap + 2u * params.w_right, on2);
                add_outer(&tile, select(0.0, w[w_low + tap2], on2), select(0.0, w[w_high + tap2], on2), vec4f(p2, p3, p4, p5), vec4f(p6, p7, p8, p9));
            }
        }
    }

    if (wanted >= row_tiles) { return; }
    let channel = g * params.out_channels + o;
    let plane = (n * params.groups * params.out_channels + channel) * params.y_plane;
    let at = plane + params.y_start + oy * params.y_down + ox * params.y_right;
    store(at + 0u * params.y_plane, o + 0u, ox, bias_at(channel + 0u), tile.r0, tile.s0);
    store(at + 1u * params.y_plane, o + 1u, ox, bias_at(channel + 1u), tile.r1, tile.s1);
    store(at + 2u * params.y_plane, o + 2u, ox, bias_at(channel + 2u), tile.r2, tile.s2);
    store(at + 3u * params.y_plane, o + 3u, ox, bias_at(channel + 3u), tile.r3, tile.s3);
    store(at + 4u * params.y_plane, o + 4u, ox, bias_at(channel + 4u), tile.r4, tile.s4);
    store(at + 5u * params.y_plane, o + 5u, ox, bias_at(channel + 5u), tile.r5, tile.s5);
    store(at + 6u * params.y_plane, o + 6u, ox, bias_at(channel + 6u), tile.r6, tile.s6);
    store(at + 7u * params.y_plane, o + 7u, ox, bias_at(channel + 7u), tile.r7, tile.s7);
    store(at + 8u * params.y_plane, o + 8u, ox, bias_at(channel + 8u), tile.r8, tile.s8);
    store(at + 9u * params.y_plane, o + 9u, ox, bias_at(channel + 9u), tile.r9, tile.s9);
    store(at + 10u * params.y_plane, o + 10u, ox, bias_at(channel + 10u), tile.r10, tile.s10);
    store(at + 11u * params.y_plane, o + 11u, ox, bias_at(channel + 11u), tile.r11, tile.s11);
    store(at + 12u * params.y_plane, o + 12u, ox, bias_at(channel + 12u), tile.r12, tile.s12);
    store(at + 13u * params.y_plane, o + 13u, ox, bias_at(channel + 13u), tile.r13, tile.s13);
    store(at + 14u * params.y_plane, o + 14u, ox, bias_at(channel + 14u), tile.r14, tile.s14);
    store(at + 15u * params.y_plane, o + 15u, ox, bias_at(channel + 15u), tile.r15, tile.s15);
}

@compute @workgroup_size(64)
fn conv_subgroups_stride2(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let across = (params.out_w + 7u) / 8u;
    let row_tiles = params.batch * params.out_h * across;
    let blocks = (params.out_channels + 15u) / 16u;
    let index = workgroup_index(group, groups);
    let block = index % (blocks * params.groups);
    let wanted = index / (blocks * params.groups) * 64u + lane;
    // Lanes past the end compute the last tile again: every lane of a subgroup must be there.
    let row_tile = min(wanted, row_tiles - 1u);
    let g = block / blocks;
    let o = block % blocks * 16u;
    let ox = row_tile % across * 8u;
    let oy = row_tile / across % params.out_h;
    let n = row_tile / (across * params.out_h);

    let last = params.out_channels - 1u;
    let w_base = g * params.w_group + params.w_start;
    let w_low = w_base + min(o + sub % 8u, last) * params.w_out;
    let w_high = w_base + min(o + 8u + sub % 8u, last) * params.w_out;
    var tile: Tile;
    for (var c = 0u; c < params.in_channels; c++) {
        let plane = (n * params.groups + g) * params.in_channels + c;
        for (var ky = 0u; ky < params.kernel_h; ky++) {
            // Above or left of the picture wraps to a huge number.
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            let inside = iy < params.in_h;
            let row = (plane * params.in_h + min(iy, params.in_h - 1u)) * params.in_w;
            for (var kx = 0u; kx < params.kernel_w; kx += 3u) {
                let ix = 2u * ox + kx - params.padding_w;
                let tap = c * params.w_in + ky * params.w_down + kx * params.w_right;
                let p0 = pixel(row, ix + 0u, inside);
                let p1 = pixel(row, ix + 1u, inside);
                let p2 = pixel(row, ix + 2u, inside);
                let p3 = pixel(row, ix + 3u, inside);
                let p4 = pixel(row, ix + 4u, inside);
                let p5 = pixel(row, ix + 5u, inside);
                let p6 = pixel(row, ix + 6u, inside);
                let p7 = pixel(row, ix + 7u, inside);
                let p8 = pixel(row, ix + 8u, inside);
                let p9 = pixel(row, ix + 9u, inside);
                let p10 = pixel(row, ix + 10u, inside);
                let p11 = pixel(row, ix + 11u, inside);
                let p12 = pixel(row, ix + 12u, inside);
                let p13 = pixel(row, ix + 13u, inside);
                let p14 = pixel(row, ix + 14u, inside);
                let p15 = pixel(row, ix + 15u, inside);
                let p16 = pixel(row, ix + 16u, inside);
                add_outer(&tile, w[w_low + tap], w[w_high + tap], vec4f(p0, p2, p4, p6), vec4f(p8, p10, p12, p14));
                let on1 = kx + 1u < params.kernel_w;
                let tap1 = select(tap, tap + 1u * params.w_right, on1);
                add_outer(&tile, select(0.0, w[w_low + tap1], on1), select(0.0, w[w_high + tap1], on1), vec4f(p1, p3, p5, p7), vec4f(p9, p11, p13, p15));
                let on2 = kx + 2u < params.kernel_w;
                let tap2 = select(tap, tap + 2u * params.w_right, on2);
                add_outer(&tile, select(0.0, w[w_low + tap2], on2), select(0.0, w[w_high + tap2], on2), vec4f(p2, p4, p6, p8), vec4f(p10, p12, p14, p16));
            }
        }
    }

    if (wanted >= row_tiles) { return; }
    let channel = g * params.out_channels + o;
    let plane = (n * params.groups * params.out_channels + channel) * params.y_plane;
    let at = plane + params.y_start + oy * params.y_down + ox * params.y_right;
    store(at + 0u * params.y_plane, o + 0u, ox, bias_at(channel + 0u), tile.r0, tile.s0);
    store(at + 1u * params.y_plane, o + 1u, ox, bias_at(channel + 1u), tile.r1, tile.s1);
    store(at + 2u * params.y_plane, o + 2u, ox, bias_at(channel + 2u), tile.r2, tile.s2);
    store(at + 3u * params.y_plane, o + 3u, ox, bias_at(channel + 3u), tile.r3, tile.s3);
    store(at + 4u * params.y_plane, o + 4u, ox, bias_at(channel + 4u), tile.r4, tile.s4);
    store(at + 5u * params.y_plane, o + 5u, ox, bias_at(channel + 5u), tile.r5, tile.s5);
    store(at + 6u * params.y_plane, o + 6u, ox, bias_at(channel + 6u), tile.r6, tile.s6);
    store(at + 7u * params.y_plane, o + 7u, ox, bias_at(channel + 7u), tile.r7, tile.s7);
    store(at + 8u * params.y_plane, o + 8u, ox, bias_at(channel + 8u), tile.r8, tile.s8);
    store(at + 9u * params.y_plane, o + 9u, ox, bias_at(channel + 9u), tile.r9, tile.s9);
    store(at + 10u * params.y_plane, o + 10u, ox, bias_at(channel + 10u), tile.r10, tile.s10);
    store(at + 11u * params.y_plane, o + 11u, ox, bias_at(channel + 11u), tile.r11, tile.s11);
    store(at + 12u * params.y_plane, o + 12u, ox, bias_at(channel + 12u), tile.r12, tile.s12);
    store(at + 13u * params.y_plane, o + 13u, ox, bias_at(channel + 13u), tile.r13, tile.s13);
    store(at + 14u * params.y_plane, o + 14u, ox, bias_at(channel + 14u), tile.r14, tile.s14);
    store(at + 15u * params.y_plane, o + 15u, ox, bias_at(channel + 15u), tile.r15, tile.s15);
}

// Bindings of grad_weight: x, then dy in the place of w.
@group(0) @binding(3) var<storage, read_write> partial_out: array<f32>;

struct Triples {
    t0: vec3f, t1: vec3f, t2: vec3f, t3: vec3f, t4: vec3f, t5: vec3f, t6: vec3f, t7: vec3f, t8: vec3f, t9: vec3f, t10: vec3f, t11: vec3f, t12: vec3f, t13: vec3f, t14: vec3f, t15: vec3f,
}

fn add_triples(triples: ptr<function, Triples>, low: f32, high: f32, pixels: vec3f) {
    (*triples).t0 += subgroupBroadcast(low, 0u) * pixels;
    (*triples).t1 += subgroupBroadcast(low, 1u) * pixels;
    (*triples).t2 += subgroupBroadcast(low, 2u) * pixels;
    (*triples).t3 += subgroupBroadcast(low, 3u) * pixels;
    (*triples).t4 += subgroupBroadcast(low, 4u) * pixels;
    (*triples).t5 += subgroupBroadcast(low, 5u) * pixels;
    (*triples).t6 += subgroupBroadcast(low, 6u) * pixels;
    (*triples).t7 += subgroupBroadcast(low, 7u) * pixels;
    (*triples).t8 += subgroupBroadcast(high, 0u) * pixels;
    (*triples).t9 += subgroupBroadcast(high, 1u) * pixels;
    (*triples).t10 += subgroupBroadcast(high, 2u) * pixels;
    (*triples).t11 += subgroupBroadcast(high, 3u) * pixels;
    (*triples).t12 += subgroupBroadcast(high, 4u) * pixels;
    (*triples).t13 += subgroupBroadcast(high, 5u) * pixels;
    (*triples).t14 += subgroupBroadcast(high, 6u) * pixels;
    (*triples).t15 += subgroupBroadcast(high, 7u) * pixels;
}

fn store_triple(at: u32, o: u32, kx: u32, triple: vec3f) {
    if (o >= params.out_channels) { return; }
    partial_out[at] = triple.x;
    if (kx + 1u < params.kernel_w) { partial_out[at + 1u] = triple.y; }
    if (kx + 2u < params.kernel_w) { partial_out[at + 2u] = triple.z; }
}

@compute @workgroup_size(64)
fn conv_subgroups_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let thirds = (params.kernel_w + 2u) / 3u;
    let count = params.in_channels * params.kernel_h * thirds;
    let lane_blocks = (count + 63u) / 64u;
    let blocks = (params.out_channels + 15u) / 16u;
    let index = workgroup_index(group, groups);
    let wanted = index % lane_blocks * 64u + lane;
    let block = index / lane_blocks % (blocks * params.groups);
    let slice = index / (lane_blocks * blocks * params.groups);
    let first = slice * params.images_per_slice;
    if (first >= params.batch) { return; } // uniform: the whole workgroup leaves
    // Eights of lanes with nothing to do leave together; the lanes that hand numbers on stay.
    if (wanted / 8u * 8u >= count) { return; }
    let triple = min(wanted, count - 1u);
    let kx = triple % thirds * 3u;
    let ky = triple / thirds % params.kernel_h;
    let c = triple / (thirds * params.kernel_h);
    let g = block / blocks;
    let o = block % blocks * 16u;

    let last = params.out_channels - 1u;
    let pixels = params.out_h * params.out_w;
    let low = min(o + sub % 8u, last) * pixels;
    let high = min(o + 8u + sub % 8u, last) * pixels;
    var triples: Triples;
    for (var n = first; n < min(first + params.images_per_slice, params.batch); n++) {
        let dy = (n * params.groups + g) * params.out_channels * pixels;
        let plane = ((n * params.groups + g) * params.in_channels + c) * params.in_h;
        for (var oy = 0u; oy < params.out_h; oy++) {
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            let inside = iy < params.in_h;
            let row = (plane + min(iy, params.in_h - 1u)) * params.in_w;
            for (var ox = 0u; ox < params.out_w; ox += 8u) {
                let at = dy + oy * params.out_w + ox;
                let ix = ox + kx - params.padding_w;
                let p0 = pixel(row, ix + 0u, inside);
                let p1 = pixel(row, ix + 1u, inside);
                let p2 = pixel(row, ix + 2u, inside);
                let p3 = pixel(row, ix + 3u, inside);
                let p4 = pixel(row, ix + 4u, inside);
                let p5 = pixel(row, ix + 5u, inside);
                let p6 = pixel(row, ix + 6u, inside);
                let p7 = pixel(row, ix + 7u, inside);
                let p8 = pixel(row, ix + 8u, inside);
                let p9 = pixel(row, ix + 9u, inside);
                add_triples(&triples, w[low + at], w[high + at], vec3f(p0, p1, p2));
                let on1 = ox + 1u < params.out_w;
                let at1 = select(at, at + 1u, on1);
                add_triples(&triples, select(0.0, w[low + at1], on1), select(0.0, w[high + at1], on1), vec3f(p1, p2, p3));
                let on2 = ox + 2u < params.out_w;
                let at2 = select(at, at + 2u, on2);
                add_triples(&triples, select(0.0, w[low + at2], on2), select(0.0, w[high + at2], on2), vec3f(p2, p3, p4));
                let on3 = ox + 3u < params.out_w;
                let at3 = select(at, at + 3u, on3);
                add_triples(&triples, select(0.0, w[low + at3], on3), select(0.0, w[high + at3], on3), vec3f(p3, p4, p5));
                let on4 = ox + 4u < params.out_w;
                let at4 = select(at, at + 4u, on4);
                add_triples(&triples, select(0.0, w[low + at4], on4), select(0.0, w[high + at4], on4), vec3f(p4, p5, p6));
                let on5 = ox + 5u < params.out_w;
                let at5 = select(at, at + 5u, on5);
                add_triples(&triples, select(0.0, w[low + at5], on5), select(0.0, w[high + at5], on5), vec3f(p5, p6, p7));
                let on6 = ox + 6u < params.out_w;
                let at6 = select(at, at + 6u, on6);
                add_triples(&triples, select(0.0, w[low + at6], on6), select(0.0, w[high + at6], on6), vec3f(p6, p7, p8));
                let on7 = ox + 7u < params.out_w;
                let at7 = select(at, at + 7u, on7);
                add_triples(&triples, select(0.0, w[low + at7], on7), select(0.0, w[high + at7], on7), vec3f(p7, p8, p9));
            }
        }
    }

    if (wanted >= count) { return; }
    let filter_size = params.in_channels * params.kernel_h * params.kernel_w;
    let channel = (slice * params.groups + g) * params.out_channels + o;
    let to = channel * filter_size + (c * params.kernel_h + ky) * params.kernel_w + kx;
    store_triple(to + 0u * filter_size, o + 0u, kx, triples.t0);
    store_triple(to + 1u * filter_size, o + 1u, kx, triples.t1);
    store_triple(to + 2u * filter_size, o + 2u, kx, triples.t2);
    store_triple(to + 3u * filter_size, o + 3u, kx, triples.t3);
    store_triple(to + 4u * filter_size, o + 4u, kx, triples.t4);
    store_triple(to + 5u * filter_size, o + 5u, kx, triples.t5);
    store_triple(to + 6u * filter_size, o + 6u, kx, triples.t6);
    store_triple(to + 7u * filter_size, o + 7u, kx, triples.t7);
    store_triple(to + 8u * filter_size, o + 8u, kx, triples.t8);
    store_triple(to + 9u * filter_size, o + 9u, kx, triples.t9);
    store_triple(to + 10u * filter_size, o + 10u, kx, triples.t10);
    store_triple(to + 11u * filter_size, o + 11u, kx, triples.t11);
    store_triple(to + 12u * filter_size, o + 12u, kx, triples.t12);
    store_triple(to + 13u * filter_size, o + 13u, kx, triples.t13);
    store_triple(to + 14u * filter_size, o + 14u, kx, triples.t14);
    store_triple(to + 15u * filter_size, o + 15u, kx, triples.t15);
}

@compute @workgroup_size(64)
fn conv_subgroups_stride2_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) sub: u32) {
    let thirds = (params.kernel_w + 2u) / 3u;
    let count = params.in_channels * params.kernel_h * thirds;
    let lane_blocks = (count + 63u) / 64u;
    let blocks = (params.out_channels + 15u) / 16u;
    let index = workgroup_index(group, groups);
    let wanted = index % lane_blocks * 64u + lane;
    let block = index / lane_blocks % (blocks * params.groups);
    let slice = index / (lane_blocks * blocks * params.groups);
    let first = slice * params.images_per_slice;
    if (first >= params.batch) { return; } // uniform: the whole workgroup leaves
    // Eights of lanes with nothing to do leave together; the lanes that hand numbers on stay.
    if (wanted / 8u * 8u >= count) { return; }
    let triple = min(wanted, count - 1u);
    let kx = triple % thirds * 3u;
    let ky = triple / thirds % params.kernel_h;
    let c = triple / (thirds * params.kernel_h);
    let g = block / blocks;
    let o = block % blocks * 16u;

    let last = params.out_channels - 1u;
    let pixels = params.out_h * params.out_w;
    let low = min(o + sub % 8u, last) * pixels;
    let high = min(o + 8u + sub % 8u, last) * pixels;
    var triples: Triples;
    for (var n = first; n < min(first + params.images_per_slice, params.batch); n++) {
        let dy = (n * params.groups + g) * params.out_channels * pixels;
        let plane = ((n * params.groups + g) * params.in_channels + c) * params.in_h;
        for (var oy = 0u; oy < params.out_h; oy++) {
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            let inside = iy < params.in_h;
            let row = (plane + min(iy, params.in_h - 1u)) * params.in_w;
            for (var ox = 0u; ox < params.out_w; ox += 8u) {
                let at = dy + oy * params.out_w + ox;
                let ix = 2u * ox + kx - params.padding_w;
                let p0 = pixel(row, ix + 0u, inside);
                let p1 = pixel(row, ix + 1u, inside);
                let p2 = pixel(row, ix + 2u, inside);
                let p3 = pixel(row, ix + 3u, inside);
                let p4 = pixel(row, ix + 4u, inside);
                let p5 = pixel(row, ix + 5u, inside);
                let p6 = pixel(row, ix + 6u, inside);
                let p7 = pixel(row, ix + 7u, inside);
                let p8 = pixel(row, ix + 8u, inside);
                let p9 = pixel(row, ix + 9u, inside);
                let p10 = pixel(row, ix + 10u, inside);
                let p11 = pixel(row, ix + 11u, inside);
                let p12 = pixel(row, ix + 12u, inside);
                let p13 = pixel(row, ix + 13u, inside);
                let p14 = pixel(row, ix + 14u, inside);
                let p15 = pixel(row, ix + 15u, inside);
                let p16 = pixel(row, ix + 16u, inside);
                add_triples(&triples, w[low + at], w[high + at], vec3f(p0, p1, p2));
                let on1 = ox + 1u < params.out_w;
                let at1 = select(at, at + 1u, on1);
                add_triples(&triples, select(0.0, w[low + at1], on1), select(0.0, w[high + at1], on1), vec3f(p2, p3, p4));
                let on2 = ox + 2u < params.out_w;
                let at2 = select(at, at + 2u, on2);
                add_triples(&triples, select(0.0, w[low + at2], on2), select(0.0, w[high + at2], on2), vec3f(p4, p5, p6));
                let on3 = ox + 3u < params.out_w;
                let at3 = select(at, at + 3u, on3);
                add_triples(&triples, select(0.0, w[low + at3], on3), select(0.0, w[high + at3], on3), vec3f(p6, p7, p8));
                let on4 = ox + 4u < params.out_w;
                let at4 = select(at, at + 4u, on4);
                add_triples(&triples, select(0.0, w[low + at4], on4), select(0.0, w[high + at4], on4), vec3f(p8, p9, p10));
                let on5 = ox + 5u < params.out_w;
                let at5 = select(at, at + 5u, on5);
                add_triples(&triples, select(0.0, w[low + at5], on5), select(0.0, w[high + at5], on5), vec3f(p10, p11, p12));
                let on6 = ox + 6u < params.out_w;
                let at6 = select(at, at + 6u, on6);
                add_triples(&triples, select(0.0, w[low + at6], on6), select(0.0, w[high + at6], on6), vec3f(p12, p13, p14));
                let on7 = ox + 7u < params.out_w;
                let at7 = select(at, at + 7u, on7);
                add_triples(&triples, select(0.0, w[low + at7], on7), select(0.0, w[high + at7], on7), vec3f(p14, p15, p16));
            }
        }
    }

    if (wanted >= count) { return; }
    let filter_size = params.in_channels * params.kernel_h * params.kernel_w;
    let channel = (slice * params.groups + g) * params.out_channels + o;
    let to = channel * filter_size + (c * params.kernel_h + ky) * params.kernel_w + kx;
    store_triple(to + 0u * filter_size, o + 0u, kx, triples.t0);
    store_triple(to + 1u * filter_size, o + 1u, kx, triples.t1);
    store_triple(to + 2u * filter_size, o + 2u, kx, triples.t2);
    store_triple(to + 3u * filter_size, o + 3u, kx, triples.t3);
    store_triple(to + 4u * filter_size, o + 4u, kx, triples.t4);
    store_triple(to + 5u * filter_size, o + 5u, kx, triples.t5);
    store_triple(to + 6u * filter_size, o + 6u, kx, triples.t6);
    store_triple(to + 7u * filter_size, o + 7u, kx, triples.t7);
    store_triple(to + 8u * filter_size, o + 8u, kx, triples.t8);
    store_triple(to + 9u * filter_size, o + 9u, kx, triples.t9);
    store_triple(to + 10u * filter_size, o + 10u, kx, triples.t10);
    store_triple(to + 11u * filter_size, o + 11u, kx, triples.t11);
    store_triple(to + 12u * filter_size, o + 12u, kx, triples.t12);
    store_triple(to + 13u * filter_size, o + 13u, kx, triples.t13);
    store_triple(to + 14u * filter_size, o + 14u, kx, triples.t14);
    store_triple(to + 15u * filter_size, o + 15u, kx, triples.t15);
}

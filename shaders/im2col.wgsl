// The transforms around a convolution by matrix product: unfold images into columns, and fold columns back into images.
//
//   im2col   cols[n, (c, ky, kx), (oy, ox)] = x[n, c, oy * stride - padding + ky * dilation, likewise for x],
//                                             0 outside the image
//   col2im   dx[n, c, y, x] = sum of cols over all (ky, kx, oy, ox) for which im2col reads this pixel
//                             (the transpose, written as a gather so that no two invocations write one pixel)
//
// x, dx: [batch, in_channels, in_h, in_w]; cols: [images, in_channels * kernel_h * kernel_w, rows * out_w].
// One launch covers `images` images from `image_start` and `rows` output rows from `row_start`, which bounds the size of
// cols. With accumulate = 1, col2im adds to dx. Lanes of im2col walk along a row of pixels, so its index divisions are uniform
// across the workgroup.
// Dispatch: im2col, one workgroup per (n, c, ky, kx); col2im, one per (n, c).

// uses conv_params.wgsl

@group(0) @binding(0) var<uniform> params: Conv;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn im2col(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let line = workgroup_index(group, groups, params.first_workgroup);
    if (line >= params.images * params.in_channels * params.kernel_h * params.kernel_w) { return; }
    let kx = line % params.kernel_w;
    let ky = line / params.kernel_w % params.kernel_h;
    let plane = line / (params.kernel_w * params.kernel_h); // (n - image_start) * in_channels + c
    let source = (params.image_start * params.in_channels + plane) * params.in_h * params.in_w;
    let dest = line * params.rows * params.out_w;
    for (var row = 0u; row < params.rows; row++) {
        // Coordinates left of or above the image wrap around to huge values, so one comparison tests both edges.
        let iy = (params.row_start + row) * params.stride_h + ky * params.dilation_h - params.padding_h;
        for (var ox = lane; ox < params.out_w; ox += 64u) {
            let ix = ox * params.stride_w + kx * params.dilation_w - params.padding_w;
            var value = 0.0;
            if (iy < params.in_h && ix < params.in_w) { value = x[source + iy * params.in_w + ix]; }
            y[dest + row * params.out_w + ox] = value;
        }
    }
}

@compute @workgroup_size(64)
fn col2im(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let plane = workgroup_index(group, groups, params.first_workgroup);
    if (plane >= params.images * params.in_channels) { return; }
    let taps = params.kernel_h * params.kernel_w;
    let line = params.rows * params.out_w;
    let source = plane * taps * line;
    let dest = (params.image_start * params.in_channels + plane) * params.in_h * params.in_w;
    // Without dilation, only every stride-th tap can have read this pixel.
    let step_y = select(1u, params.stride_h, params.dilation_h == 1u);
    let step_x = select(1u, params.stride_w, params.dilation_w == 1u);
    for (var iy = 0u; iy < params.in_h; iy++) {
        for (var ix = lane; ix < params.in_w; ix += 64u) {
            var sum = 0.0;
            for (var ky = (iy + params.padding_h) % step_y; ky < params.kernel_h; ky += step_y) {
                let top = iy + params.padding_h - ky * params.dilation_h;
                let oy = top / params.stride_h;
                let row = oy - params.row_start;
                // A negative `top` wraps around and fails oy < out_h, as all sizes are far below 2^31 / stride.
                if (oy * params.stride_h != top || oy >= params.out_h || row >= params.rows) { continue; }
                for (var kx = (ix + params.padding_w) % step_x; kx < params.kernel_w; kx += step_x) {
                    let left = ix + params.padding_w - kx * params.dilation_w;
                    let ox = left / params.stride_w;
                    if (ox * params.stride_w == left && ox < params.out_w) {
                        sum += x[source + (ky * params.kernel_w + kx) * line + row * params.out_w + ox];
                    }
                }
            }
            let at = dest + iy * params.in_w + ix;
            if (params.accumulate == 1u) { sum += y[at]; }
            y[at] = sum;
        }
    }
}

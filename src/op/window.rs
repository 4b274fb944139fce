//! Sliding and adaptive windows. All output sizes are computed here.

use super::{Footprint, MAX_SIZE, narrow};

/// The windows of a convolution or pooling along both axes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Windows of a fixed size at a fixed stride.
    Sliding {
        /// Height and width.
        kernel_size: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Pixels added on each side.
        padding: [usize; 2],
        /// Round the number of windows up instead of down.
        ceil_mode: bool,
    },
    /// A given number of windows that divide the image as evenly as possible.
    Adaptive {
        /// Vertical and horizontal number of windows.
        output_size: [usize; 2],
    },
}

/// Sliding windows of which as many are taken as fit the padded image. All pairs are vertical and horizontal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PaddedWindow {
    /// Height and width.
    pub kernel_size: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Pixels added before and after the image.
    pub padding: [[usize; 2]; 2],
}

impl Window {
    /// The pixels that an output element reads from an image of this size. Adaptive windows may differ in size and stride, so for
    /// those it is a window that covers each of them.
    pub(super) fn footprint(&self, image: [usize; 2]) -> Footprint {
        match *self {
            Window::Sliding { kernel_size, stride, padding, .. } => {
                Footprint::Window { extent: kernel_size, stride, padding }
            }
            Window::Adaptive { output_size } => {
                let axis = |i: usize| {
                    let (size, outs) = (image[i], output_size[i]);
                    let stride = size / outs;
                    let reach = |o: usize| ((o + 1) * size).div_ceil(outs) - o * stride;
                    ((0..outs).map(reach).max().unwrap_or(size), stride)
                };
                let [(h, down), (w, right)] = [axis(0), axis(1)];
                Footprint::Window { extent: [h, w], stride: [down, right], padding: [0, 0] }
            }
        }
    }

    /// The same windows for an image of this size, without rounding up and without adaptive sizes. Fails if adaptive windows differ in
    /// size or distance.
    #[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "only files for other engines need it"))]
    pub(crate) fn padded(&self, image: [usize; 2]) -> Result<PaddedWindow, String> {
        let outs = self.output_size(image)?;
        match *self {
            Window::Sliding { kernel_size, stride, padding, .. } => {
                let end = |i: usize| {
                    let reach = (outs[i] - 1) * stride[i] + kernel_size[i];
                    reach.saturating_sub(image[i] + padding[i]).max(padding[i])
                };
                Ok(PaddedWindow { kernel_size, stride, padding: [padding, [end(0), end(1)]] })
            }
            Window::Adaptive { .. } => {
                let [(kernel_h, stride_h), (kernel_w, stride_w)] =
                    [uniform(image[0], outs[0])?, uniform(image[1], outs[1])?];
                let (kernel_size, stride) = ([kernel_h, kernel_w], [stride_h, stride_w]);
                Ok(PaddedWindow { kernel_size, stride, padding: [[0, 0]; 2] })
            }
        }
    }

    /// Kernel size, stride and padding; zeros for adaptive windows.
    pub(crate) fn sliding(&self) -> ([usize; 2], [usize; 2], [usize; 2]) {
        match *self {
            Window::Sliding { kernel_size, stride, padding, .. } => (kernel_size, stride, padding),
            Window::Adaptive { .. } => Default::default(),
        }
    }

    /// Number of windows in an image of this size, or why there are none.
    pub(super) fn output_size(&self, image: [usize; 2]) -> Result<[usize; 2], String> {
        match *self {
            Window::Adaptive { output_size } => {
                if output_size.contains(&0) {
                    return Err(format!("expected an output size of at least 1, found {output_size:?}"));
                }
                // Kernels multiply the image side by a window index, and a pixel index by the number of windows.
                for (outs, side) in output_size.into_iter().zip(image) {
                    let largest = (outs as u128 + 1) * (side as u128 + 1);
                    if largest > u128::from(u32::MAX) {
                        return Err(format!(
                            "expected an output size whose product with the image side is below 2^32, found {outs} and {side}"
                        ));
                    }
                }
                Ok(output_size)
            }
            Window::Sliding { kernel_size, stride, padding, ceil_mode } => {
                if padding[0] > kernel_size[0] / 2 || padding[1] > kernel_size[1] / 2 {
                    return Err(format!(
                        "expected a padding of at most half the kernel {kernel_size:?}, found {padding:?}"
                    ));
                }
                let axis = |i| output_size(image[i], kernel_size[i], stride[i], padding[i], 1, ceil_mode);
                Ok([axis(0)? as usize, axis(1)? as usize])
            }
        }
    }
}

/// Size and stride of adaptive windows along an axis, if all are equal.
fn uniform(size: usize, outs: usize) -> Result<(usize, usize), String> {
    let window = |o: usize| (o * size / outs, ((o + 1) * size).div_ceil(outs));
    let (_, extent) = window(0);
    let stride = if outs > 1 { window(1).0 } else { extent };
    match (0..outs).all(|o| window(o) == (o * stride, o * stride + extent)) {
        true => Ok((extent, stride)),
        false => Err(format!("the windows that divide {size} pixels into {outs} differ in size or distance")),
    }
}

/// Number of windows over `size` pixels: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. `ceil_mode` rounds up
/// unless the last window would start in the right padding (PyTorch's rule).
pub(super) fn output_size(
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil_mode: bool,
) -> Result<u32, String> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err(format!(
            "expected kernel size, stride and dilation of at least 1, found {kernel}, {stride} and {dilation}"
        ));
    }
    let wide = |what, size| narrow(what, size).map(u64::from);
    let (size, padding) = (wide("an image's side", size)?, wide("a padding", padding)?);
    let (kernel, dilation) = (wide("a kernel size", kernel)?, wide("a dilation", dilation)?);
    let stride = wide("a stride", stride)?;
    let padded = size + 2 * padding;
    // Kernels count pixels from the start of the padding.
    if padded > MAX_SIZE as u64 {
        return Err(format!(
            "expected an image of at most {MAX_SIZE} pixels per side with its padding, found {padded}"
        ));
    }
    let extent = dilation * (kernel - 1) + 1;
    let Some(room) = padded.checked_sub(extent) else {
        return Err(format!(
            "the kernel covers {extent} pixels, but the image has {size} and {padding} of padding on each side; use a larger image, more padding or a smaller kernel"
        ));
    };
    let windows = if ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
    let beyond = ceil_mode && (windows - 1) * stride >= size + padding;
    Ok(u32::try_from(windows - u64::from(beyond))
        .expect("there are at most as many windows as padded pixels, which fit in 31 bits"))
}

#[cfg(test)]
mod tests {
    use super::{Window, output_size};

    #[test]
    fn output_sizes_match_pytorch() {
        assert_eq!(output_size(227, 11, 4, 0, 1, false), Ok(55));
        assert_eq!(output_size(224, 7, 2, 3, 1, false), Ok(112));
        assert_eq!(output_size(112, 3, 2, 0, 1, true), Ok(56));
        assert_eq!(output_size(5, 2, 3, 1, 1, true), Ok(2)); // a third window would start in the right padding
        assert_eq!(output_size(4, 1, 4, 0, 1, true), Ok(1));
        assert_eq!(output_size(7, 3, 1, 0, 3, false), Ok(1));
        assert!(output_size(6, 3, 1, 0, 3, false).is_err());
        assert!(output_size(6, 3, 0, 0, 1, false).is_err());
    }

    #[test]
    fn padded_windows_cover_the_same_pixels() {
        let sliding = |kernel: usize, stride: usize, padding: usize, ceil_mode| Window::Sliding {
            kernel_size: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            ceil_mode,
        };
        for size in 1..40 {
            for kernel in 1..=size.min(7) {
                for (stride, padding, ceil) in
                    (1..5).flat_map(|s| (0..=kernel / 2).flat_map(move |p| [(s, p, false), (s, p, true)]))
                {
                    let window = sliding(kernel, stride, padding, ceil);
                    let [count, _] = window.output_size([size; 2]).unwrap();
                    let [before, after] = window.padded([size; 2]).unwrap().padding.map(|pair| pair[0]);
                    let case = format!("{size} pixels, {window:?}: {before} and {after}");
                    assert_eq!((size + before + after - kernel) / stride + 1, count, "{case}");
                    assert!(before == padding && after >= padding && after < kernel, "{case}");
                }
            }
        }
        let adaptive = |size, outs| {
            let padded = Window::Adaptive { output_size: [outs; 2] }.padded([size; 2]).ok()?;
            Some((padded.kernel_size[0], padded.stride[0]))
        };
        assert_eq!([adaptive(6, 6), adaptive(12, 6), adaptive(7, 1)], [(1, 1), (2, 2), (7, 7)].map(Some));
        assert_eq!((adaptive(7, 6), adaptive(8, 6)), (Some((2, 1)), None));
    }
}

//! What GoogLeNet is built of: modules of four branches side by side (Szegedy et al. 2014, figure 2b).

use crate::Result;
use crate::graph::ValueId;
use crate::nn::{BatchNorm2d, Builder, Conv2d};
use crate::op::MaxPool2d;

/// An inception module of any width: four branches, whose results are joined along the channels. Parameter names are
/// torchvision's.
///
/// ```
/// use striate::models::Inception;
/// use striate::nn::{Builder, Mode};
///
/// let mut b = Builder::new(Mode::Train);
/// let x = b.images([2, 32, 14, 14])?;
/// let module = Inception { one: 8, three: [12, 16], five: [4, 8], pooled: 8, ..Default::default() };
/// let y = b.scoped("inception1", |b| module.build(b, x))?;
/// assert_eq!(b.graph.shape(y), [2, module.out_channels(), 14, 14]);
/// assert!(b.graph.find_persistent("inception1.branch2.1.conv.weight").is_some());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inception {
    /// Filters of the 1 x 1.
    pub one: usize,
    /// Filters of the 1 x 1 before the 3 x 3, and of the 3 x 3.
    pub three: [usize; 2],
    /// Filters of the 1 x 1 before the 5 x 5, and of the 5 x 5.
    pub five: [usize; 2],
    /// Filters of the 1 x 1 after the pooling.
    pub pooled: usize,
    /// Side of the third branch's window, an odd number: 5, or 3 as torchvision has it.
    pub five_size: usize,
    /// Whether convolutions have batch norm rather than a bias.
    pub batch_norm: bool,
}

impl Default for Inception {
    /// The first module of torchvision's GoogLeNet.
    fn default() -> Self {
        let (three, five) = ([96, 128], [16, 32]);
        Self { one: 64, three, five, pooled: 32, five_size: 3, batch_norm: true }
    }
}

impl Inception {
    /// Channels of the result.
    pub fn out_channels(&self) -> usize {
        self.one + self.three[1] + self.five[1] + self.pooled
    }

    /// Adds the module to `x`, in the current scope.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if `x` is too small for its windows.
    pub fn build(&self, b: &mut Builder, x: ValueId) -> Result<ValueId> {
        let conv = |kernel, filters| ConvRelu { kernel, filters, stride: 1, batch_norm: self.batch_norm };
        let first = conv(1, self.one).build(b, "branch1", x)?;
        let mut second = conv(1, self.three[0]).build(b, "branch2.0", x)?;
        second = conv(3, self.three[1]).build(b, "branch2.1", second)?;
        let mut third = conv(1, self.five[0]).build(b, "branch3.0", x)?;
        third = conv(self.five_size, self.five[1]).build(b, "branch3.1", third)?;
        let around =
            MaxPool2d { kernel_size: [3, 3], stride: Some([1, 1]), padding: [1, 1], ceil_mode: true };
        let mut fourth = b.scoped("branch4.0", |b| b.max_pool2d(x, around))?;
        fourth = conv(1, self.pooled).build(b, "branch4.1", fourth)?;
        b.concat(&[first, second, third, fourth])
    }
}

/// A convolution of square filters that keep the size of an image at stride 1, batch norm, and relu.
pub(super) struct ConvRelu {
    pub kernel: usize,
    pub filters: usize,
    pub stride: usize,
    /// Else the convolution has a bias.
    pub batch_norm: bool,
}

impl ConvRelu {
    pub fn build(&self, b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
        let Self { kernel, filters, stride, batch_norm } = *self;
        let conv = Conv2d {
            in_channels: b.graph.shape(x)[1],
            out_channels: filters,
            kernel_size: [kernel, kernel],
            stride: [stride, stride],
            padding: [kernel / 2, kernel / 2],
            bias: !batch_norm,
            ..Default::default()
        };
        b.scoped(name, |b| {
            let mut x = b.conv2d("conv", x, conv)?;
            if batch_norm {
                x =
                    b.batch_norm2d("bn", x, BatchNorm2d { num_features: filters, eps: 1e-3, momentum: 0.1 })?;
            }
            b.relu(x)
        })
    }
}

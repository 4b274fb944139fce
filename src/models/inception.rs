//! Inception modules: four parallel branches (Szegedy et al. 2014, figure 2b).

use super::layers::square;
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{BatchNorm2d, Builder, Conv2d};
use crate::op::MaxPool2d;

/// An inception module of any width: four branches whose outputs are concatenated along the channels. Parameter names
/// are torchvision's.
///
/// ```
/// use striate::models::Inception;
/// use striate::nn::{Builder, Mode};
///
/// let mut b = Builder::new(Mode::Train);
/// let x = b.images([2, 32, 14, 14])?;
/// let module = Inception { conv1x1: 8, conv3x3: [12, 16], conv5x5: [4, 8], pool_proj: 8, ..Default::default() };
/// let y = b.scoped("inception1", |b| module.build(b, x))?;
/// assert_eq!(b.graph.shape(y), [2, module.out_channels(), 14, 14]);
/// assert!(b.graph.find_persistent("inception1.branch2.1.conv.weight").is_some());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inception {
    /// Filters of the 1 x 1 convolution.
    pub conv1x1: usize,
    /// Filters of the 1 x 1 reduction before the 3 x 3 convolution, and of the 3 x 3 convolution.
    pub conv3x3: [usize; 2],
    /// Filters of the 1 x 1 reduction before the 5 x 5 convolution, and of the 5 x 5 convolution.
    pub conv5x5: [usize; 2],
    /// Filters of the 1 x 1 projection after pooling.
    pub pool_proj: usize,
    /// Kernel size of the "5 x 5" convolution, odd: 5 in the paper, 3 in torchvision.
    pub conv5x5_kernel: usize,
    /// Batch norm after each convolution instead of a bias.
    pub batch_norm: bool,
}

impl Default for Inception {
    /// The first module of torchvision's GoogLeNet.
    fn default() -> Self {
        let (conv3x3, conv5x5) = ([96, 128], [16, 32]);
        Self { conv1x1: 64, conv3x3, conv5x5, pool_proj: 32, conv5x5_kernel: 3, batch_norm: true }
    }
}

impl Inception {
    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.conv1x1 + self.conv3x3[1] + self.conv5x5[1] + self.pool_proj
    }

    /// Adds the module to `x`, in the current scope.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if `x` is smaller than a kernel.
    pub fn build(&self, b: &mut Builder, x: ValueId) -> Result<ValueId> {
        let conv = |kernel, filters| ConvRelu { kernel, filters, stride: 1, batch_norm: self.batch_norm };
        let branch1 = conv(1, self.conv1x1).build(b, "branch1", x)?;
        let branch2 = conv(1, self.conv3x3[0]).build(b, "branch2.0", x)?;
        let branch2 = conv(3, self.conv3x3[1]).build(b, "branch2.1", branch2)?;
        let branch3 = conv(1, self.conv5x5[0]).build(b, "branch3.0", x)?;
        let branch3 = conv(self.conv5x5_kernel, self.conv5x5[1]).build(b, "branch3.1", branch3)?;
        let pool = MaxPool2d { kernel_size: [3, 3], stride: Some([1, 1]), padding: [1, 1], ceil_mode: true };
        let branch4 = b.scoped("branch4.0", |b| b.max_pool2d(x, pool))?;
        let branch4 = conv(1, self.pool_proj).build(b, "branch4.1", branch4)?;
        b.concat(&[branch1, branch2, branch3, branch4])
    }
}

/// A square convolution, batch norm or bias, and ReLU.
pub(super) struct ConvRelu {
    pub kernel: usize,
    pub filters: usize,
    pub stride: usize,
    pub batch_norm: bool,
}

impl ConvRelu {
    pub fn build(&self, b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
        let Self { kernel, filters, stride, batch_norm } = *self;
        let layer = square([b.graph.shape(x)[1], filters], kernel);
        let conv = Conv2d { stride: [stride, stride], bias: !batch_norm, ..layer };
        b.scoped(name, |b| {
            let mut x = b.conv2d("conv", x, conv)?;
            if batch_norm {
                let norm = BatchNorm2d { num_features: filters, eps: 1e-3, ..Default::default() };
                x = b.batch_norm2d("bn", x, norm)?;
            }
            b.relu(x)
        })
    }
}

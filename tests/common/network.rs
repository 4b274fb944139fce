//! Networks for tests.

use striate::Result;
use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::Builder;

/// A network with a given forward pass.
pub struct Network<F> {
    pub name: &'static str,
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    pub classes: usize,
    pub forward: F,
}

impl<F: Fn(&mut Builder, ValueId) -> Result<ValueId>> Model for Network<F> {
    fn name(&self) -> String {
        self.name.into()
    }

    fn in_channels(&self) -> usize {
        self.input[0]
    }

    fn input_size(&self) -> [usize; 2] {
        [self.input[1], self.input[2]]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        (self.forward)(b, images)
    }
}

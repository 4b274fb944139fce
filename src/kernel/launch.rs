//! The bindings and the size of a launch.

use super::Kernel;
use crate::{Error, Result};

/// A region of device memory that launches bind: an index into [`Plan::storages`](crate::plan::Plan::storages).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StorageId(pub(crate) u32);

impl StorageId {
    /// Index into [`Plan::storages`](crate::plan::Plan::storages).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The size of a launch.
#[derive(Clone, Copy, Debug)]
pub enum Grid {
    /// This many workgroups.
    Workgroups(u64),
    /// This many invocations, rounded up to workgroups.
    Invocations(u64),
}

impl Grid {
    /// One invocation per four of `len` elements.
    pub fn vec4(len: usize) -> Self {
        Grid::Invocations(len.div_ceil(4) as u64)
    }

    /// Workgroups in x, y and z, at most `limit` in each.
    pub(crate) fn workgroups(self, kernel: &Kernel, limit: u32) -> Result<[u32; 3]> {
        let count = match self {
            Grid::Workgroups(n) => n,
            Grid::Invocations(n) => n.div_ceil(kernel.threads as u64),
        };
        fold(count, limit)
            .ok_or_else(|| Error::TooLarge(format!("kernel {} would need {count} workgroups", kernel.name)))
    }
}

/// Folds a number of workgroups over x and y; `None` if y exceeds the limit too.
fn fold(count: u64, limit: u32) -> Option<[u32; 3]> {
    let y = count.div_ceil(limit as u64).max(1);
    let x = count.div_ceil(y).max(1);
    (y <= limit as u64).then_some([x as u32, y as u32, 1])
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn workgroups_fold_past_a_dimensions_limit() {
        assert_eq!(fold(1, 65_535), Some([1, 1, 1]));
        assert_eq!(fold(65_535, 65_535), Some([65_535, 1, 1]));
        assert_eq!(fold(65_536, 65_535), Some([32_768, 2, 1]));
        assert_eq!(fold(200_000, 65_535), Some([50_000, 4, 1]));
        assert_eq!(fold(65_535 * 65_535 + 1, 65_535), None);
    }
}

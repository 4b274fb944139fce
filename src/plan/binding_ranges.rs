//! Values larger than a binding. Each is one buffer, of which a launch binds a range.

use super::lower::{Builder, launch};
use super::{Launch, Placement, locate};
use crate::Result;
use crate::kernel::{Grid, Kernel, Params, StorageId};
use crate::op::to_u32;
use std::ops::Range;

/// Binding offsets must be multiples of this many bytes; no adapter requires more (WebGPU's
/// `minStorageBufferOffsetAlignment`).
pub(super) const ALIGNMENT: u64 = 256;

/// The same, in elements.
pub(crate) const ALIGNMENT_ELEMENTS: usize = ALIGNMENT as usize / 4;

impl Builder<'_> {
    /// Elements of the largest range that fits a binding and keeps the next one aligned.
    pub(super) fn max_binding_elements(&self) -> usize {
        let most = usize::try_from(self.target.binding_limit() / 4).unwrap_or(usize::MAX);
        (most / ALIGNMENT_ELEMENTS * ALIGNMENT_ELEMENTS).max(ALIGNMENT_ELEMENTS)
    }

    /// A range of a storage, which must start at a binding's alignment. Equal ranges share one storage.
    pub(super) fn bind_range(&mut self, of: StorageId, elements: Range<usize>) -> StorageId {
        let (start, bytes) = (4 * elements.start as u64, 4 * elements.len() as u64);
        if bytes == self.storages[of.index()].bytes {
            return of;
        }
        let (whole, offset) = locate(&self.storages, of);
        let placement = Placement::Within { whole, offset: offset + start };
        if let Some(part) = self.ranges.get(&(whole, offset + start, bytes)) {
            return *part;
        }
        let label = self.storages[of.index()].label.clone();
        let part = self.storage(label, bytes, placement);
        self.ranges.insert((whole, offset + start, bytes), part);
        part
    }

    /// See [`Lowering::launch_elementwise`](crate::op::Lowering::launch_elementwise).
    pub(super) fn launch_elementwise<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()> {
        let bytes = self.storages[writes[0].index()].bytes;
        let (len, most) = (bytes as usize / 4, self.max_binding_elements());
        for start in (0..len).step_by(most) {
            let piece = start..len.min(start + most);
            let mut part = |id: &StorageId| match self.storages[id.index()].bytes == bytes {
                true => self.bind_range(*id, piece.clone()),
                false => *id,
            };
            let reads: Vec<StorageId> = reads.iter().map(&mut part).collect();
            let writes: Vec<StorageId> = writes.iter().map(&mut part).collect();
            let count = piece.len() as u64;
            let again = if in_place { 4 * count * writes.len() as u64 } else { 0 };
            let launch =
                launch(self, kernel, &params(to_u32(piece.len())), &reads, &writes, Grid::vec4(piece.len()))?;
            self.launches.push(Launch { flops: flops * count, bytes: launch.bytes + again, ..launch });
        }
        Ok(())
    }
}

//! Values larger than a binding: their storages are one buffer each, of which a launch binds a part.

use super::lower::{Builder, launch};
use super::{Launch, Place, locate};
use crate::Result;
use crate::kernel::{Grid, Kernel, Params, StorageId};
use crate::op::word;
use std::ops::Range;

/// Every binding starts at a multiple of so many bytes: no adapter may ask for more (WebGPU's
/// `minStorageBufferOffsetAlignment`).
pub(super) const ALIGNMENT: u64 = 256;

/// The same in elements.
pub(crate) const ALIGNED: usize = ALIGNMENT as usize / 4;

impl Builder<'_> {
    /// Elements of the largest part that a binding holds from an aligned start, and after which the next part starts aligned.
    pub(super) fn most_elements(&self) -> usize {
        let most = usize::try_from(self.target.binding_limit() / 4).unwrap_or(usize::MAX);
        (most / ALIGNED * ALIGNED).max(ALIGNED)
    }

    /// A part of a storage, which starts where a binding can. Equal parts are one storage.
    pub(super) fn part(&mut self, of: StorageId, elements: Range<usize>) -> StorageId {
        let (start, bytes) = (4 * elements.start as u64, 4 * elements.len() as u64);
        if bytes == self.storages[of.index()].bytes {
            return of;
        }
        let (whole, offset) = locate(&self.storages, of);
        let place = Place::Within { whole, offset: offset + start };
        if let Some(part) = self.parts.get(&(whole, offset + start, bytes)) {
            return *part;
        }
        let label = self.storages[of.index()].label.clone();
        let part = self.storage(label, bytes, place);
        self.parts.insert((whole, offset + start, bytes), part);
        part
    }

    /// See [`Lowering::launch_each`](crate::op::Lowering::launch_each).
    pub(super) fn launch_each<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()> {
        let bytes = self.storages[writes[0].index()].bytes;
        let (len, most) = (bytes as usize / 4, self.most_elements());
        for start in (0..len).step_by(most) {
            let piece = start..len.min(start + most);
            let mut part = |id: &StorageId| match self.storages[id.index()].bytes == bytes {
                true => self.part(*id, piece.clone()),
                false => *id,
            };
            let reads: Vec<StorageId> = reads.iter().map(&mut part).collect();
            let writes: Vec<StorageId> = writes.iter().map(&mut part).collect();
            let count = piece.len() as u64;
            let again = if in_place { 4 * count * writes.len() as u64 } else { 0 };
            let launch =
                launch(self, kernel, &params(word(piece.len())), &reads, &writes, Grid::vec4(piece.len()))?;
            self.launches.push(Launch { flops: flops * count, bytes: launch.bytes + again, ..launch });
        }
        Ok(())
    }
}

//! Fuses the first pass of batch norm into the convolution before it, which has the results in registers: a variant of its kernel
//! also writes partial moments, one for each column of tiles.

use super::{Group, Launch, Storage, Target, locate, remove_launches};
use crate::kernel::{BatchNorm, ConvGemm, Kernel};
use crate::op::to_u32;

/// Maximum number of partial moments per channel. Every workgroup of the last pass of batch norm merges all of its channel, which
/// must stay cheap compared with the 2048 or more elements that it then normalizes.
const MAX_PARTIALS: u64 = 1024;

/// Fuses where possible, and removes the launches that are no longer needed.
pub(super) fn fuse(
    storages: &mut [Storage],
    launches: &mut Vec<Launch>,
    groups: &mut [Group],
    target: &Target,
) {
    let mut removed = vec![false; launches.len()];
    for at in 0..launches.len() {
        let Some(convolution) = convolution(storages, launches, at) else { continue };
        let Some((kernel, pixels_per_slice)) = variant(&launches[convolution], target) else { continue };
        let p: &mut ConvGemm = launches[convolution].params_mut();
        let pixels = u64::from(p.batch) * u64::from(p.out_h * p.out_w);
        let partials = pixels.div_ceil(u64::from(pixels_per_slice));
        if partials > MAX_PARTIALS {
            continue;
        }
        let partials = to_u32(partials as usize);
        p.pixels_per_slice = pixels_per_slice;
        let (moments, flops) = (launches[at].writes[0], launches[at].flops);
        let p: &mut BatchNorm = launches[at + 1].params_mut();
        p.partials = partials;
        let storage = &mut storages[moments.index()];
        let before = std::mem::replace(&mut storage.bytes, 12 * u64::from(partials * p.channels));
        let bytes = storage.bytes;
        launches[at + 1].bytes += bytes - before;
        let launch = &mut launches[convolution];
        launch.kernel = kernel;
        launch.writes.push(moments);
        launch.flops += flops;
        launch.bytes += bytes;
        removed[at] = true;
    }
    remove_launches(launches, groups, &removed);
}

/// The convolution that alone computes what launch `at` reads, if that is the first pass of batch norm. In plans for software adapters,
/// a launch follows in which one invocation merges all moments of a channel, so there should be few.
fn convolution(storages: &[Storage], launches: &[Launch], at: usize) -> Option<usize> {
    let [first, last, ..] = &launches[at..] else { return None };
    if first.kernel.entry != "batch_norm_partial" || last.kernel.entry != "batch_norm_merge_apply" {
        return None;
    }
    let x = first.reads[0];
    let whole = |id| locate(storages, id).0;
    let writes_x = |i: &usize| launches[*i].writes.iter().any(|id| whole(*id) == whole(x));
    let mut writers = (0..at).filter(writes_x);
    let writer = writers.next().filter(|i| launches[*i].writes == [x]);
    writer.filter(|_| writers.next().is_none())
}

/// The variant of a launch's kernel that also computes moments, and the number of pixels in a column of its tiles.
fn variant(launch: &Launch, target: &Target) -> Option<(&'static Kernel, u32)> {
    let kernel = launch.kernel.with_moments().filter(|kernel| target.allows(kernel))?;
    let p: &ConvGemm = launch.params();
    (p.has_bias == 0 && p.epilogue == 0).then(|| (kernel, kernel.constant("tile_n")))
}

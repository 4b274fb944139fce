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
        let Some(kernel) = variant(&launches[convolution], &launches[at], target) else { continue };
        let p: &mut ConvGemm = launches[convolution].params_mut();
        p.pixels_per_slice = kernel.constant("tile_n");
        let pixels = u64::from(p.batch) * u64::from(p.out_h * p.out_w);
        let (moments, flops) = (launches[at].writes[0], launches[at].flops);
        let norm: &mut BatchNorm = launches[at + 1].params_mut();
        norm.partials = to_u32(pixels.div_ceil(u64::from(kernel.constant("tile_n"))) as usize);
        let storage = &mut storages[moments.index()];
        let before = std::mem::replace(&mut storage.bytes, 12 * u64::from(norm.partials * norm.channels));
        let bytes = storage.bytes;
        launches[at + 1].bytes = launches[at + 1].bytes - before + bytes;
        let launch = &mut launches[convolution];
        launch.kernel = kernel;
        launch.writes.push(moments);
        launch.flops += flops;
        launch.bytes += bytes;
        removed[at] = true;
    }
    remove_launches(launches, groups, &removed);
}

/// The launch that alone computes what launch `at` reads, if that is the first pass of batch norm. Only where the last pass merges the
/// moments: on software adapters, one invocation merges those of a channel, so there should be few.
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

/// The variant of a launch's kernel that also computes the moments for `norm`, if it has one and its tiles are few enough.
fn variant(launch: &Launch, norm: &Launch, target: &Target) -> Option<&'static Kernel> {
    let kernel = launch.kernel.with_moments().filter(|kernel| target.allows(kernel))?;
    let (p, norm) = (launch.params::<ConvGemm>(), norm.params::<BatchNorm>());
    // Batch norm may see another shape, through a view. Each phase of an input gradient has fewer pixels.
    let shape = [p.batch, p.groups * p.out_channels, p.out_h * p.out_w];
    let is_plain = p.has_bias == 0 && p.epilogue == 0;
    let pixels = u64::from(p.batch) * u64::from(p.out_h * p.out_w);
    let is_small = pixels <= MAX_PARTIALS * u64::from(kernel.constant("tile_n"));
    (is_plain && is_small && shape == [norm.batch, norm.channels, norm.pixels]).then_some(kernel)
}

//! Conversion of sizes to `u32`, which kernels use.

/// The largest size or setting of an operation, and the largest number of elements of a tensor. Kernels compute addresses in `u32`
/// and may overshoot by up to a workgroup; this limit leaves room for that.
pub(crate) const MAX_SIZE: usize = i32::MAX as usize;

/// Converts a size or setting. Everything that users pass in goes through here when it enters a graph: settings in the `infer` of
/// their operation, tensor sizes in [`Graph`](crate::graph::Graph).
pub(crate) fn narrow(what: &str, size: usize) -> Result<u32, String> {
    match u32::try_from(size) {
        Ok(narrow) if size <= MAX_SIZE => Ok(narrow),
        _ => Err(format!("expected {what} of at most {MAX_SIZE}, found {size}")),
    }
}

/// Converts a size that was checked when it entered a graph, or one derived from such sizes.
pub(crate) fn to_u32(size: usize) -> u32 {
    size.try_into().expect("sizes are checked where they enter a graph")
}

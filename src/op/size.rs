//! Sizes in 32 bits, as kernels count.

/// The largest size or setting of an operation, and the most elements of a tensor. Kernels count in 32 bits and go past the end by
/// as much as a workgroup: what these hold beyond is left for that.
pub(crate) const LARGEST: usize = i32::MAX as usize;

/// A size or setting as kernels have it. Whatever a user gives passes here when it enters a graph: an operation's settings in its
/// `infer`, a tensor's elements in [`Graph`](crate::graph::Graph).
pub(crate) fn narrow(what: &str, size: usize) -> Result<u32, String> {
    match u32::try_from(size) {
        Ok(narrow) if size <= LARGEST => Ok(narrow),
        _ => Err(format!("expected {what} of at most {LARGEST}, found {size}")),
    }
}

/// A size that was let into a graph, or one that follows from such: no larger than a tensor of the graph.
pub(crate) fn word(size: usize) -> u32 {
    size.try_into().expect("sizes are checked where they enter a graph")
}

//! A twin's bindings.

/// The buffers bound to a launch on the CPU, as 32-bit words.
pub struct Io<'a> {
    /// Read-only bindings in order.
    pub reads: Vec<&'a [u32]>,
    /// Read-write bindings in order.
    pub writes: Vec<&'a mut [u32]>,
}

impl<'a> Io<'a> {
    /// The bindings as words. Panics if their number does not match, which means that a kernel's row and its twin disagree.
    pub fn words<const R: usize, const W: usize>(self) -> ([&'a [u32]; R], [&'a mut [u32]; W]) {
        let reads =
            self.reads.try_into().expect("the kernel's row and its twin have the same number of reads");
        let writes = self.writes.try_into().map_err(|_| ());
        (reads, writes.expect("the kernel's row and its twin have the same number of writes"))
    }

    /// The bindings as floats.
    pub fn f32<const R: usize, const W: usize>(self) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
        let (reads, writes) = self.words();
        (reads.map(bytemuck::cast_slice), writes.map(bytemuck::cast_slice_mut))
    }
}

// The parameters of matmul_tiled.wgsl and matmul_registers.wgsl, a strided, batched matrix product. Their headers define the
// element addresses.
// Prepended to the shaders that use it; it has no entry point, so no dispatch.

struct Matmul {
    m: u32, n: u32, k: u32, reduce: u32, batches: u32, inner: u32,
    a_offset: u32, a_row: u32, a_col: u32, a_reduce: u32, a_outer: u32, a_inner: u32,
    b_offset: u32, b_row: u32, b_col: u32, b_reduce: u32, b_outer: u32, b_inner: u32,
    c_offset: u32, c_row: u32, c_outer: u32, c_inner: u32,
    bias: u32, reduce_total: u32,
}

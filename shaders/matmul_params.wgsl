// The parameters of matmul_tiled.wgsl and matmul_registers.wgsl, a strided, batched matrix product:
//
//   c[o, g][i, j] = bias + sum over r < reduce, t < k of  a[o, g, r][i, t] * b[o, g, r][t, j]
//
// for i < m, j < n, and batches numbered o * inner + g. Element addresses:
//
//   a: a_offset + o * a_outer + g * a_inner + r * a_reduce + i * a_row + t * a_col
//   b: b_offset + o * b_outer + g * b_inner + r * b_reduce + t * b_row + j * b_col
//   c: c_offset + o * c_outer + g * c_inner + i * c_row + j
//
// Strides express transposes, a stride of 0 broadcasts an operand over batches, and `reduce` sums the products of several
// images into one result (a weight gradient). The last slice o sums only the remaining reduce_total - o * reduce of them.
// bias: 0 none, 1 bias[j], 2 bias[g * m + i].
// Prepended to the shaders that use it.

struct Matmul {
    m: u32, n: u32, k: u32, reduce: u32, batches: u32, inner: u32,
    a_offset: u32, a_row: u32, a_col: u32, a_reduce: u32, a_outer: u32, a_inner: u32,
    b_offset: u32, b_row: u32, b_col: u32, b_reduce: u32, b_outer: u32, b_inner: u32,
    c_offset: u32, c_row: u32, c_outer: u32, c_inner: u32,
    bias: u32, reduce_total: u32,
    first_workgroup: u32,
}

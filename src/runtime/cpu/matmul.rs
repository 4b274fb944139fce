//! Twins of `matmul_tiled.wgsl` and `matmul_registers.wgsl`, which compute the same.

use super::{Io, disjoint};
use crate::kernel::Matmul;
use gemm::Parallelism;
use rayon::prelude::*;

/// c = a b + bias for each batch, with strided operands.
pub fn matmul(p: &Matmul, io: Io<'_>) {
    let ([a, b, bias], [c]) = io.f32();
    let (m, n) = (p.m as usize, p.n as usize);
    let ranges = (0..p.batches as usize * m).map(|row| {
        let start = Batch::new(p, row / m).c + row % m * p.c_row as usize;
        start..start + n
    });
    let rows = disjoint(c, ranges.collect()).expect("the rows of a product do not overlap");
    rows.into_par_iter().enumerate().for_each(|(row, out)| {
        let (batch, i) = (Batch::new(p, row / m), row % m);
        let mut sums: Vec<f64> = (0..n).map(|j| f64::from(batch.bias(p, bias, i, j))).collect();
        for (r, t) in (0..batch.steps).flat_map(|r| (0..p.k as usize).map(move |t| (r, t))) {
            let left =
                f64::from(a[batch.a + r * p.a_reduce as usize + i * p.a_row as usize + t * p.a_col as usize]);
            let right = batch.b + r * p.b_reduce as usize + t * p.b_row as usize;
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum += left * f64::from(b[right + j * p.b_col as usize]);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    });
}

/// Like [`matmul()`], with the `gemm` crate: many batches run in parallel, few batches use all threads each.
pub fn matmul_fast(p: &Matmul, io: Io<'_>) {
    let ([a, b, bias], [c]) = io.f32();
    let batches = p.batches as usize;
    if p.m == 0 || p.n == 0 || batches == 0 {
        return;
    }
    let extent = (p.m as usize - 1) * p.c_row as usize + p.n as usize;
    let ranges: Vec<_> = (0..batches).map(|o| Batch::new(p, o).c).map(|at| at..at + extent).collect();
    if batches >= rayon::current_num_threads()
        && let Some(parts) = disjoint(c, ranges.clone())
    {
        parts.into_par_iter().enumerate().for_each(|(batch, c)| {
            product(p, &Batch::new(p, batch), [a, b, bias], c, Parallelism::None);
        });
        return;
    }
    for (batch, range) in ranges.into_iter().enumerate() {
        product(p, &Batch::new(p, batch), [a, b, bias], &mut c[range], Parallelism::Rayon(0));
    }
}

/// Offsets of one batch.
struct Batch {
    a: usize,
    b: usize,
    c: usize,
    inner: usize,
    /// Terms of each sum; fewer in the last slice.
    steps: usize,
}

impl Batch {
    fn new(p: &Matmul, batch: usize) -> Self {
        let (o, g) = (batch / p.inner as usize, batch % p.inner as usize);
        let at =
            |offset: u32, outer: u32, inner: u32| offset as usize + o * outer as usize + g * inner as usize;
        Self {
            a: at(p.a_offset, p.a_outer, p.a_inner),
            b: at(p.b_offset, p.b_outer, p.b_inner),
            c: at(p.c_offset, p.c_outer, p.c_inner),
            inner: g,
            steps: (p.reduce_total as usize).saturating_sub(o * p.reduce as usize).min(p.reduce as usize),
        }
    }

    fn bias(&self, p: &Matmul, bias: &[f32], i: usize, j: usize) -> f32 {
        match p.bias {
            1 => bias[j],
            2 => bias[self.inner * p.m as usize + i],
            _ => 0.0,
        }
    }
}

/// Computes one batch. `c` ranges from its first element to its last.
fn product(p: &Matmul, batch: &Batch, [a, b, bias]: [&[f32]; 3], c: &mut [f32], parallelism: Parallelism) {
    let (m, n, k) = (p.m as usize, p.n as usize, p.k as usize);
    let prefill = p.bias != 0 || k == 0 || batch.steps == 0;
    if prefill {
        for i in 0..m {
            let row = &mut c[i * p.c_row as usize..][..n];
            row.iter_mut().enumerate().for_each(|(j, c)| *c = batch.bias(p, bias, i, j));
        }
    }
    if k == 0 {
        return;
    }
    let extent = |rows: usize, row: u32, cols: usize, col: u32| {
        (rows - 1) * row as usize + (cols - 1) * col as usize + 1
    };
    assert!(c.len() >= extent(m, p.c_row, n, 1), "the result of a product lies inside its buffer");
    for r in 0..batch.steps {
        let a = &a[batch.a + r * p.a_reduce as usize..][..extent(m, p.a_row, k, p.a_col)];
        let b = &b[batch.b + r * p.b_reduce as usize..][..extent(k, p.b_row, n, p.b_col)];
        // SAFETY: every address gemm forms is a pointer below plus i * row + j * col for i, j in range,
        // all nonnegative and at most `extent - 1`; the slices hold `extent` elements (checked by
        // slicing and by the assertion). `c` is borrowed mutably, so nothing else aliases it, and its
        // rows do not overlap unless there is only one. It is read only where it is initialized.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                p.c_row as isize,
                prefill || r > 0,
                a.as_ptr(),
                p.a_col as isize,
                p.a_row as isize,
                b.as_ptr(),
                p.b_col as isize,
                p.b_row as isize,
                1.0f32,
                1.0f32,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::{assert_close, noise, run};

    #[test]
    fn a_small_product_is_exact() {
        let p = Matmul {
            m: 2,
            n: 2,
            k: 2,
            reduce: 1,
            batches: 1,
            inner: 1,
            reduce_total: 1,
            bias: 1,
            ..row_major(2, 2, 2)
        };
        let mut c = [0.0; 4];
        run(matmul, &p, &[&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &[100.0, 200.0]], &mut c);
        assert_eq!(c, [119.0, 222.0, 143.0, 250.0]);
    }

    fn row_major(m: u32, n: u32, k: u32) -> Matmul {
        let (a_row, a_col, b_row, b_col, c_row) = (k, 1, n, 1, n);
        let one = Matmul { reduce: 1, batches: 1, inner: 1, reduce_total: 1, ..Default::default() };
        Matmul { m, n, k, a_row, a_col, b_row, b_col, c_row, ..one }
    }

    /// Operands packed as [outer, inner, reduce, matrix] with gaps, results with a gap after each row.
    fn case(m: u32, n: u32, k: u32, [outer, inner, reduce, bias]: [u32; 4], transposes: u32) -> Matmul {
        let mut p = row_major(m, n, k);
        if transposes & 1 != 0 {
            (p.a_row, p.a_col) = (1, m);
        }
        if transposes & 2 != 0 {
            (p.b_row, p.b_col) = (1, k);
        }
        (p.reduce, p.batches, p.inner, p.bias) = (reduce, outer * inner, inner, bias);
        // The last slice has one product fewer than the others, if they have several.
        p.reduce_total = outer * reduce - u32::from(reduce > 1);
        (p.a_offset, p.b_offset, p.c_offset, p.c_row) = (3, 5, 7, n + 2);
        (p.a_reduce, p.b_reduce) = (m * k + 1, k * n + 2);
        (p.a_inner, p.b_inner, p.c_inner) = (p.a_reduce * reduce, p.b_reduce * reduce, p.c_row * m + 1);
        (p.a_outer, p.b_outer, p.c_outer) = (p.a_inner * inner, p.b_inner * inner, p.c_inner * inner);
        p
    }

    #[test]
    fn fast_matches_plain_and_writes_only_its_results() {
        let sizes = [(1, 1, 1), (5, 7, 3), (17, 33, 70), (64, 1, 9), (1, 40, 65), (4, 4, 0)];
        let batches = [[1, 1, 1, 0], [3, 2, 1, 2], [2, 1, 3, 1], [5, 3, 2, 0]];
        for (seed, (&(m, n, k), &b)) in
            sizes.iter().flat_map(|s| batches.iter().map(move |b| (s, b))).enumerate()
        {
            for transposes in 0..4 {
                let p = case(m, n, k, b, transposes);
                let len = |offset, outer| (offset + (b[0] + 1) * outer) as usize;
                let a = noise(seed as u32, len(p.a_offset, p.a_outer));
                let b = noise(seed as u32 + 1000, len(p.b_offset, p.b_outer));
                let bias = noise(seed as u32 + 2000, (p.inner * m + n) as usize);
                let mut plain = noise(seed as u32 + 3000, len(p.c_offset, p.c_outer));
                let mut fast = plain.clone();
                run(matmul, &p, &[&a, &b, &bias], &mut plain);
                run(matmul_fast, &p, &[&a, &b, &bias], &mut fast);
                assert_close(&fast, &plain, 2e-5, &format!("seed {seed}, {p:?}"));
            }
        }
    }

    #[test]
    fn results_do_not_depend_on_the_thread_count() {
        let p = case(96, 130, 700, [1, 1, 2, 2], 1);
        let (a, b) = (noise(1, 200_000), noise(2, 300_000));
        let results = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0.0; 20_000];
            pool.install(|| run(matmul_fast, &p, &[&a, &b, &a], &mut c));
            c
        });
        assert_eq!(results[0], results[1]);
    }
}

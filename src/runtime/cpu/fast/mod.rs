//! Fast twins: the plain ones' results up to rounding, with SIMD instructions.
//!
//! `pulp` picks the widest instructions at run time, so one build serves every machine. Work is split over independent
//! results, or into pieces whose sizes depend on shapes alone, so the number of threads changes no bit.

pub mod batch_norm;
pub mod conv;
mod correlation;
mod grad_weight;
mod panel;
mod tile;

//! Fast twins use SIMD instructions and match the plain ones up to rounding.
//!
//! `pulp` picks the widest instructions at run time, so one build serves every machine. Work is split over independent
//! results, or into pieces whose sizes depend on shapes alone, so results do not depend on the number of threads.

pub mod batch_norm;
pub mod conv;
mod correlation;
pub mod elementwise;
pub mod grad_weight;
pub mod local_response_norm;
mod panel;
pub mod pool;
mod scratch;
mod tile;

//! Fast twins: the same results as the plain ones, up to rounding, with the machine's vector registers.
//!
//! `pulp` picks the widest instructions the machine has at run time, so one build suits all. Work is shared out over
//! independent results, or over pieces whose size the geometry alone decides: the number of threads changes no bit.

pub mod batch_norm;
pub mod conv;
mod correlation;
mod grad_weight;
mod panel;
mod tile;

//! The parity table: operations on given inputs, with awkward sizes and values, for the self-test and the parity tests.

mod arrays;
mod case;
mod conv;
mod norms_and_losses;
mod pool;

pub use case::{Around, Case, Lowered};

/// All cases.
pub fn all() -> Vec<Case> {
    [conv::cases(), arrays::cases(), pool::cases(), norms_and_losses::cases()].into_iter().flatten().collect()
}

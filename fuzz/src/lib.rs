//! The properties that the targets call.

#[path = "../../tests/fuzz_corpus/properties/mod.rs"]
#[allow(dead_code, reason = "targets select a property by its name")]
mod properties;

pub use properties::check;

//! Shader templates: one text for a family of kernels, rendered with the constants of a row.

use minijinja::{Environment, UndefinedBehavior, Value};

/// Renders a template to WGSL. Panics on a broken template, which a test rules out for every row.
pub(super) fn fill(
    file: &str,
    template: &str,
    constants: &[(&'static str, u32)],
    threads: u32,
    subgroup: u32,
) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let values = constants.iter().copied().chain([("threads", threads), ("subgroup", subgroup)]);
    let values = Value::from_pairs(values.map(|(name, value)| (name, Value::from(value))));
    environment.render_named_str(file, template, values).unwrap_or_else(|e| panic!("{file}: {e:#}"))
}

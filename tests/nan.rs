//! No shader depends on how NaN compares: WGSL lets compilers assume that there is none, and NVIDIA's evaluates `NaN <= 0` to
//! true. NaN is recognized by its bits, and functions that compare floats are listed here.

use naga::valid::{Capabilities, FunctionInfo, ValidationFlags, Validator};
use naga::{BinaryOperator, Expression, Function, Handle, MathFunction, Module, ScalarKind};
use std::collections::BTreeSet;
use striate::kernel::ALL;

/// Functions that compare floats, and why their results are right for NaN.
const COMPARING: [(&str, &str); 15] = [
    ("better", "false for a NaN found earlier and true for a new one, by bits"),
    ("clip_coefficient", "a NaN is kept by its bits"),
    ("cross_entropy", "label smoothing is a checked setting"),
    ("dropout", "compares a random number with a checked setting"),
    ("line_max", "the sum of exponentials is NaN for any maximum, and so is every result"),
    ("max_pool", "as `better`"),
    ("merge", "compares counts"),
    ("moments_of", "compares counts"),
    ("power", "compares a checked setting"),
    ("probe_ieee", "reports what comparisons do"),
    ("relu_backward", "NaN is recognized by its bits, whatever the comparison says"),
    ("relu_forward", "a NaN is kept by its bits"),
    ("row_max", "the sum of exponentials is NaN for any maximum, and so is every result"),
    ("sgd", "compares checked settings"),
    ("top_k", "NaN logits are recognized by their bits, whatever the comparisons say"),
];

/// Whether a function compares floats, or takes a minimum or maximum of them.
fn compares_floats(module: &Module, function: &Function, info: &FunctionInfo) -> bool {
    use BinaryOperator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    use MathFunction::{Clamp, Max, Min};
    let is_float = |handle: Handle<Expression>| {
        let scalar = info[handle].ty.inner_with(&module.types).scalar();
        scalar.is_some_and(|scalar| scalar.kind == ScalarKind::Float)
    };
    function.expressions.iter().any(|(_, expression)| match expression {
        Expression::Binary {
            op: Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual, left, ..
        } => is_float(*left),
        Expression::Math { fun: Max | Min | Clamp, arg, .. } => is_float(*arg),
        _ => false,
    })
}

/// The names of all functions of a module that compare floats.
fn comparing(source: &str) -> BTreeSet<String> {
    let module = naga::front::wgsl::parse_str(source).unwrap();
    let info = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP).validate(&module).unwrap();
    let functions = module.functions.iter().map(|(handle, f)| (f, &info[handle]));
    let entries = module.entry_points.iter().enumerate();
    let entries = entries.map(|(i, entry)| (&entry.function, info.get_entry_point(i)));
    let comparing = functions.chain(entries).filter(|(f, info)| compares_floats(&module, f, info));
    comparing.map(|(f, _)| f.name.clone().unwrap()).collect()
}

#[test]
fn functions_that_compare_floats_handle_nan() {
    let found: BTreeSet<String> = ALL.iter().flat_map(|kernel| comparing(&kernel.source(8))).collect();
    let listed: BTreeSet<String> = COMPARING.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    assert!(unlisted.is_empty(), "{unlisted:?} compare floats; recognize NaN by its bits, and list them");
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(stale.is_empty(), "{stale:?} no longer compare floats");
}

#[test]
fn comparisons_are_found() {
    let module = |body: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
            fn f(x: f32, v: vec2f) -> f32 {{ {body} }}
            @compute @workgroup_size(1) fn main() {{ y[0] = f(y[1], vec2f(y[2])); }}"
        )
    };
    for body in [
        "if (x <= 0.0) { return 1.0; } return x;",
        "return max(x, 0.0);",
        "return select(0.0, 1.0, any(v == vec2f(1.0)));",
        "return clamp(v, vec2f(0.0), vec2f(1.0)).x;",
    ] {
        assert_eq!(comparing(&module(body)), BTreeSet::from(["f".to_owned()]), "{body}");
    }
    assert!(comparing(&module("return select(x, 0.0, bitcast<u32>(x) > 1u);")).is_empty());
}

//! `striate kernels`, and flags that select kernels.

use super::program::*;
use super::{RESNET20, answer, complaint, kernels_of, shown};
use std::path::Path;
use striate::kernel::ALL;

#[test]
fn requested_kernels_and_algorithms_are_used() {
    let plan = |flags: &[&str]| answer(&[&RESNET20[..], flags].concat());
    let found = plan(&["--kernel", "forward=im2col", "--kernel", "grad_input=direct"]);
    let (forward, backward) = (kernels_of(&found, "forward"), kernels_of(&found, "backward"));
    assert!(forward.iter().any(|k| k == "im2col") && !forward.iter().any(|k| k.starts_with("conv")));
    assert!(backward.iter().any(|k| k == "conv_direct_grad_input"));
    assert!(backward.iter().any(|k| k.starts_with("conv_gemm_grad_weight")), "the default");

    let found = plan(&["--kernel", "forward=conv_gemm_64x64", "--kernel", "matmul=matmul_registers"]);
    let forward = kernels_of(&found, "forward");
    assert_eq!(forward.iter().filter(|k| *k == "conv_gemm_64x64_moments").count(), 21, "all convolutions");
    assert!(forward.iter().any(|k| k == "matmul_registers"));

    let register_tiled = plan(&["--family", "software", "--subgroup", "8", "--kernel", "grad_weight=window"]);
    assert!(
        kernels_of(&register_tiled, "backward")
            .iter()
            .any(|k| k.starts_with("conv_register_tiled_grad_weight"))
    );
}

#[test]
fn no_fuse_keeps_operations_separate() {
    let (fused, separate) = (answer(&RESNET20), answer(&[&RESNET20[..], &["--no-fuse"]].concat()));
    let relus = |plan| kernels_of(plan, "forward").iter().filter(|k| *k == "relu").count();
    assert_eq!((relus(&fused), relus(&separate)), (0, 19));
}

#[test]
fn no_winograd_excludes_winograd() {
    let args = ["plan", "resnet18-cifar", "--input", "3x32x32", "--family", "software", "--subgroup", "8"];
    let (free, forbidden) = (answer(&args), answer(&[&args[..], &["--no-winograd"]].concat()));
    for phase in ["forward", "backward"] {
        let uses_winograd =
            |plan| kernels_of(plan, phase).iter().any(|kernel| kernel.starts_with("winograd"));
        assert_eq!((uses_winograd(&free), uses_winograd(&forbidden)), (true, false), "{phase}");
    }
    // Of 64 channels at most.
    let gpu = answer(&RESNET20);
    assert!(!kernels_of(&gpu, "forward").iter().any(|kernel| kernel.starts_with("winograd")));
    let contradiction = [&args[..], &["--no-winograd", "--kernel", "forward=winograd"]].concat();
    assert!(complaint(&contradiction, 1).contains("no layer can use it"));
}

#[test]
fn unknown_and_unusable_kernels_are_errors() {
    let plan = |flag: &str| ["plan", "resnet20", "--input", "3x32x32", "--kernel", flag].map(str::to_owned);
    for (flag, code, expected) in [
        ("forward", 2, "expected PASS=NAME, such as forward=winograd"),
        ("forwrd=gemm", 2, "there is no pass \"forwrd\"; did you mean forward, "),
        ("forward=conv_gem_64x64", 2, "did you mean conv_gemm_64x64, "),
        ("forward=register_tled", 2, "there is no kernel \"register_tled\"; did you mean register_tiled, "),
        ("matmul=gemm", 2, "there is no kernel \"gemm\"; did you mean "),
        ("forward=relu", 2, "the kernel relu does not compute forward"),
        // A plan for no particular GPU cannot rely on subgroups.
        ("forward=conv_register_tiled_3x3", 1, "forward=conv_register_tiled_3x3: no layer can use it"),
        ("forward=conv_register_tiled_1x3_stride2", 1, "no layer can use it"),
    ] {
        let args = plan(flag);
        let error = complaint(&args.each_ref().map(String::as_str), code);
        assert!(error.contains(expected), "{flag}: {error}");
    }
    let evaluation = ["plan", "lenet", "--input", "1x28x28", "--eval", "--kernel", "grad_weight=gemm"];
    assert!(complaint(&evaluation, 1).contains("no layer can use it"));
    // Earlier names of algorithms.
    for (old, new) in
        [("forward=gemm", "forward=implicit_gemm"), ("grad_input=window", "grad_input=register_tiled")]
    {
        let plan = |kernel| {
            shown(&["plan", "resnet8", "--family", "software", "--subgroup", "8", "--kernel", kernel])
        };
        assert_eq!(plan(old), plan(new));
    }
    let twice =
        ["bench", "--device", "cpu", "lenet", "--kernel", "forward=gemm", "--kernel", "forward=direct"];
    assert!(complaint(&twice, 1).contains("forward is given twice"));
    let out = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-layer-can-use-it");
    for unused in [
        &["bench", "matmul", "8", "--device", "cpu", "--kernel", "forward=direct"][..],
        &["profile", "resnet8", "--device", "cpu", "--kernel", "forward=window"],
    ] {
        assert!(complaint(unused, 1).contains("no layer can use it"), "{unused:?}");
    }
    let train = ["train", "--device", "cpu", "--out", out, "--kernel", "forward=window"];
    assert_refused(&mut without_gpu(&train), &["no layer can use it"]);
    assert!(!Path::new(out).exists());
}

#[test]
fn the_table_lists_every_kernel_and_its_passes() {
    let rows = answer(&["kernels"]);
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["kernel"] == name).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), ALL.len());
    assert_eq!(row("conv_direct")["passes"], serde_json::json!(["forward"]));
    assert_eq!(row("conv_gemm_64x64")["passes"], serde_json::json!(["forward", "grad_input"]));
    assert_eq!(row("matmul_registers")["passes"], serde_json::json!(["matmul"]));
    assert_eq!(row("relu")["passes"], serde_json::json!([]));
    let table = shown(&["kernels"]);
    for kernel in ALL {
        assert!(table.lines().any(|line| line.split("  ").next() == Some(kernel.name)), "{}", kernel.name);
    }
}

#[test]
fn preferences_are_printed_row_by_row() {
    let rows = answer(&["kernels", "--choices"]);
    let rows = rows.as_array().unwrap();
    let algorithm = |family: &str, pass: &str| {
        let of = |row: &&Value| {
            let is = |key: &str, value: &str| row[key] == value || row[key].is_null();
            is("family", family)
                && row["shape"] == "any"
                && row["passes"].as_array().unwrap().contains(&pass.into())
        };
        rows.iter().find(of).unwrap()["algorithm"].as_str().unwrap()
    };
    assert_eq!(
        ["gpu", "software", "cpu"].map(|f| algorithm(f, "forward")),
        ["implicit_gemm", "register_tiled", "direct"]
    );
    assert_eq!(["gpu", "software", "cpu"].map(|f| algorithm(f, "matmul")), ["tiled", "packed", "registers"]);
    let text = shown(&["kernels", "--choices"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("    on ")).count(), rows.len());
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(
        text.contains("groups of fewer than 8 channels") && text.contains("matmul_registers\n"),
        "{text}"
    );
    assert_usage_errors(&[&["kernels", "relu", "--choices"]]);
}

#[test]
fn a_kernel_is_printed_in_each_language() {
    let text =
        |language| shown(&["kernels", "conv_register_tiled_3x3", "--subgroup", "16", "--language", language]);
    let wgsl = shown(&["kernels", "conv_register_tiled_3x3", "--subgroup", "16"]);
    assert_eq!(wgsl, text("wgsl"));
    assert_eq!(wgsl, ALL.iter().find(|k| k.name == "conv_register_tiled_3x3").unwrap().source(16));
    assert!(text("msl").contains("kernel void conv_register_tiled"));
    assert!(text("hlsl").contains("[numthreads(64, 1, 1)]"));
    let spirv = without_gpu(&["kernels", "relu", "--language", "spirv"]).output().unwrap().stdout;
    assert_eq!(spirv[..4], 0x0723_0203u32.to_le_bytes());
    assert!(
        complaint(&["kernels", "conv_register_tild_3x3"], 1)
            .contains("did you mean conv_register_tiled_3x3, ")
    );
    assert_usage_errors(&[&["kernels", "relu", "--subgroup", "24"], &["kernels", "--language", "msl"]]);
}

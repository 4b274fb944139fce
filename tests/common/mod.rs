//! Shared by the numeric tests: a harness that turns table rows into tests, the GPU, random tensors and comparison.

#![allow(dead_code, unused_macros, unused_imports, reason = "no test program uses everything")]

pub mod graphs;
pub mod network;

pub use libtest_mimic::Failed;
use libtest_mimic::{Arguments, Trial};
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::OnceLock;
use striate::gpu::Limits;
use striate::plan::{Target, Tuned};
pub use striate::selftest::{Random, difference, seed_of, shapes, tolerance};
use striate::{Device, Input, Session, Tensor};

/// The result of a test. `?` converts any error that can be printed; a mismatch reports operation, case, shapes, seed, and the
/// largest error with its index.
pub type Outcome = Result<(), Failed>;

/// Devices by the names that `Device::select` takes; tests on `gpu` are ignored if there is none.
pub const CPU_AND_GPU: &[&str] = &["cpu", "gpu"];
pub const ALL_EXECUTORS: &[&str] = &["cpu-reference", "cpu", "gpu"];

/// Test functions with their names, as from [`named`].
pub type Named<F> = [(&'static str, F)];

/// Pairs test functions with their names.
macro_rules! named {
    ($($test:ident),* $(,)?) => { &[$((stringify!($test), $test)),*] };
}
pub(crate) use named;

/// The GPU to test, or why there is none, opened with the limits that WebGPU guarantees everywhere, so that no test can pass only
/// because an adapter has more. `STRIATE_TEST_DEVICE` selects one by index or part of its name.
pub fn gpu() -> Result<&'static Device, &'static str> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let device = GPU.get_or_init(|| {
        if striate::gpu::adapters().is_empty() {
            return None;
        }
        let name = gpu_name();
        // An adapter that exists but fails to open is a failure, not a reason to skip.
        let device = Device::select_with(&name, Limits::WebGpu)
            .unwrap_or_else(|e| panic!("the adapter {name:?}: {e}"));
        // The tested kernels must not depend on this machine's tuning results.
        let target = Target { tuned: Tuned::default(), ..device.target().clone() };
        Some(device.with_target(target))
    });
    device
        .as_ref()
        .ok_or("there is no GPU adapter; install a Vulkan driver, mesa-vulkan-drivers for a software one")
}

/// The name to select the GPU by.
pub fn gpu_name() -> String {
    std::env::var("STRIATE_TEST_DEVICE").unwrap_or("gpu".into())
}

/// The tests of one program.
pub struct Suite {
    arguments: Arguments,
    trials: Vec<Trial>,
}

impl Suite {
    pub fn new() -> Self {
        Self { arguments: Arguments::from_args(), trials: Vec::new() }
    }

    /// Runs one test at a time, for measurements of the whole process.
    pub fn sequential() -> Self {
        let mut suite = Self::new();
        suite.arguments.test_threads = Some(1);
        suite
    }

    /// Adds a test that needs no GPU.
    pub fn add(&mut self, name: impl Into<String>, test: impl FnOnce() -> Outcome + Send + 'static) {
        self.add_if(true, name, test);
    }

    pub fn add_all(&mut self, tests: &Named<fn() -> Outcome>) {
        for (name, test) in tests {
            self.add(*name, *test);
        }
    }

    /// Adds a test that needs something from outside the repository; it is ignored if that is missing.
    pub fn add_if(
        &mut self,
        available: bool,
        name: impl Into<String>,
        test: impl FnOnce() -> Outcome + Send + 'static,
    ) {
        self.trials.push(Trial::test(name, test).with_ignored_flag(!available));
    }

    /// Adds a test on the GPU; it is ignored if there is none.
    pub fn add_gpu(
        &mut self,
        name: impl Into<String>,
        test: impl FnOnce(&'static Device) -> Outcome + Send + 'static,
    ) {
        self.add_if(gpu().is_ok(), name, move || test(gpu()?));
    }

    /// Adds a test on each device, named `name::device`.
    pub fn add_on(
        &mut self,
        devices: &[&'static str],
        name: impl Display,
        test: impl Fn(&Device) -> Outcome + Clone + Send + 'static,
    ) {
        for &device in devices {
            let (name, test) = (format!("{name}::{device}"), test.clone());
            match device {
                "gpu" => self.add_gpu(name, test),
                _ => self.add(name, move || test(&Device::select(device)?)),
            }
        }
    }

    /// Adds each test on each device.
    pub fn add_all_on(&mut self, devices: &[&'static str], tests: &Named<fn(&Device) -> Outcome>) {
        for (name, test) in tests {
            self.add_on(devices, name, *test);
        }
    }

    pub fn run(self) -> ExitCode {
        if !self.arguments.list {
            match gpu() {
                Ok(device) => eprintln!("GPU tests run on {}", device.describe()),
                Err(reason) => eprintln!("GPU tests are ignored: {reason}"),
            }
        }
        libtest_mimic::run(&self.arguments, self.trials).exit_code()
    }
}

/// Tensors by name, as a step takes them.
pub fn feed(tensors: &[(String, Tensor)]) -> Vec<(&str, Input<'_>)> {
    tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.into())).collect()
}

/// Every persistent value by name, optimizer state included.
pub fn everything(session: &mut Session) -> striate::Result<Vec<(String, Tensor)>> {
    let names: Vec<String> = session.persistent().iter().map(|p| p.value.name.clone()).collect();
    names.into_iter().map(|name| Ok((name.clone(), session.read(&name)?))).collect()
}

/// The generator of the golden training runs: a 64-bit hash of (seed, i).
pub fn hash(seed: u64, i: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z =
        i.wrapping_mul(0xD1B5_4A32_D192_ED03).wrapping_add(seed.wrapping_mul(GOLDEN).wrapping_add(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform values in +-bound, from the top 24 bits of the hash.
pub fn fill(seed: u64, len: usize, bound: f64) -> Vec<f32> {
    let unit = |i: usize| (hash(seed, i as u64) >> 40) as f32 / 16_777_216.0;
    (0..len).map(|i| (2.0 * unit(i) - 1.0) * bound as f32).collect()
}

/// Compares tensors; see [`difference`].
pub fn compare(what: &str, got: &Tensor, want: &Tensor, tolerance: f64, floor: f64) -> Outcome {
    difference(got, want, tolerance, floor).map_or(Ok(()), |error| Err(format!("{what}: {error}").into()))
}

/// Compares lists of tensors.
pub fn compare_all(what: &str, got: &[Tensor], want: &[Tensor], tolerance: f64, floor: f64) -> Outcome {
    if got.len() != want.len() {
        return Err(format!("{what}: expected {} tensors, found {}", want.len(), got.len()).into());
    }
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        compare(&format!("{what}, tensor {i}"), got, want, tolerance, floor)?;
    }
    Ok(())
}

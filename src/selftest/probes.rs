//! Probes: what all kernels take for granted of a device.

use super::check::Check;
use super::random::{floats, integers};
use crate::graph::Phase;
use crate::kernel::{self, Kernel, Params, Probe, ProbeSubgroups};
use crate::plan::{self, Family, Group, Launch, NamedValue, Placement, Plan, Storage, StorageId, Target};
use crate::rng::SplitMix64;
use crate::{Clock, Device, Result, Session, Tensor};
use std::time::Instant;

/// Operands whose arithmetic and comparisons are easily gotten wrong.
const FLOATS: [f32; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    f32::MAX,
    f32::MIN_POSITIVE,
    f32::EPSILON,
    16_777_217.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1e-20,
];

/// The checks that a target's device has to pass.
pub(super) fn checks(target: &Target) -> Vec<Check> {
    let mut rng = SplitMix64::new(1);
    let numbers: Vec<u32> = (0..512)
        .flat_map(|i| {
            let [a, b] = [0; 2].map(|_| rng.next_u64() as u32);
            // Divisors of all magnitudes, never 0 or -1, for which WGSL has its own rules.
            [if i % 3 == 0 { a >> 16 } else { a }, (b >> (i % 31)).clamp(1, 0xffff_fff0)]
        })
        .collect();
    let words: Vec<u32> = (0..256).map(|_| rng.next_u64() as u32).collect();
    // Devices may flush subnormal results to 0.
    let is_normal = |[a, b]: &[f32; 2]| !(a + b).is_subnormal() && !(a * b).is_subnormal();
    let pairs = FLOATS.iter().flat_map(|a| FLOATS.iter().map(|b| [*a, *b]));
    let pairs: Vec<f32> = pairs.filter(is_normal).flatten().collect();
    let cases = pairs.len() / 2;
    let mut checks = vec![
        check(&kernel::PROBE_INTEGERS, &Probe { len: 512 }, Some(integers([1024], numbers)), 8 * 512),
        check(
            &kernel::PROBE_FLOATS,
            &Probe { len: cases as u32 },
            Some(floats([2 * cases], pairs)),
            3 * cases,
        ),
        check(&kernel::PROBE_BARRIERS, &Probe { len: 256 }, Some(integers([256], words)), 256),
    ];
    if target.subgroup > 0 {
        let params = ProbeSubgroups { len: 256, lanes: target.subgroup };
        checks.push(check(&kernel::PROBE_SUBGROUPS, &params, None, 5 * 256));
    }
    checks
}

/// What the device does where WGSL leaves it open. No kernel depends on it.
pub(super) fn properties(device: &Device) -> Result<Vec<(&'static str, &'static str)>> {
    let subnormal = f32::from_bits(1 << 22);
    let pairs = vec![subnormal, subnormal, f32::NAN, f32::NAN, f32::NAN, 1.0, 1.0, f32::NAN];
    let cases = pairs.len() / 2;
    let params = Probe { len: cases as u32 };
    let Check { plan, inputs, .. } =
        check(&kernel::PROBE_IEEE, &params, Some(floats([pairs.len()], pairs)), 4 * cases);
    let mut session = Session::new(device, vec![plan])?;
    session.load(0, &[(INPUT, (&inputs[0].1).into())])?;
    session.run_launch(0, 0)?;
    let y = session.read_storage(0, StorageId(1))?;
    let subnormals = if y[0] == 0 { "flushed to 0" } else { "kept" };
    let comparisons = match y[4..].chunks_exact(4).all(|y| y[1..] == [0, 0, 1]) {
        true => "as in IEEE 754",
        false => "not as in IEEE 754",
    };
    Ok(vec![
        ("subnormals", subnormals),
        ("comparisons with NaN", comparisons),
        ("timestamps", timestamps(&mut session, &inputs[0].1)?),
    ])
}

/// Whether the device's clock runs forwards, and not faster than the host's.
fn timestamps(session: &mut Session, input: &Tensor) -> Result<&'static str> {
    let start = Instant::now();
    let mut profile = || session.profile(0, &[(INPUT, input.into())]);
    let profiles = [profile()?, profile()?];
    let elapsed = start.elapsed().as_secs_f64();
    if profiles[0].clock == Clock::Wall {
        return Ok("none");
    }
    let seconds: f64 = profiles.iter().flat_map(|p| &p.spans).map(|[start, end]| end - start).sum();
    let between = profiles[1].start - profiles[0].start;
    let plausible = (0.0..=elapsed).contains(&seconds) && between > 0.0 && between <= elapsed;
    Ok(if plausible { "plausible" } else { "implausible, so profiles may be wrong" })
}

const INPUT: &str = "x";

/// A plan of one launch that writes `len` words.
fn check<P: Params>(kernel: &'static Kernel, params: &P, input: Option<Tensor>, len: usize) -> Check {
    let cases = bytemuck::cast_slice::<u8, u32>(bytemuck::bytes_of(params))[0];
    let storage = |label: &str, len: usize, placement| Storage {
        label: label.to_owned(),
        bytes: 4 * len as u64,
        placement,
    };
    let mut storages: Vec<Storage> =
        input.iter().map(|x| storage(INPUT, x.len(), Placement::Input)).collect();
    let (reads, output) =
        (Vec::from_iter(input.as_ref().map(|_| StorageId(0))), StorageId(storages.len() as u32));
    storages.push(storage("y", len, Placement::Slot(0)));
    let named = |x: &Tensor| NamedValue {
        name: INPUT.to_owned(),
        ty: x.ty().clone(),
        storage: StorageId(0),
        labels: None,
    };
    let launch = Launch {
        kernel,
        params: bytemuck::cast_slice(std::slice::from_ref(params)).to_vec(),
        reads,
        writes: vec![output],
        workgroups: [cases.div_ceil(kernel.threads), 1, 1],
        flops: 0,
        bytes: 4 * len as u64,
    };
    let group = Group {
        scope: "probe".into(),
        phase: Phase::Forward,
        shape: vec![len],
        launches: 0..1,
        min_bytes: launch.bytes,
        fused: Vec::new(),
    };
    let (launches, groups) = (vec![launch], vec![group]);
    let (dispatches, submissions) = plan::divide(&launches, &groups, &[], &Target::baseline(Family::Gpu));
    let plan = Plan {
        slots: vec![storages[output.index()].span()],
        inputs: input.iter().map(named).collect(),
        storages,
        launches,
        groups,
        dispatches,
        submissions,
        exchanges: Vec::new(),
        outputs: Vec::new(),
        persistent: Vec::new(),
    };
    let inputs = input.into_iter().map(|x| (INPUT.to_owned(), x)).collect();
    Check { name: "probe".to_owned(), plan, inputs, tolerance: 0.0, floor: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_may_flush_subnormals() {
        let checks = checks(&Target::baseline(Family::Gpu));
        let mut of_floats = checks.iter().filter(|c| *c.plan.launches[0].kernel == kernel::PROBE_FLOATS);
        let inputs = &of_floats.next().expect("floats are probed").inputs[0].1;
        for pair in inputs.as_f32().chunks_exact(2) {
            let [a, b] = [pair[0], pair[1]];
            assert!(![a, b, a + b, a * b].iter().any(|v| v.is_subnormal()), "{a:e} and {b:e}");
        }
    }
}

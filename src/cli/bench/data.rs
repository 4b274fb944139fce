//! Generated data: every number is a hash of a seed and an index, so that other engines can repeat it.

use striate::graph::PersistentKind;
use striate::{Result, Session, Tensor};

// Seeds.
pub const IMAGES: u64 = 1;
const LABELS: u64 = 2;
pub const OPERANDS: [u64; 2] = [3, 4];
const SAMPLES: u64 = 9;
const FIRST_WEIGHT: u64 = 100;

/// SplitMix64's mixing of (seed, i).
fn hash(seed: u64, i: u64) -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z =
        i.wrapping_mul(0xD1B5_4A32_D192_ED03).wrapping_add(seed.wrapping_mul(STEP).wrapping_add(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Numbers uniform in [-bound, bound), with 24 random bits each.
pub fn fill(seed: u64, len: usize, bound: f64) -> Vec<f32> {
    let unit = |i| (hash(seed, i) >> 40) as f32 / 16_777_216.0;
    (0..len as u64).map(|i| (2.0 * unit(i) - 1.0) * bound as f32).collect()
}

/// A label below `classes` for each image.
pub fn labels(batch: usize, classes: u64) -> Vec<u32> {
    (0..batch as u64).map(|i| (hash(LABELS, i) % classes) as u32).collect()
}

/// The `i`-th sampled index below `bound`.
pub fn sample(i: u64, bound: usize) -> usize {
    (hash(SAMPLES, i) % bound as u64) as usize
}

/// Initializes a network: the k-th weight with more than one dimension, in the order of the forward pass, is
/// `fill` of seed 100 + k with variance 2 / fan-in for convolutions and 1 / fan-in for linear layers. Biases
/// are 0; batch norm keeps scale 1 and shift 0.
pub fn write_weights(session: &mut Session) -> Result<()> {
    let parameters: Vec<_> = session
        .persistent()
        .iter()
        .filter(|p| p.persistence.kind == PersistentKind::Parameter)
        .map(|p| (p.value.name.clone(), p.value.ty.shape.clone()))
        .collect();
    let mut seeds = FIRST_WEIGHT..;
    for (name, shape) in parameters {
        if shape.len() > 1 {
            let seed = seeds.next().expect("seeds do not run out");
            let fan_in: usize = shape[1..].iter().product();
            let variance = if shape.len() == 4 { 2.0 } else { 1.0 };
            let bound = (3.0 * variance / fan_in as f64).sqrt();
            let values = fill(seed, shape.iter().product(), bound);
            session.write(&name, &Tensor::f32(shape, values)?)?;
        } else if name.ends_with("bias") {
            session.write(&name, &Tensor::zeros(shape))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_matches_the_golden_runs_of_pytorch() {
        let golden = include_str!("../../../tests/goldens/resnet20_steps.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let list = |name: &str| golden["check"][name].as_array().unwrap().clone();
        let first = |seed, bound: f64| fill(seed, 4, bound).into_iter().map(f64::from).collect::<Vec<_>>();
        let wanted = |name| list(name).iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
        assert_eq!(first(IMAGES, 3f64.sqrt()), wanted("input_first4"));
        assert_eq!(first(FIRST_WEIGHT, (6.0 / 27.0f64).sqrt()), wanted("conv1_weight_first4"));
        let wanted: Vec<u32> = list("labels").iter().map(|v| v.as_u64().unwrap() as u32).collect();
        assert_eq!(labels(wanted.len(), 10), wanted);
    }
}

//! Networks match the tensors of published weights. The files are not part of this repository; the tests are ignored
//! without them.

use crate::common::Suite;
use crate::counts::{network, state};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;
use striate::models;
use striate::nn::Mode;

const FILES: [(&str, &str, usize); 2] =
    [("googlenet-original", "googlenet_bvlc", 1000), ("resnet20-a", "resnet20_cifar10", 10)];

type Shapes = BTreeMap<String, Vec<usize>>;

pub fn add(suite: &mut Suite) {
    for (name, file, classes) in FILES {
        let path = format!("{}/../shared/models/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let there = Path::new(&path).exists();
        suite.add_if(there, format!("weights::{name}_has_the_tensors_of_{file}"), move || {
            let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
            let tensors = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
            let want: Shapes =
                tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect();
            let model = models::by_name(name, 3, classes)?;
            let found: Shapes = state(&network(&*model, Mode::Eval)?).into_iter().collect();
            let (missing, surplus) = (without(&want, &found), without(&found, &want));
            if missing.is_empty() && surplus.is_empty() {
                return Ok(());
            }
            Err(format!("the network lacks {missing:?} and has {surplus:?}").into())
        });
    }
}

/// Tensors of `first` that `second` lacks or has in another shape.
fn without(first: &Shapes, second: &Shapes) -> Vec<String> {
    let missing = first.iter().filter(|(name, shape)| second.get(*name) != Some(shape));
    missing.map(|(name, shape)| format!("{name} {shape:?}")).collect()
}

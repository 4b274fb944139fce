//! The names of networks.

use super::{AlexNet, AlexNet2012, CifarResNet, CifarResNet18, GoogLeNet, LeNet, Model, ResNet, Shortcut};
use crate::{Error, Result};

/// Names that [`by_name`] knows; beside them it knows CIFAR-style ResNets of every other depth 6n + 2.
pub const NAMES: [&str; 34] = [
    "lenet",
    "alexnet",
    "alexnet-2012",
    "googlenet",
    "googlenet-original",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "plain18",
    "plain34",
    "plain50",
    "plain101",
    "plain152",
    "resnet18-cifar",
    "resnet8",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet20-a",
    "resnet32-a",
    "resnet44-a",
    "resnet56-a",
    "resnet110-a",
    "plain20",
    "plain32",
    "plain44",
    "plain56",
    "plain110",
    "cifar-resnet50",
    "cifar-resnet152",
];

/// A network by its name.
///
/// - `lenet`, `alexnet`, `alexnet-2012`, `googlenet`, `googlenet-original`
/// - `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`: for large pictures, as torchvision has them
/// - `resnetN` with any other N = 6n + 2: the CIFAR-style ResNets of He et al. 2015; of the depths 50 and 152 they are called
///   `cifar-resnet50` and `cifar-resnet152`
/// - `resnet18-cifar`: the ResNet-18 for small pictures
/// - with `-a`, the shortcuts of option A (no parameters); `plainN` for `resnetN`, none
///
/// ```
/// let model = striate::models::by_name("resnet20", 3, 10)?;
/// assert_eq!(model.name(), "resnet20");
/// let error = striate::models::by_name("resnet51", 3, 10).err().unwrap();
/// assert!(error.to_string().contains("did you mean resnet50"));
/// # Ok::<(), striate::Error>(())
/// ```
pub fn by_name(name: &str, in_channels: usize, classes: usize) -> Result<Box<dyn Model>> {
    Ok(match name {
        "lenet" => Box::new(LeNet { in_channels, classes }),
        "alexnet" => Box::new(AlexNet { in_channels, classes }),
        "alexnet-2012" => Box::new(AlexNet2012 { in_channels, classes }),
        "googlenet" => Box::new(GoogLeNet { original: false, in_channels, classes }),
        "googlenet-original" => Box::new(GoogLeNet { original: true, in_channels, classes }),
        "resnet18-cifar" => Box::new(CifarResNet18 { in_channels, classes }),
        _ => resnet(name, in_channels, classes).ok_or_else(|| unknown(name))?,
    })
}

/// `resnet50`, `cifar-resnet50`, `resnet20-a`, `plain20`, if there is such a depth.
fn resnet(name: &str, in_channels: usize, classes: usize) -> Option<Box<dyn Model>> {
    let (cifar, rest) = name.strip_prefix("cifar-").map_or((false, name), |rest| (true, rest));
    let (shortcut, depth) = match (rest.strip_prefix("plain"), rest.strip_prefix("resnet")) {
        (Some(depth), _) => (Shortcut::None, depth),
        (_, Some(depth)) => match depth.strip_suffix("-a") {
            Some(depth) => (Shortcut::Padded, depth),
            None => (Shortcut::Projected, depth),
        },
        _ => return None,
    };
    let depth: usize = depth.parse().ok()?;
    if let (false, Some(large)) = (cifar, ResNet::of_depth(depth, shortcut, in_channels, classes)) {
        return Some(Box::new(large));
    }
    let small = depth >= 8 && depth % 6 == 2;
    small.then(|| -> Box<dyn Model> {
        Box::new(CifarResNet { blocks: (depth - 2) / 6, shortcut, in_channels, classes })
    })
}

fn unknown(name: &str) -> Error {
    let nearest = NAMES.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    let nearest = nearest.expect("there are names");
    Error::argument(
        "model",
        format!(
            "{name:?} is not known; did you mean {nearest}? There are {} and ResNets for small pictures of any 6n + 2 layers",
            NAMES.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_is_the_networks_own() {
        for name in NAMES.into_iter().chain(["resnet14", "resnet1202", "resnet50-a", "cifar-plain50"]) {
            assert_eq!(by_name(name, 3, 10).unwrap().name(), name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        for (name, nearest) in
            [("resnet21", "resnet20"), ("googlnet", "googlenet"), ("alexnet2012", "alexnet-2012")]
        {
            let error = by_name(name, 3, 10).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains(&format!("did you mean {nearest}?")), "{error}");
        }
    }
}

//! Networks by name.

use super::{AlexNet, AlexNet2012, CifarResNet, CifarResNet18, GoogLeNet, LeNet, Model, ResNet, Shortcut};
use crate::{Error, Result};

/// Common names for [`by_name`], which also accepts CIFAR ResNets of any other depth 6n + 2.
#[rustfmt::skip]
pub const NAMES: [&str; 34] = [
    "lenet", "alexnet", "alexnet-2012", "googlenet", "googlenet-original",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "plain18", "plain34", "plain50", "plain101", "plain152",
    "resnet18-cifar", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110",
    "resnet20-a", "resnet32-a", "resnet44-a", "resnet56-a", "resnet110-a",
    "plain20", "plain32", "plain44", "plain56", "plain110",
    "cifar-resnet50", "cifar-resnet152",
];

/// All valid names, summarized for messages.
const AVAILABLE: &str = "lenet, alexnet, alexnet-2012, googlenet, googlenet-original, resnet18, 34, 50, 101 and 152 (also with \
    timm's tags, as in resnet50.a1_in1k), resnet18-cifar, CIFAR ResNets of 6n + 2 layers from resnet8 to resnet1202, -a after a \
    ResNet's name for shortcuts without parameters, and plainN for ResNets without shortcuts";

/// Well-known networks that are not supported, nor suggested as misspellings of one that is.
const UNSUPPORTED: &str = "bninception cbamresnet convnext darknet deit densenet dla dpn ecaresnet efficientnet \
    fixresnet hrnet inception mixer mnasnet mobilenet nasnet nfnet preactresnet preresnet regnet res2net resnest \
    resnext seresnet shufflenet skresnet squeezenet swin vgg vit xception";

/// Depth of the deepest network of He et al. The limit catches mistyped depths before they exhaust memory.
const MAX_DEPTH: usize = 1202;

/// Finds a network by name.
///
/// - `lenet`, `alexnet`, `alexnet-2012`, `googlenet`, `googlenet-original`
/// - `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`: torchvision's ResNets for ImageNet; timm's names for
///   their weights, such as `resnet50.a1_in1k`, mean the network before the dot
/// - `resnetN` for any other N = 6n + 2 from 8 to 1202: the CIFAR ResNets of He et al. 2015; those of depth 50 and 152 are
///   `cifar-resnet50` and `cifar-resnet152`
/// - `resnet18-cifar`: ResNet-18 for CIFAR
/// - `resnetN-a`: with shortcuts of option A, which have no parameters; `plainN`: without shortcuts
///
/// # Errors
///
/// [`Error::Argument`] for an unknown name, with the closest known one.
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

/// Parses `resnet50`, `resnet50.a1_in1k`, `cifar-resnet50`, `resnet20-a`, `plain20`.
fn resnet(name: &str, in_channels: usize, classes: usize) -> Option<Box<dyn Model>> {
    let (network, tag) = name.split_once('.').map_or((name, None), |(network, tag)| (network, Some(tag)));
    let (cifar, rest) = network.strip_prefix("cifar-").map_or((false, network), |rest| (true, rest));
    let (shortcut, depth) = match (rest.strip_prefix("plain"), rest.strip_prefix("resnet")) {
        (Some(depth), _) => (Shortcut::None, depth),
        (_, Some(depth)) => match depth.strip_suffix("-a") {
            Some(depth) => (Shortcut::Padded, depth),
            None => (Shortcut::Projected, depth),
        },
        _ => return None,
    };
    let depth: usize = depth.parse().ok().filter(|depth| *depth <= MAX_DEPTH)?;
    if let Some(resnet) = ResNet::of_depth(depth).filter(|_| !cifar) {
        let valid = tag.is_none_or(|tag| shortcut == Shortcut::Projected && !tag.is_empty());
        return valid.then(|| Box::new(ResNet { shortcut, in_channels, classes, ..resnet }) as _);
    }
    let valid = tag.is_none() && depth >= 8 && depth % 6 == 2;
    valid.then(|| Box::new(CifarResNet { blocks: (depth - 2) / 6, shortcut, in_channels, classes }) as _)
}

fn unknown(name: &str) -> Error {
    // Names may come from files; comparing a long one would take minutes.
    let shown: String = name.chars().take(60).collect();
    let plain: String = shown.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let letters: String = plain.chars().filter(|c| !c.is_ascii_digit()).collect();
    // timm marks variants with letters after the depth: resnet50d has a different stem.
    let variant = letters.strip_prefix("resnet").is_some_and(|rest| !["", "a", "cifar"].contains(&rest));
    let other = UNSUPPORTED.split(' ').any(|other| plain.contains(other))
        || plain.starts_with("wide")
        || plain.starts_with("wrn");
    let distance = |known: &&&str| strsim::damerau_levenshtein(&plain, &known.replace('-', ""));
    let nearest =
        NAMES.iter().min_by_key(distance).filter(|known| distance(known) <= 2 && !other && !variant);
    let problem = match nearest {
        Some(nearest) => format!("unknown network {shown:?}; did you mean {nearest}? Available: {AVAILABLE}"),
        None => format!("unknown network {shown:?}; available: {AVAILABLE}"),
    };
    Error::argument("model", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_the_network_of_that_name() {
        for name in NAMES.into_iter().chain(["resnet14", "resnet1202", "resnet50-a", "cifar-plain50"]) {
            assert_eq!(by_name(name, 3, 10).unwrap().name(), name);
        }
    }

    #[test]
    fn timm_tags_are_allowed_on_torchvision_resnets_only() {
        assert_eq!(by_name("resnet50.a1_in1k", 3, 10).unwrap().name(), "resnet50");
        for unknown in
            ["resnet50.", "resnet20.a1_in1k", "plain50.a1_in1k", "resnet50-a.a1_in1k", "lenet.a1_in1k"]
        {
            assert!(by_name(unknown, 3, 10).is_err(), "{unknown}");
        }
    }

    #[test]
    fn the_closest_name_is_suggested_for_a_misspelling() {
        for (name, nearest) in [
            ("resnet21", "resnet20"),
            ("googlnet", "googlenet"),
            ("alexnet2012", "alexnet-2012"),
            ("ResNet-50", "resnet50"),
            ("resnet_18", "resnet18"),
        ] {
            let error = by_name(name, 3, 10).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains(&format!("did you mean {nearest}?")), "{error}");
        }
    }

    #[test]
    fn unsupported_networks_are_not_treated_as_misspellings() {
        let others = [
            "resnext50",
            "resnext50_32x4d",
            "wide_resnet50_2",
            "vgg16",
            "resnet50d",
            "resnet50_gn",
            "resnetv2_50",
            "seresnet50",
            "efficientnet_b0",
            "vit_base_patch16_224",
            "wrn-28-10",
            "inception_v3",
            "densenet121",
        ];
        for name in others {
            let error = by_name(name, 3, 10).err().unwrap().to_string();
            assert!(
                !error.contains("did you mean") && error.contains("available: lenet, alexnet"),
                "{error}"
            );
        }
    }

    #[test]
    fn excessive_depths_are_rejected() {
        for name in ["resnet1208", "resnet60002", "plain600000002", "cifar-resnet99999999999999999998"] {
            assert!(by_name(name, 3, 10).is_err(), "{name}");
        }
    }
}

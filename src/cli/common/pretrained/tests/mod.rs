mod downloads;
#[path = "../../../../../tests/common/server.rs"]
mod server;

use super::{ALL, CLASSES, Pretrained, digits};
use std::collections::BTreeSet;
use striate::models;

#[test]
fn the_table_has_addresses_whose_files_name_their_hash() {
    for weights in &ALL {
        let name = weights.name();
        assert!(weights.address.starts_with("https://download.pytorch.org/models/"), "{name}");
        assert!(digits(weights.file()).is_some_and(|digits| digits == digits.to_lowercase()), "{name}");
        assert!(weights.file().starts_with(weights.network), "{name}");
        assert!(weights.top1 < weights.top5 && weights.top5 < 100.0, "{name}");
        // A file has four bytes per parameter, and GoogLeNet's also has its auxiliary heads.
        let floats = weights.mib * f64::from(1 << 18) / weights.parameters as f64;
        assert!(
            (1.0..1.01).contains(&floats) || (weights.network == "googlenet" && floats < 2.0),
            "{name}: {floats}"
        );
        assert_eq!(models::by_name(weights.network, 3, 1000).unwrap().name(), weights.network);
        let preprocessing = weights.preprocessing().unwrap();
        let resize = if weights.version == "IMAGENET1K_V2" { 232 } else { 256 };
        assert_eq!((preprocessing.size, preprocessing.resize), ([224, 224], Some(resize)), "{name}");
    }
    let files: BTreeSet<&str> = ALL.iter().map(Pretrained::file).collect();
    assert_eq!(files.len(), ALL.len());
}

#[test]
fn weights_are_found_by_torchvisions_names() {
    for (name, found) in [
        ("resnet18", "resnet18.IMAGENET1K_V1"),
        ("resnet50", "resnet50.IMAGENET1K_V2"),
        ("resnet50.DEFAULT", "resnet50.IMAGENET1K_V2"),
        ("resnet50.IMAGENET1K_V1", "resnet50.IMAGENET1K_V1"),
        ("ResNet152_Weights.IMAGENET1K_V2", "resnet152.IMAGENET1K_V2"),
        ("GoogLeNet_Weights.DEFAULT", "googlenet.IMAGENET1K_V1"),
        ("AlexNet_Weights.IMAGENET1K_V1", "alexnet.IMAGENET1K_V1"),
    ] {
        assert_eq!(Pretrained::named(name).unwrap().name(), found);
    }
    for (name, known) in [
        ("resnet20", "there are alexnet, googlenet, resnet18, "),
        ("resnet18.IMAGENET1K_V2", "there are resnet18.IMAGENET1K_V1"),
        ("resnet50.a1_in1k", "there are resnet50.IMAGENET1K_V1, resnet50.IMAGENET1K_V2"),
        ("", "there are alexnet"),
    ] {
        let error = Pretrained::named(name).unwrap_err().to_string();
        assert!(error.contains(known), "{error}");
    }
}

#[test]
fn there_is_a_name_for_each_of_imagenets_classes() {
    let names: BTreeSet<&str> = CLASSES.lines().collect();
    assert_eq!((names.len(), CLASSES.lines().count()), (1000, 1000));
    let of = |class: usize| CLASSES.lines().nth(class);
    assert_eq!((of(0), of(281), of(999)), (Some("tench"), Some("tabby"), Some("toilet tissue")));
}

//! Reads the preprocessing fields of timm and torchvision.

use super::{Normalization, Preprocessing, TIMM};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::data::Interpolation;

/// timm's configurations for its ResNet weights, written by `scripts/timm_tags.py`.
const TIMM_CONFIGS: &str = include_str!("timm.json");

/// The preprocessing of timm's weights of this name.
pub fn timm(name: &str) -> Result<Preprocessing, String> {
    let configs: BTreeMap<String, Map<String, Value>> =
        serde_json::from_str(TIMM_CONFIGS).expect("the bundled table is JSON");
    if let Some(config) = configs.get(name) {
        return of_timm(config);
    }
    let network = name.split('.').next().unwrap_or_default();
    let tags: Vec<&str> =
        configs.keys().filter_map(|known| known.strip_prefix(network)?.strip_prefix('.')).collect();
    Err(match tags.is_empty() {
        true => {
            format!(
                "{TIMM}{name} is unknown; available are resnet18, 34, 50, 101 and 152 with one of timm's tags"
            )
        }
        false => format!("{TIMM}{name} is unknown; the tags of {network} are {}", tags.join(", ")),
    })
}

/// Reads the fields of timm, torchvision or striate.
pub fn parse(text: &str) -> Result<Preprocessing, String> {
    let wrong = |e: serde_json::Error| format!("is not a JSON preprocessing configuration ({e})");
    let all: Map<String, Value> = serde_json::from_str(text).map_err(wrong)?;
    // timm's `config.json` nests the fields.
    let fields = all.get("pretrained_cfg").and_then(Value::as_object).unwrap_or(&all);
    let has = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
    let read = if has(&["normalization"]) {
        return serde_json::from_value(Value::Object(fields.clone())).map_err(wrong);
    } else if has(&["input_size", "crop_pct"]) {
        of_timm(fields)?
    } else if has(&["crop_size", "resize_size"]) {
        of_torchvision(fields)?
    } else {
        return Err(
            "has neither timm's fields (input_size, crop_pct, interpolation, mean, std) nor torchvision's \
            (crop_size, resize_size, interpolation, mean, std)"
                .to_owned(),
        );
    };
    match field(fields, "transform_input")? {
        Some(true) => read.transform_input().map_err(|e| e.to_string()),
        _ => Ok(read),
    }
}

fn of_timm(fields: &Map<String, Value>) -> Result<Preprocessing, String> {
    let [_, height, width]: [usize; 3] = needed(fields, "input_size")?;
    let mode: Option<String> = field(fields, "crop_mode")?;
    if let Some(mode) = mode.filter(|mode| mode != "center") {
        return Err(format!("has crop_mode {mode:?}, only \"center\" is supported"));
    }
    let read = common(fields, [height, width])?;
    // timm's default.
    let crop_pct = field(fields, "crop_pct")?.unwrap_or(0.875);
    read.crop_pct(crop_pct).map_err(|e| e.to_string())
}

fn of_torchvision(fields: &Map<String, Value>) -> Result<Preprocessing, String> {
    let [resize] = sides(fields, "resize_size")?[..] else {
        return Err("has a resize_size of two sides, only that of the shorter side is supported".to_owned());
    };
    let size = match sides(fields, "crop_size")?[..] {
        [side] => [side, side],
        [height, width] => [height, width],
        _ => return Err("has a crop_size that is neither one side nor height and width".to_owned()),
    };
    Ok(Preprocessing { resize: Some(resize), ..common(fields, size)? })
}

/// Reads the fields common to both; by default ImageNet's statistics and bilinear.
fn common(fields: &Map<String, Value>, size: [usize; 2]) -> Result<Preprocessing, String> {
    let interpolation: Option<String> = field(fields, "interpolation")?;
    let interpolation = interpolation.as_deref().map(|name| {
        // The form in which Python prints the enum.
        let name = name.strip_prefix("InterpolationMode.").unwrap_or(name).to_lowercase();
        Interpolation::named(&name).ok_or_else(|| {
            format!("has interpolation {name:?}, supported are {}", Interpolation::NAMES.join(" and "))
        })
    });
    let (mean, std) = super::IMAGENET;
    let normalization = Normalization {
        mean: field(fields, "mean")?.unwrap_or(mean.into()),
        std: field(fields, "std")?.unwrap_or(std.into()),
    };
    Ok(Preprocessing {
        interpolation: interpolation.transpose()?.unwrap_or_default(),
        ..Preprocessing::new(size, normalization)
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(usize),
    More(Vec<usize>),
}

/// An integer or a list of integers.
fn sides(fields: &Map<String, Value>, name: &str) -> Result<Vec<usize>, String> {
    Ok(match needed(fields, name)? {
        OneOrMore::One(side) => vec![side],
        OneOrMore::More(sides) => sides,
    })
}

/// A field, unless it is missing or null.
fn field<'d, T: Deserialize<'d>>(fields: &'d Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::deserialize(value).map(Some).map_err(|e| format!("has an invalid {name} ({e})")),
    }
}

fn needed<'d, T: Deserialize<'d>>(fields: &'d Map<String, Value>, name: &str) -> Result<T, String> {
    field(fields, name)?.ok_or_else(|| format!("lacks {name}"))
}

//! Augmentations by name.

use super::{Augment, ColorJitter, Erasing, ResizedCrop};
use crate::{Error, Result};

/// Degrees of `rotation`; torchvision has no default.
const DEGREES: f64 = 15.0;
/// Strength of `color-jitter`; torchvision's default, 0, does nothing.
const JITTER: f64 = 0.4;

/// A value of an augmentation that is not understood: what was expected.
type Expected = &'static str;

/// Sets an augmentation in the settings, from its value and the size of the images.
type Set = fn(&mut Augment, Option<&str>, [usize; 2]) -> Result<(), Expected>;

/// All names, with the form of their values.
const ROWS: [(&str, &str, Set); 8] = [
    ("none", "", |_, value, _| absent(value)),
    ("flip", "", |augment, value, _| {
        augment.flip = true;
        absent(value)
    }),
    ("crop", "=PIXELS", |augment, value, size| {
        let padding = value.map(|text| text.parse().map_err(|_| "a number of pixels, such as 4"));
        augment.crop_padding = padding.transpose()?.unwrap_or(size[0].min(size[1]) / 8);
        Ok(())
    }),
    ("resized-crop", "=MIN..MAX", |augment, value, _| {
        let default = ResizedCrop::default();
        let scale = value.map(|text| range(text).ok_or("two fractions of the area, such as 0.5..1"));
        augment.resized_crop =
            Some(ResizedCrop { scale: scale.transpose()?.unwrap_or(default.scale), ..default });
        Ok(())
    }),
    ("rotation", "=DEGREES", |augment, value, _| {
        let degrees = value.map(|text| number(text).ok_or("a number of degrees, such as 15"));
        augment.rotation = degrees.transpose()?.unwrap_or(DEGREES);
        Ok(())
    }),
    ("color-jitter", "=STRENGTH or =BRIGHTNESS:CONTRAST:SATURATION:HUE", |augment, value, _| {
        let expected =
            "one strength, or four for brightness, contrast, saturation and hue, such as 0.4:0.4:0.4:0.1";
        let strengths: Option<Vec<f64>> =
            value.map_or(Some(vec![JITTER]), |text| text.split(':').map(number).collect());
        let [brightness, contrast, saturation, hue] = match strengths.as_deref() {
            // The proportions of SimCLR.
            Some([all]) => [*all, *all, *all, *all / 4.0],
            Some(&[brightness, contrast, saturation, hue]) => [brightness, contrast, saturation, hue],
            _ => return Err(expected),
        };
        augment.color_jitter = Some(ColorJitter { brightness, contrast, saturation, hue });
        Ok(())
    }),
    ("trivial-augment", "", |augment, value, _| {
        augment.trivial_augment = true;
        absent(value)
    }),
    ("erasing", "=PROBABILITY", |augment, value, _| {
        let default = Erasing::default();
        let probability = value.map(|text| number(text).ok_or("a probability, such as 0.5"));
        let probability = probability.transpose()?.unwrap_or(default.probability);
        augment.erasing = Some(Erasing { probability, ..default });
        Ok(())
    }),
];

fn absent(value: Option<&str>) -> Result<(), Expected> {
    value.map_or(Ok(()), |_| Err("no value"))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn range(text: &str) -> Option<[f64; 2]> {
    let (from, to) = text.split_once("..")?;
    Some([number(from)?, number(to)?])
}

impl Augment {
    /// Parses a comma-separated list of names for images of `size` `[height, width]`. The order of the names does not matter.
    ///
    /// | name | augmentation |
    /// | --- | --- |
    /// | `none` | none |
    /// | `flip` | [`flip`](Self::flip) |
    /// | `crop`, `crop=4` | [`crop_padding`](Self::crop_padding): these pixels, or 1/8 of the shorter side |
    /// | `crop-flip` | `crop,flip` |
    /// | `resized-crop`, `resized-crop=0.5..1` | [`resized_crop`](Self::resized_crop), with this range of the area |
    /// | `rotation`, `rotation=30` | [`rotation`](Self::rotation) by up to 15 or this many degrees |
    /// | `color-jitter`, `color-jitter=0.4`, `color-jitter=0.4:0.4:0.4:0.1` | [`color_jitter`](Self::color_jitter) by 0.4, or this brightness, contrast, saturation and hue; a single number gives the hue a quarter |
    /// | `trivial-augment` | [`trivial_augment`](Self::trivial_augment) |
    /// | `erasing`, `erasing=0.25` | [`erasing`](Self::erasing), with this probability |
    ///
    /// ```
    /// use striate::data::Augment;
    /// let usual = Augment { crop_padding: 4, flip: true, ..Default::default() };
    /// assert_eq!(Augment::named("crop,flip", [32, 32])?, usual);
    /// assert!(Augment::named("crop,mirror", [32, 32]).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for an unknown or repeated name, `none` among others, or an invalid value.
    pub fn named(names: &str, size: [usize; 2]) -> Result<Self> {
        let wrong = |problem: String| Error::argument("augment", problem);
        let mut augment = Self::default();
        let mut seen = Vec::new();
        // An earlier name for both.
        let items = names
            .split(',')
            .flat_map(|item| if item == "crop-flip" { vec!["crop", "flip"] } else { vec![item] });
        for item in items {
            let (name, value) =
                item.split_once('=').map_or((item, None), |(name, value)| (name, Some(value)));
            let row = ROWS.iter().find(|row| row.0 == name);
            let (_, _, set) = row.ok_or_else(|| wrong(format!("{name:?} is not one of {}", forms())))?;
            if seen.contains(&name) {
                return Err(wrong(format!("{name} is given twice; give it once")));
            }
            seen.push(name);
            let expected = |expected| wrong(format!("{item}: expected {expected}"));
            set(&mut augment, value, size).map_err(expected)?;
        }
        if seen.len() > 1 && seen.contains(&"none") {
            return Err(wrong(format!("{names}: none excludes all others; leave it out")));
        }
        augment.check_ranges().map_err(wrong)?;
        Ok(augment)
    }
}

/// The names and the forms of their values.
fn forms() -> String {
    ROWS.map(|(name, value, _)| match value.split_once(" or ") {
        _ if value.is_empty() => name.to_owned(),
        Some((one, other)) => format!("{name}[{one}], {name}[{other}]"),
        None => format!("{name}[{value}]"),
    })
    .join(", ")
}

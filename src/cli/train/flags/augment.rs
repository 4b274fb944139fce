//! Flags for augmentation, and a sheet of images that shows it.

use crate::cli::flags::number;
use crate::cli::images::images_of_all_classes;
use crate::cli::memory::parse_bytes;
use crate::cli::train::progress::say;
use crate::cli::{json, text};
use image::{ImageFormat, RgbImage};
use serde::Serialize;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use striate::data::{Augment, DrawKey, Mix, Split};
use striate::interpret::drawing::{Tile, denormalize, image_grid, resize, upscale, upscale_factor};
use striate::{Error, Result, write_file};

/// Most images on a sheet, one per row.
const ROWS: usize = 8;
/// Augmented versions of each: those of the first epochs.
const EPOCHS: u64 = 8;
/// Longest side of an image on the sheet, in pixels.
const SIDE: u32 = 224;

/// Default of --image-memory.
const IMAGE_MEMORY: u64 = 1 << 30;

/// Flags for augmentation.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentFlags {
    /// Augmentation of training images, as in torchvision: a list of none, flip, crop[=PIXELS], crop-flip,
    /// resized-crop[=MIN..MAX], rotation[=DEGREES], color-jitter[=STRENGTH], trivial-augment, erasing[=PROBABILITY]. By default,
    /// crop pads by 1/8 of the shorter side. Use crop,flip for long runs
    #[arg(long, default_value = "none", value_name = "NAME,...", value_parser = names)]
    augment: String,
    /// Mixup: interpolate pairs of images with weights from Beta(ALPHA, ALPHA), such as 0.2
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    mixup: f32,
    /// CutMix: paste a rectangle of another image, with areas from Beta(ALPHA, ALPHA), such as 1
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    cutmix: f32,
    /// Write a PNG of training images with their augmentation in the first epochs, and exit
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "json::optional_path", skip_serializing_if = "Option::is_none")]
    pub show_augment: Option<PathBuf>,
    /// Memory for the training images of a folder in their original size, from which resized-crop takes its parts; they are
    /// scaled down to fit [default: 1GiB]
    #[arg(long, value_name = "LIMIT", value_parser = parse_bytes)]
    #[serde(skip_serializing_if = "Option::is_none")]
    image_memory: Option<u64>,
}

/// Checks the value of --augment. Its defaults depend on the size of the images, which is not known yet.
fn names(names: &str) -> Result<String, String> {
    match Augment::named(names, [0, 0]) {
        Err(Error::Argument { problem, .. }) => Err(problem),
        _ => Ok(names.to_owned()),
    }
}

impl AugmentFlags {
    /// The augmentation for images of this size.
    pub fn augment(&self, image: [usize; 2]) -> Result<Option<Augment>> {
        let augment = Augment::named(&self.augment, image)?;
        Ok((augment != Augment::default()).then_some(augment))
    }

    /// Mixup and CutMix, if any.
    pub fn mix(&self) -> Option<Mix> {
        let (mixup, cutmix) = (self.mixup, self.cutmix);
        (mixup != 0.0 || cutmix != 0.0).then_some(Mix { mixup, cutmix })
    }

    /// Memory for original images: none unless the augmentation uses them.
    pub fn original_bytes(&self) -> Result<u64> {
        let resized_crop = self.augment([0, 0])?.and_then(|augment| augment.resized_crop);
        Ok(resized_crop.map_or(0, |_| self.image_memory.unwrap_or(IMAGE_MEMORY)))
    }

    /// Writes a sheet of training images, each with its augmentation in the first epochs of a run with this seed.
    pub fn show(&self, split: &Split, seed: u64, file: &Path) -> Result<()> {
        let [_, height, width] = split.train.shape();
        let Some(augment) = self.augment([height, width])? else {
            return Err(Error::argument(
                "show-augment",
                "there is no augmentation to show; give --augment too",
            ));
        };
        augment.check(split.train.shape())?;
        let title = format!("{} with --augment {} --seed {seed}", split.train.name(), self.augment);
        let sheet = image_grid(&text::name(&title), &tiles(split, augment, seed), EPOCHS as usize + 1);
        let mut png = Vec::new();
        sheet
            .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
            .map_err(|e| Error::data(file, format!("cannot be encoded as PNG ({e})")))?;
        write_file(file, &png)?;
        say(&format!("written  {}", file.display()));
        Ok(())
    }
}

/// A row per image: without augmentation, then as in each epoch.
fn tiles(split: &Split, augment: Augment, seed: u64) -> Vec<Tile> {
    let width = split.train.shape()[2];
    let tables = split.normalization.tables();
    let draw = |augment: Augment, index: usize, epoch: u64| {
        let key = DrawKey { seed, epoch, index: index as u64 };
        let mut image = vec![0.0; split.train.image_len()];
        augment.write(&split.train, key, &tables, &mut image);
        fit(&denormalize(&image, &split.normalization, width))
    };
    let mut tiles = Vec::new();
    for index in images_of_all_classes(&split.train, ROWS) {
        let class = &split.train.classes()[split.train.labels()[index] as usize];
        tiles.push(Tile::new(draw(Augment::default(), index, 0), text::name(class)));
        let epochs = (0..EPOCHS).map(|epoch| (draw(augment, index, epoch), format!("epoch {}", epoch + 1)));
        tiles.extend(epochs.map(|(image, label)| Tile::new(image, label)));
    }
    tiles
}

/// Scales small images up by an integer factor, and large ones down.
fn fit(image: &RgbImage) -> RgbImage {
    let longest = image.width().max(image.height());
    let scaled = |side: u32| (side * SIDE / longest).max(1);
    match longest <= SIDE {
        true => upscale(image, upscale_factor(longest as usize, SIDE as usize)),
        false => resize(image, scaled(image.width()), scaled(image.height())),
    }
}

//! A trained network from the command line: `[MODEL] WEIGHTS` and the flags that go with them.

use super::flags::parse_size;
use super::terminal::note;
use super::train::MODEL;
use std::path::{Path, PathBuf};
use striate::data::{self, Normalization, Preprocessing};
use striate::infer::{Card, Predictor, class_count, usual_preprocessing};
use striate::models::{self, Model};
use striate::weights::{Fit, Weights};
use striate::{Device, Error, Result};

/// How to read weights, and what they want pictures to be like.
#[derive(clap::Args)]
pub struct NetworkFlags {
    /// Take what fits of the weights, leave the rest of the network as it is initialised, and say so
    #[arg(long)]
    partial: bool,
    /// What is done to pictures: imagenet (torchvision, timm), bvlc (Caffe), cifar10, cifar10-imagenet, cifar100, mnist or
    /// fashion-mnist [default: what the weights say, else what is usual for the model]
    #[arg(long, value_name = "NAME")]
    preprocess: Option<String>,
    /// HEIGHTxWIDTH that the network takes, instead of the preprocessing's
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    size: Option<[usize; 2]>,
    /// Scale the shorter side to this before the centre is cropped
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Means of the channels on a scale of 0 to 1, such as 0.485,0.456,0.406
    #[arg(long, value_delimiter = ',', value_name = "MEANS", allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviations of the channels on the same scale
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", allow_negative_numbers = true)]
    std: Option<Vec<f32>>,
}

/// Weights, with what they and the command line say of them.
pub struct Network {
    pub weights: Weights,
    pub card: Card,
    model: String,
}

impl Network {
    /// The network that `[MODEL] WEIGHTS` at the front of `arguments` names, and what follows them. MODEL is left
    /// out where the weights know it.
    pub fn open(arguments: &[PathBuf]) -> Result<(Self, &[PathBuf])> {
        let (first, rest) = arguments.split_first().expect("the command line has at least one");
        // Channels and classes do not matter to whether there is such a model.
        let known = first.to_str().map(|name| models::by_name(name, 3, 10).map(|_| name));
        let (model, weights, rest) = match (known, rest.split_first()) {
            (Some(Ok(name)), Some((weights, rest))) => (Some(name), weights, rest),
            (Some(Ok(name)), None) => {
                return Err(Error::argument(
                    name,
                    "is a model; give its weights too, a file or a run folder",
                ));
            }
            _ if first.exists() => (None, first, rest),
            (Some(Err(error)), _) if !looks_like_a_path(first) => return Err(error),
            _ => {
                return Err(Error::data(first, "is not there; give [MODEL] WEIGHTS, a file or a run folder"));
            }
        };
        let weights = Weights::read(&file(weights)?)?;
        let card = Card::of(&weights)?;
        let model = match (model, &card.model) {
            (Some(asked), Some(own)) if asked != own => {
                let problem =
                    format!("holds the weights of {own}, not of {asked}; leave the model out, or say {own}");
                return Err(Error::data(weights.path(), problem));
            }
            (Some(name), _) => name.to_owned(),
            (None, Some(own)) => own.clone(),
            (None, None) => {
                let problem = "does not say which model it is of; give the model's name before it";
                return Err(Error::data(weights.path(), problem));
            }
        };
        Ok((Self { weights, card, model }, rest))
    }

    /// What flags, weights, habit or, last of all, `fallback` say that pictures should be like.
    pub fn preprocessing(
        &self,
        flags: &NetworkFlags,
        fallback: Option<Preprocessing>,
    ) -> Result<Preprocessing> {
        let mut preprocessing =
            match (&flags.preprocess, &self.card.preprocessing, usual_preprocessing(&self.model)) {
                (Some(name), _, _) => Preprocessing::named(name)?,
                (None, Some(own), _) => own.clone(),
                (None, None, Some(usual)) => Preprocessing::named(usual)?,
                (None, None, None) => fallback.ok_or_else(|| {
                    let names = Preprocessing::NAMES.join(", ");
                    let problem =
                        format!("cannot be told from the weights of {}; give one of {names}", self.model);
                    Error::argument("preprocess", problem)
                })?,
            };
        preprocessing.size = flags.size.unwrap_or(preprocessing.size);
        preprocessing.resize = match (flags.resize, flags.size) {
            (None, Some(_)) => None,
            (resize, _) => resize.or(preprocessing.resize),
        };
        let Normalization { mean, std } = &mut preprocessing.normalization;
        *mean = flags.mean.clone().unwrap_or(std::mem::take(mean));
        *std = flags.std.clone().unwrap_or(std::mem::take(std));
        preprocessing.check()?;
        Ok(preprocessing)
    }

    /// How many classes the weights tell apart, or how many names there are for them. Both must be the same.
    pub fn classes(&self, preprocessing: &Preprocessing, names: Option<&[String]>) -> Result<usize> {
        let classes = self.class_count(preprocessing)?.or(names.map(<[String]>::len)).ok_or_else(|| {
            let problem = "has no last layer of this model; give the model it was made for";
            Error::data(self.weights.path(), problem)
        })?;
        match names {
            Some(names) if names.len() != classes => {
                let count = names.len();
                let problem = format!(
                    "{count} names do not fit weights that tell {classes} classes apart; give one name a class"
                );
                Err(Error::argument("--classes", problem))
            }
            _ => Ok(classes),
        }
    }

    /// How many classes the weights tell apart, as far as they say.
    pub fn class_count(&self, preprocessing: &Preprocessing) -> Result<Option<usize>> {
        class_count(&self.weights, &self.model, preprocessing)
    }

    /// The model for so many classes.
    pub fn model(&self, channels: usize, classes: usize) -> Result<Box<dyn Model>> {
        models::by_name(&self.model, channels, classes)
    }

    /// The model with its weights on a device; a note says what of them was not taken.
    pub fn predictor(
        &self,
        device: &Device,
        model: &dyn Model,
        flags: &NetworkFlags,
        size: [usize; 2],
        batch: usize,
    ) -> Result<Predictor> {
        let mut predictor = Predictor::new(device, model, size, batch)?;
        let fit = if flags.partial { Fit::Partial } else { Fit::Strict };
        if flags.partial {
            predictor.session().initialize(0)?;
        }
        let loaded = predictor.load(&self.weights, fit)?;
        if !loaded.is_whole() {
            note(&format!("note: of {}, {loaded}", self.weights.path().display()));
        }
        Ok(predictor)
    }
}

fn looks_like_a_path(argument: &Path) -> bool {
    argument.components().count() > 1 || argument.extension().is_some()
}

/// The file of weights that a path means: itself, or the one in a run folder.
pub fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let inner = path.join(MODEL);
    if inner.is_file() {
        return Ok(inner);
    }
    Err(Error::data(path, format!("is a folder without {MODEL}; give a run folder or a file of weights")))
}

/// Names of classes: those of a data set by its name, or a file's, one a line.
pub fn class_names(text: &str) -> Result<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match text {
        "cifar10" => Ok(owned(&data::CIFAR10_CLASSES)),
        "fashion-mnist" => Ok(owned(&data::FASHION_MNIST_CLASSES)),
        path => data::read_class_names(Path::new(path)),
    }
}

//! A trained network from the command line: `[MODEL] WEIGHTS` and the flags that go with them.

use super::flags::{number, parse_size};
use super::terminal::note;
use std::path::{Path, PathBuf};
use striate::data::{self, Interpolation, Normalization, Preprocessing};
use striate::infer::{Card, Predictor, class_count, last_layer, usual_preprocessing};
use striate::models::{self, Model};
use striate::weights::{Fit, Weights};
use striate::{Device, Error, Result};

/// How a run was begun, in its folder.
pub const CONFIG: &str = "config.json";
/// The weights of a run, in its folder.
pub const MODEL: &str = "model.safetensors";

/// How to read weights, and what they want images to be like.
#[derive(clap::Args)]
pub struct NetworkFlags {
    /// Names of the classes: a file with one a line, cifar10 or fashion-mnist [default: the weights' own]
    #[arg(long, value_name = "FILE")]
    classes: Option<String>,
    /// Take what fits of the weights, leave the rest of the network as it is initialised, and say so
    #[arg(long)]
    partial: bool,
    /// What is done to images: imagenet (torchvision), googlenet (the same with transform_input), bvlc (Caffe), cifar10,
    /// cifar10-imagenet, cifar100, mnist or fashion-mnist; timm:resnet50.a1_in1k for weights of timm's; or a JSON file of
    /// timm's or torchvision's fields [default: what the weights say, else what is usual for the model]
    #[arg(long, value_name = "NAME")]
    preprocess: Option<String>,
    /// HEIGHTxWIDTH that the network takes, instead of the preprocessing's
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    size: Option<[usize; 2]>,
    /// Scale the shorter side to this before the centre is cropped
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Scale the shorter side so that the crop is this share of it: timm's crop_pct
    #[arg(long, value_name = "SHARE", conflicts_with = "resize")]
    crop_pct: Option<f64>,
    /// How images are scaled: bilinear or bicubic
    #[arg(long, value_parser = parse_interpolation, value_name = "NAME")]
    interpolation: Option<Interpolation>,
    /// Means of the channels on a scale of 0 to 1, such as 0.485,0.456,0.406
    #[arg(long, value_delimiter = ',', value_name = "MEANS", allow_negative_numbers = true, value_parser = number)]
    mean: Option<Vec<f32>>,
    /// Standard deviations of the channels on the same scale
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", allow_negative_numbers = true, value_parser = number)]
    std: Option<Vec<f32>>,
    /// Go on from these figures to those that torchvision's networks with transform_input=True take
    #[arg(long)]
    transform_input: bool,
    /// Leave images as they lie in their files, as torchvision and timm do, whatever their EXIF data say of rotation
    #[arg(long)]
    no_exif_rotation: bool,
}

fn parse_interpolation(name: &str) -> Result<Interpolation, String> {
    Interpolation::named(name)
        .ok_or_else(|| format!("expected {}, found {name}", Interpolation::NAMES.join(" or ")))
}

/// Weights, with what they and the command line say of them.
pub struct Network {
    pub weights: Weights,
    pub card: Card,
    model: String,
    /// How many classes the weights tell apart, as far as they say.
    classes: Option<usize>,
    /// The folder of the run that left the weights, if they are in one.
    run: Option<PathBuf>,
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
        let file = file(weights)?;
        let run = file.parent().filter(|folder| is_there(&folder.join(CONFIG))).map(Path::to_owned);
        let weights = Weights::read(&file)?;
        let mut card = Card::of(&weights);
        let note = |problem: String| note(&format!("note: {}: {problem}", weights.path().display()));
        for metadata in &card.passed_over {
            note(format!("its metadata are passed over where they cannot be used: {metadata}"));
        }
        let model = match (model, &card.model) {
            (Some(asked), Some(own)) if asked != own => {
                note(format!("says that it holds {own}, and is taken for {asked}"));
                asked.to_owned()
            }
            (Some(name), _) => name.to_owned(),
            (None, Some(own)) => own.clone(),
            (None, None) => {
                let problem = "does not say which model it is of; give the model's name before it";
                return Err(Error::data(weights.path(), problem));
            }
        };
        let classes = class_count(&weights, &model)?;
        let fit = |names: &Vec<String>| classes.is_none_or(|classes| classes == names.len());
        if let Some(names) = card.classes.take_if(|names| !fit(names)) {
            note(format!(
                "its {} names of classes are passed over: it tells {} apart",
                names.len(),
                classes.unwrap_or(0)
            ));
        }
        Ok((Self { weights, card, model, classes, run }, rest))
    }

    /// What flags, weights, habit or, last of all, `fallback` say that images should be like.
    pub fn preprocessing(
        &self,
        flags: &NetworkFlags,
        fallback: Option<Preprocessing>,
    ) -> Result<Preprocessing> {
        self.known_preprocessing(flags, fallback)?.ok_or_else(|| {
            let names = Preprocessing::NAMES.join(", ");
            let problem = format!("cannot be told from the weights of {}; give one of {names}", self.model);
            Error::argument("preprocess", problem)
        })
    }

    /// The same; `None` if nothing says it.
    pub fn known_preprocessing(
        &self,
        flags: &NetworkFlags,
        fallback: Option<Preprocessing>,
    ) -> Result<Option<Preprocessing>> {
        let known = match (&flags.preprocess, &self.card.preprocessing, usual_preprocessing(&self.model)) {
            (Some(file), _, _) if file.ends_with(".json") => Some(Preprocessing::from_file(file.as_ref())?),
            (Some(name), _, _) => Some(Preprocessing::named(name)?),
            (None, Some(own), _) => Some(own.clone()),
            (None, None, Some(usual)) => Some(Preprocessing::named(&usual)?),
            (None, None, None) => fallback,
        };
        let Some(mut preprocessing) = known else { return Ok(None) };
        preprocessing.size = flags.size.unwrap_or(preprocessing.size);
        preprocessing.resize = match (flags.resize, flags.size) {
            (None, Some(_)) => None,
            (resize, _) => resize.or(preprocessing.resize),
        };
        if let Some(share) = flags.crop_pct {
            preprocessing = preprocessing.crop_pct(share)?;
        }
        preprocessing.interpolation = flags.interpolation.unwrap_or(preprocessing.interpolation);
        preprocessing.exif_rotation &= !flags.no_exif_rotation;
        let Normalization { mean, std } = &mut preprocessing.normalization;
        *mean = flags.mean.clone().unwrap_or(std::mem::take(mean));
        *std = flags.std.clone().unwrap_or(std::mem::take(std));
        if flags.transform_input {
            preprocessing = preprocessing.transform_input()?;
        }
        preprocessing.check()?;
        Ok(Some(preprocessing))
    }

    /// Who says what images should be like.
    pub fn preprocessing_of(&self, flags: &NetworkFlags) -> String {
        match (&flags.preprocess, &self.card.preprocessing, usual_preprocessing(&self.model)) {
            (Some(name), _, _) => name.clone(),
            (None, Some(_), _) => "as the weights say".to_owned(),
            (None, None, Some(usual)) => format!("{usual}, as is usual for {}", self.model),
            (None, None, None) => "as the data are".to_owned(),
        }
    }

    /// The folder of the run that the weights are of, if they are in it.
    pub fn run(&self) -> Option<&Path> {
        self.run.as_deref()
    }

    /// Names of the classes, by number: those that flags name, else the weights' own.
    pub fn names(&self, flags: &NetworkFlags) -> Result<Option<Vec<String>>> {
        match &flags.classes {
            Some(text) => class_names(text).map(Some),
            None => Ok(self.card.classes.clone()),
        }
    }

    /// How many classes the weights tell apart, or how many names there are for them. Both must be the same.
    pub fn classes(&self, flags: &NetworkFlags, names: Option<&[String]>) -> Result<usize> {
        let named = names.map(<[String]>::len).filter(|_| flags.partial);
        let Some(classes) = self.classes.or(named) else {
            return Err(self.no_last_layer()?);
        };
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
    pub fn class_count(&self) -> Option<usize> {
        self.classes
    }

    fn no_last_layer(&self) -> Result<Error> {
        const SHOWN: usize = 12;
        let last = last_layer(&self.model)?.unwrap_or_default();
        let names: Vec<&str> = self.weights.names().collect();
        // Those of the last layers are at neither end of a sorted list: what differs most comes from both.
        let shown = match names.len() {
            0..=SHOWN => names.join(", "),
            many => {
                let (first, end) = (&names[..SHOWN / 2], &names[many - SHOWN / 2..]);
                format!("{}, ..., {}", first.join(", "), end.join(", "))
            }
        };
        let problem = format!(
            "has no {last}, the last layer of {}; it has {} tensors: {shown}; give the model it was made for, or \
            --partial and the names of --classes for weights without a last layer",
            self.model,
            names.len(),
        );
        Ok(Error::data(self.weights.path(), problem))
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
        if !loaded.is_complete() || loaded.renamed.is_some() {
            note(&format!("note: of {}, {loaded}", self.weights.path().display()));
        }
        Ok(predictor)
    }
}

/// Whether an argument is rather a file than a model that is not known. timm's tags have underscores, as endings of files
/// have not.
fn looks_like_a_path(argument: &Path) -> bool {
    let ending = argument.extension().map(|ending| ending.to_string_lossy().into_owned());
    argument.components().count() > 1 || ending.is_some_and(|ending| !ending.contains('_'))
}

/// Whether there is anything: what cannot be read is an error where it is read.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The file of weights that a path means: itself, or the one in a run folder.
pub fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let inner = path.join(MODEL);
    if is_there(&inner) {
        return Ok(inner);
    }
    Err(Error::data(path, format!("is a folder without {MODEL}; give a run folder or a file of weights")))
}

/// Names of classes: those of a data set by its name, or a file's, one a line.
fn class_names(text: &str) -> Result<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match text {
        "cifar10" => Ok(owned(&data::CIFAR10_CLASSES)),
        "fashion-mnist" => Ok(owned(&data::FASHION_MNIST_CLASSES)),
        path => data::read_class_names(Path::new(path)),
    }
}

//! A trained network on the command line: `[MODEL] WEIGHTS` and related flags.

use super::flags::{number, parse_size};
use super::pretrained::Pretrained;
use super::terminal::note;
use std::path::{Path, PathBuf};
use striate::data::{self, Interpolation, Normalization, Preprocessing};
use striate::infer::{Card, Predictor, class_count, last_layer, usual_preprocessing};
use striate::models::{self, Model};
use striate::weights::{Fit, Weights};
use striate::{Device, Error, Result};

/// Settings of a run, in its folder.
pub const CONFIG: &str = "config.json";
/// Final weights of a run, in its folder.
pub const MODEL: &str = "model.safetensors";
/// The weights of its best epoch.
pub const BEST: &str = "best.safetensors";

/// How to load weights and preprocess images for them.
#[derive(clap::Args, Default)]
pub struct NetworkFlags {
    /// Use torchvision's pretrained weights, with ImageNet's classes; MODEL alone names them (see `striate fetch`). They are
    /// downloaded if they are missing
    #[arg(long, help_heading = "Network")]
    pretrained: bool,
    /// Class names: a file with one per line, cifar10 or fashion-mnist [default: stored with the weights]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    classes: Option<String>,
    /// Load only the weights that fit, initialize the others, and list the differences
    #[arg(long, help_heading = "Network")]
    partial: bool,
    /// Preprocessing of images: imagenet (torchvision), googlenet (the same with transform_input), bvlc (Caffe), cifar10,
    /// cifar10-imagenet, cifar100, mnist or fashion-mnist; timm:resnet50.a1_in1k for weights from timm; or a JSON file with
    /// timm's or torchvision's fields [default: stored with the weights, otherwise the default of the model]
    #[arg(long, value_name = "NAME", help_heading = "Preprocessing")]
    preprocess: Option<String>,
    /// HEIGHTxWIDTH of the network's input, overriding the preprocessing
    #[arg(long, value_parser = parse_size, value_name = "HxW", help_heading = "Preprocessing")]
    size: Option<[usize; 2]>,
    /// Scale the shorter side to this before cropping the center
    #[arg(long, value_name = "PIXELS", help_heading = "Preprocessing")]
    resize: Option<usize>,
    /// Scale the shorter side so that the crop is this fraction of it, as timm's crop_pct
    #[arg(long, value_name = "FRACTION", conflicts_with = "resize", help_heading = "Preprocessing")]
    crop_pct: Option<f64>,
    /// Filter for scaling: bilinear or bicubic
    #[arg(long, value_parser = parse_interpolation, value_name = "NAME", help_heading = "Preprocessing")]
    interpolation: Option<Interpolation>,
    /// Means of the channels on a scale of 0 to 1, such as 0.485,0.456,0.406
    #[arg(long, value_delimiter = ',', value_name = "MEANS", allow_negative_numbers = true, value_parser = number, help_heading = "Preprocessing")]
    mean: Option<Vec<f32>>,
    /// Standard deviations of the channels on the same scale
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", allow_negative_numbers = true, value_parser = number, help_heading = "Preprocessing")]
    std: Option<Vec<f32>>,
    /// Convert the normalization to the one that torchvision's networks with transform_input=True expect
    #[arg(long, help_heading = "Preprocessing")]
    transform_input: bool,
    /// Ignore the EXIF orientation of images, as torchvision and timm do
    #[arg(long, help_heading = "Preprocessing")]
    no_exif_rotation: bool,
}

fn parse_interpolation(name: &str) -> Result<Interpolation, String> {
    Interpolation::named(name)
        .ok_or_else(|| format!("expected {}, found {name}", Interpolation::NAMES.join(" or ")))
}

/// Weights and their metadata.
pub struct Network {
    pub weights: Weights,
    pub card: Card,
    model: String,
    /// Number of classes; `None` if the weights lack the last layer.
    classes: Option<usize>,
    /// The run folder that contains the weights, if any.
    run: Option<PathBuf>,
    pretrained: Option<&'static Pretrained>,
}

impl Network {
    /// Opens the network of `[MODEL] WEIGHTS`, which must be all of `arguments`. `expected` is the usage for the error message.
    pub fn open_only(arguments: &[PathBuf], flags: &NetworkFlags, expected: &str) -> Result<Self> {
        let (network, rest) = Self::open(arguments, flags)?;
        match rest.first() {
            None => Ok(network),
            Some(extra) => {
                let problem = format!("is unexpected; expected {expected}");
                Err(Error::argument(extra.display().to_string(), problem))
            }
        }
    }

    /// Opens the network of `[MODEL] WEIGHTS` at the start of `arguments`; also returns the other arguments. MODEL may be
    /// omitted if the weights contain it, and WEIGHTS if they are pretrained.
    pub fn open<'a>(arguments: &'a [PathBuf], flags: &NetworkFlags) -> Result<(Self, &'a [PathBuf])> {
        let (first, rest) = arguments.split_first().expect("clap requires at least one argument");
        if flags.pretrained {
            return Ok((Self::pretrained(Pretrained::named(&first.to_string_lossy())?)?, rest));
        }
        // Whether the name is known does not depend on channels and classes.
        let known = first.to_str().map(|name| models::by_name(name, 3, 10).map(|_| name));
        let (model, weights, rest) = match (known, rest.split_first()) {
            (Some(Ok(name)), Some((weights, rest))) => (Some(name), weights, rest),
            (Some(Ok(name)), None) => {
                return Err(Error::argument(
                    name,
                    "is a model; add its weights (a file or a run folder), or --pretrained",
                ));
            }
            _ if first.exists() => (None, first, rest),
            (Some(Err(error)), _) if !looks_like_a_path(first) => return Err(error),
            _ => {
                let problem = "does not exist; expected [MODEL] WEIGHTS, a file or a run folder";
                return Err(Error::data(first, problem));
            }
        };
        let file = file(weights)?;
        let run = file.parent().filter(|folder| exists(&folder.join(CONFIG))).map(Path::to_owned);
        let weights = Weights::read(&file)?;
        let mut card = Card::of(&weights);
        let note = |problem: String| note(&format!("note: {}: {problem}", weights.path().display()));
        for entry in &card.ignored {
            note(format!("ignored invalid metadata: {entry}"));
        }
        let model = match (model, &card.model) {
            (Some(requested), Some(own)) if requested != own => {
                note(format!("contains {own} according to its metadata; loading it as {requested}"));
                requested.to_owned()
            }
            (Some(name), _) => name.to_owned(),
            (None, Some(own)) => own.clone(),
            (None, None) => {
                let problem = "does not name its model; give the model's name before it";
                return Err(Error::data(weights.path(), problem));
            }
        };
        let classes = class_count(&weights, &model)?;
        if let Some(classes) = classes
            && let Some(names) = card.classes.take_if(|names| names.len() != classes)
        {
            note(format!("ignored its {} class names: it has {classes} classes", names.len()));
        }
        Ok((Self { weights, card, model, classes, run, pretrained: None }, rest))
    }

    /// Opens pretrained weights, which are fetched if they are missing.
    fn pretrained(pretrained: &'static Pretrained) -> Result<Self> {
        let weights = Weights::read(&pretrained.obtain()?)?;
        let model = pretrained.network.to_owned();
        let classes = class_count(&weights, &model)?;
        Ok(Self {
            weights,
            card: pretrained.card()?,
            model,
            classes,
            run: None,
            pretrained: Some(pretrained),
        })
    }

    /// The preprocessing given by flags, stored with the weights, usual for the model, or else `fallback`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is none.
    pub fn preprocessing(
        &self,
        flags: &NetworkFlags,
        fallback: Option<Preprocessing>,
    ) -> Result<Preprocessing> {
        self.known_preprocessing(flags, fallback)?.ok_or_else(|| {
            let names = Preprocessing::NAMES.join(", ");
            let problem = format!("is not stored with the weights of {}; give one of {names}", self.model);
            Error::argument("preprocess", problem)
        })
    }

    /// Like [`preprocessing`](Self::preprocessing), but `None` if there is none.
    pub fn known_preprocessing(
        &self,
        flags: &NetworkFlags,
        fallback: Option<Preprocessing>,
    ) -> Result<Option<Preprocessing>> {
        let known = match (&flags.preprocess, &self.card.preprocessing, usual_preprocessing(&self.model)) {
            (Some(name), _, _) => Some(named_preprocessing(name)?),
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
        if let Some(fraction) = flags.crop_pct {
            preprocessing = preprocessing.crop_pct(fraction)?;
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

    /// Where the preprocessing comes from.
    pub fn preprocessing_origin(&self, flags: &NetworkFlags) -> String {
        match (&flags.preprocess, &self.card.preprocessing, usual_preprocessing(&self.model)) {
            (Some(name), _, _) => name.clone(),
            (None, Some(_), _) => match self.pretrained {
                Some(weights) => format!("torchvision's for {}", weights.name()),
                None => "stored with the weights".to_owned(),
            },
            (None, None, Some(usual)) => format!("{usual}, the default for {}", self.model),
            (None, None, None) => "from the data set".to_owned(),
        }
    }

    /// The run folder that contains the weights, if any.
    pub fn run(&self) -> Option<&Path> {
        self.run.as_deref()
    }

    /// Class names from flags, or else stored with the weights.
    pub fn names(&self, flags: &NetworkFlags) -> Result<Option<Vec<String>>> {
        match &flags.classes {
            Some(text) => class_names(text).map(Some),
            None => Ok(self.card.classes.clone()),
        }
    }

    /// The number of classes of the weights, which must match the number of names; of partial weights without a last layer,
    /// the number of names.
    pub fn classes(&self, flags: &NetworkFlags, names: Option<&[String]>) -> Result<usize> {
        let named = names.map(<[String]>::len).filter(|_| flags.partial);
        let Some(classes) = self.classes.or(named) else {
            return Err(self.no_last_layer()?);
        };
        match names {
            Some(names) if names.len() != classes => {
                let problem = format!("expected {classes} names, one per class, found {}", names.len());
                Err(Error::argument("--classes", problem))
            }
            _ => Ok(classes),
        }
    }

    /// The number of classes of the weights; `None` if they lack the last layer.
    pub fn class_count(&self) -> Option<usize> {
        self.classes
    }

    fn no_last_layer(&self) -> Result<Error> {
        const SHOWN: usize = 12;
        let last = last_layer(&self.model)?.unwrap_or_default();
        let names: Vec<&str> = self.weights.names().collect();
        // Names are sorted, so the first and the last few differ most.
        let shown = match names.len() {
            0..=SHOWN => names.join(", "),
            many => {
                let (first, end) = (&names[..SHOWN / 2], &names[many - SHOWN / 2..]);
                format!("{}, ..., {}", first.join(", "), end.join(", "))
            }
        };
        let problem = format!(
            "has no {last}, the last layer of {}; it has {} tensors: {shown}; give the right model, or --partial and \
            --classes for weights without a last layer",
            self.model,
            names.len(),
        );
        Ok(Error::data(self.weights.path(), problem))
    }

    /// Builds the model.
    pub fn model(&self, channels: usize, classes: usize) -> Result<Box<dyn Model>> {
        models::by_name(&self.model, channels, classes)
    }

    /// Loads the weights on a device; prints a note if they do not fit exactly.
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

/// Whether an argument is a file rather than an unknown model. Unlike file extensions, timm's tags contain underscores.
fn looks_like_a_path(argument: &Path) -> bool {
    let extension = argument.extension().map(|extension| extension.to_string_lossy().into_owned());
    argument.components().count() > 1 || extension.is_some_and(|extension| !extension.contains('_'))
}

/// Whether a path exists, even if it cannot be read: reading it gives the better error.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The weight file that a path refers to: itself, or the best of a run folder.
pub fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    // A run that ended within its first epoch has no best weights.
    if let Some(inner) = [BEST, MODEL].map(|name| path.join(name)).into_iter().find(|inner| exists(inner)) {
        return Ok(inner);
    }
    Err(Error::data(
        path,
        format!("is a folder without {BEST} or {MODEL}; give a run folder or a weight file"),
    ))
}

/// The preprocessing that `--preprocess` names.
pub fn named_preprocessing(name: &str) -> Result<Preprocessing> {
    if name.ends_with(".json") { Preprocessing::from_file(name.as_ref()) } else { Preprocessing::named(name) }
}

/// Class names of a data set, or from a file.
fn class_names(text: &str) -> Result<Vec<String>> {
    match text {
        "cifar10" => Ok(data::CIFAR10_CLASSES.map(str::to_owned).into()),
        "fashion-mnist" => Ok(data::FASHION_MNIST_CLASSES.map(str::to_owned).into()),
        path => data::read_class_names(Path::new(path)),
    }
}

//! Flags that views have in common: which network, which pictures, where to.

use crate::cli::eval::{check, of_data};
use crate::cli::flags::DeviceFlags;
use crate::cli::network::{Network, NetworkFlags, class_names};
use crate::cli::predict::find;
use crate::cli::terminal::note;
use image::RgbImage;
use std::path::PathBuf;
use striate::data::{self, Preprocessing, Split};
use striate::see::{Lens, Pictures, canvas};
use striate::{Device, Error, Result};

/// The network, and where a view goes.
#[derive(clap::Args)]
pub struct LensFlags {
    /// The network's name, left out where the weights know it; then weights: a safetensors file, a .pth archive or a run
    /// folder of `striate train`
    #[arg(required = true, num_args = 1..=2, value_names = ["[MODEL] WEIGHTS"])]
    what: Vec<PathBuf>,
    /// Names of the classes: a file with one a line, cifar10 or fashion-mnist [default: the weights' own, or the data set's]
    #[arg(long, value_name = "FILE")]
    classes: Option<String>,
    /// Pictures at a time
    #[arg(long, default_value_t = 16)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
}

/// Where a view's files go.
#[derive(clap::Args)]
pub struct OutFlags {
    /// Folder for the pictures and numbers, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// The pictures to look with.
#[derive(clap::Args)]
pub struct PictureFlags {
    /// Pictures and folders of them; with --dataset, the folder of its files
    #[arg(long, num_args = 1.., value_name = "PICTURES")]
    data: Vec<PathBuf>,
    /// Take the test pictures of fashion-mnist, mnist, cifar10, cifar100 or folder
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Take the first so many pictures
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pictures: usize,
}

/// A network and the names of its classes.
pub struct Subject {
    pub lens: Lens,
    /// Where its weights are from.
    pub weights: String,
    /// What pictures it is looked at with, to be read after their number.
    pub data: String,
    names: Option<Vec<String>>,
}

impl LensFlags {
    /// The network alone, for views that need no pictures.
    pub fn open(&self) -> Result<Subject> {
        self.lens(&self.network()?, None)
    }

    /// The network and pictures as it takes them. Those that were passed over are named on standard error.
    pub fn open_with(&self, pictures: &PictureFlags) -> Result<(Subject, Pictures)> {
        let network = self.network()?;
        let Some(dataset) = &pictures.dataset else {
            if pictures.data.is_empty() {
                let problem = "is missing; give pictures or folders of them, or a --dataset";
                return Err(Error::argument("data", problem));
            }
            let paths: Vec<PathBuf> = find(&pictures.data)?.into_iter().take(pictures.pictures).collect();
            let subject = self.lens(&network, None)?;
            let read = Pictures::read(&paths, subject.lens.preprocessing())?;
            for (_, problem) in &read.skipped {
                note(&format!("skipped: {problem}"));
            }
            return Ok((subject, read));
        };
        if let Some(extra) = pictures.data.get(1) {
            return Err(Error::argument(
                "data",
                format!("a data set has one folder; {} is too much", extra.display()),
            ));
        }
        let size = network.preprocessing(&self.network, None).ok().map(|preprocessing| preprocessing.size);
        let folder = size.filter(|_| dataset == "folder");
        let split = data::open(dataset, pictures.data.first().map(PathBuf::as_path), folder)?;
        let subject = self.lens(&network, Some((&split, dataset)))?;
        let normalization = &subject.lens.preprocessing().normalization;
        let read = Pictures::of(&split.test, normalization, pictures.pictures);
        Ok((subject, read))
    }

    fn network(&self) -> Result<Network> {
        let (network, rest) = Network::open(&self.what)?;
        match rest.first() {
            Some(extra) => Err(Error::argument(
                extra.display().to_string(),
                "is one argument too many; give [MODEL] WEIGHTS, and pictures after --data",
            )),
            None => Ok(network),
        }
    }

    fn lens(&self, network: &Network, data: Option<(&Split, &str)>) -> Result<Subject> {
        let fallback = data.map(|(split, _)| of_data(split));
        let preprocessing = network.preprocessing(&self.network, fallback)?;
        if let Some((split, name)) = data {
            check(network, &preprocessing, split, name)?;
            check_size(&preprocessing, split, name)?;
        }
        let names = match (&self.classes, &network.card.classes, data) {
            (Some(text), _, _) => Some(class_names(text)?),
            (None, Some(own), _) => Some(own.clone()),
            (None, None, Some((split, _))) => Some(split.test.classes().to_vec()),
            (None, None, None) => None,
        };
        let classes = network.classes(&self.network, names.as_deref())?;
        let model = network.model(preprocessing.channels(), classes)?;
        // The CPU fits the weights to the model; the device gets them with each question.
        let mut fitted =
            network.predictor(&Device::select("cpu")?, &*model, &self.network, preprocessing.size, 1)?;
        let weights = fitted.session().state_dict()?;
        let lens = Lens::new(&self.device.open()?, &*model, weights, preprocessing, self.batch)?;
        let data =
            data.map_or("files".to_owned(), |(split, _)| format!("of {}'s test pictures", split.test.name()));
        Ok(Subject { lens, weights: network.weights.path().display().to_string(), data, names })
    }
}

fn check_size(preprocessing: &Preprocessing, split: &Split, dataset: &str) -> Result<()> {
    let [_, height, width] = split.test.shape();
    match preprocessing.size == [height, width] {
        true => Ok(()),
        false => Err(Error::argument(
            "dataset",
            format!(
                "{dataset} has pictures of {height} x {width}, but the network is to take {:?}; give --size {height}x{width}",
                preprocessing.size
            ),
        )),
    }
}

impl Subject {
    /// The name of a class, or its number where it has none.
    pub fn class(&self, class: usize) -> String {
        match &self.names {
            Some(names) => names[class].clone(),
            None => format!("class {class}"),
        }
    }

    /// Refuses a class that there is not.
    pub fn check_class(&self, class: Option<usize>) -> Result<()> {
        let last = self.lens.classes() - 1;
        match class {
            Some(class) if class > last => {
                Err(Error::argument("class", format!("there are classes 0 to {last}, not {class}")))
            }
            _ => Ok(()),
        }
    }

    /// What a picture looks like.
    pub fn photo(&self, pictures: &Pictures, index: usize) -> RgbImage {
        let [_, _, width] = self.lens.image_shape();
        canvas::photo(pictures.image(index), &self.lens.preprocessing().normalization, width)
    }

    /// What a picture is called beside it: its class, or a file's name without its folder.
    pub fn called(&self, pictures: &Pictures, index: usize) -> String {
        match &pictures.labels {
            Some(labels) => self.class(labels[index]),
            None => pictures.names[index].rsplit(['/', '\\']).next().unwrap_or_default().to_owned(),
        }
    }
}

/// The short name of a picture, for drawings: a file's without its folder.
pub fn label(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

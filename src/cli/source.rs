//! Which test images a network is judged by or looked at with: of the data set that flags name, or of the run's own.

use super::flags::parse_size;
use super::images::tell;
use super::network::{Network, NetworkFlags};
use super::terminal::note;
use super::train::data_of;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use striate::data::{self, Dataset, Preprocessing, Source, TestSet};
use striate::{Error, Result};

/// Flags that name a data set to be tested with.
#[derive(clap::Args)]
pub struct TestFlags {
    /// fashion-mnist, mnist, cifar10, cifar100 or folder (a folder of images per class) [default: what the run was trained on]
    #[arg(long)]
    dataset: Option<String>,
    /// Folder of the data set's files [default: the run's]. Of a folder without test images, all are taken, unless it is the
    /// run's own
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// HEIGHTxWIDTH that images of a folder are brought to
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    image_size: Option<[usize; 2]>,
    /// Leave out images of a folder that cannot be read, and name them
    #[arg(long)]
    skip_broken: bool,
}

impl TestFlags {
    /// The images for a network, with labels that number its classes.
    pub fn open(&self, network: &Network, flags: &NetworkFlags) -> Result<TestImages> {
        let asked = Asked {
            dataset: self.dataset.as_deref(),
            dir: self.data.as_deref(),
            image_size: self.image_size,
            skip_broken: self.skip_broken,
        };
        asked.open(network, flags)
    }
}

/// The data set that is asked for; what is left out is the run's own.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    pub dataset: Option<&'a str>,
    pub dir: Option<&'a Path>,
    pub image_size: Option<[usize; 2]>,
    pub skip_broken: bool,
}

/// Test images for a network.
pub struct TestImages {
    /// Labels number the network's classes where it names them, by their names, and else the data set's.
    pub data: Arc<Dataset>,
    /// What is done to the images.
    pub preprocessing: Preprocessing,
    /// Names of the network's classes; the data set's where it has none.
    pub names: Vec<String>,
    /// Where they are from, for people.
    pub about: String,
    pub skipped: Vec<(PathBuf, String)>,
}

impl Asked<'_> {
    /// The images for a network. What was passed over is told on standard error.
    pub fn open(&self, network: &Network, flags: &NetworkFlags) -> Result<TestImages> {
        let own = match (self.dataset, network.run().map(data_of)) {
            (None, Some(Err(error))) => return Err(unsaid(error)),
            (Some(_), Some(Err(error))) => {
                note(&format!("note: {error}; taken for images that the network has not seen"));
                None
            }
            (_, own) => own.and_then(Result::ok),
        };
        let source = match (self.dataset, &own) {
            (Some(name), Some(own)) if own.name == name => own.clone(),
            (Some(name), _) => Source { name: name.to_owned(), ..Source::default() },
            (None, Some(own)) => own.clone(),
            (None, None) => {
                let problem = format!(
                    "is missing, and the weights are in no run folder that says it; give one of {}",
                    data::NAMES.join(", ")
                );
                return Err(Error::argument("dataset", problem));
            }
        };
        let dir = self.dir.map(Path::to_owned).or(source.dir.clone());
        let image_size = self.image_size.or(source.image_size);
        let skip_broken = self.skip_broken || source.skip_broken;
        // Files become what the network wants, as in `predict`; those of other data sets are images already.
        let wanted = network.known_preprocessing(flags, None)?;
        let exif_rotation = wanted.as_ref().map_or(source.exif_rotation, |own| own.exif_rotation);
        let preprocessing = wanted.filter(|_| source.name == "folder" && self.image_size.is_none());
        let source = Source { dir, image_size, skip_broken, exif_rotation, preprocessing, ..source };
        let is_own = matches!(&own, Some(own) if own.name == source.name && same(&own.dir, &source.dir));
        // A run's own test images are not among those that it has seen; of other images it has seen none.
        let set = if is_own { source.open()?.into() } else { source.open_test()? };
        tell(&set.notes, &set.skipped);
        let place = source.dir.map_or_else(|| "built in".to_owned(), |dir| dir.display().to_string());
        let about = format!("{}{place}", if is_own { "the run's own, " } else { "" });
        fit(set, about, network, flags, &source.name)
    }
}

/// The images as a network takes them, with labels that number its classes.
pub fn fit(
    set: TestSet,
    about: String,
    network: &Network,
    flags: &NetworkFlags,
    dataset: &str,
) -> Result<TestImages> {
    let TestSet { data, normalization, skipped, .. } = set;
    let [channels, height, width] = data.shape();
    let of_data = Preprocessing::new([height, width], normalization);
    let preprocessing = network.preprocessing(flags, Some(of_data))?;
    if preprocessing.channels() != channels {
        let problem = format!(
            "{dataset} has images of {channels} channels, but the weights want {}; give the data they were trained for, or --preprocess",
            preprocessing.channels()
        );
        return Err(Error::argument("dataset", problem));
    }
    let data = match network.names(flags)? {
        Some(names) => {
            network.classes(flags, Some(&names))?;
            Arc::new(Arc::unwrap_or_clone(data).relabel(&names)?)
        }
        None => data,
    };
    let names = data.classes().to_vec();
    match network.class_count() {
        Some(classes) if classes != names.len() => {
            let problem = format!(
                "{dataset} has {} classes, but the weights tell {classes} apart; give the data they were trained for, or the \
                 names of their classes with --classes",
                names.len()
            );
            Err(Error::argument("dataset", problem))
        }
        _ => Ok(TestImages { data, preprocessing, names, about, skipped }),
    }
}

/// Why a run does not say what it was trained on, with what helps beside.
fn unsaid(error: Error) -> Error {
    match error {
        Error::Data { path, problem } => {
            Error::data(path, format!("{problem}, or name the data with --dataset"))
        }
        other => other,
    }
}

/// Whether both are the same folder.
fn same(one: &Option<PathBuf>, other: &Option<PathBuf>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => match (one.canonicalize(), other.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => one == other,
        },
        (one, other) => one.is_none() && other.is_none(),
    }
}

//! The test images for a network: those of a data set named by flags, or of the run that trained it.

use super::flags::parse_size;
use super::images::report_skipped;
use super::network::{Network, NetworkFlags};
use super::terminal::note;
use super::train::source_of;
use std::path::PathBuf;
use std::sync::Arc;
use striate::data::{self, Dataset, Preprocessing, Source, TestSet};
use striate::{Error, Result};

/// The data set to test with; everything omitted is as in the run.
#[derive(clap::Args, Default)]
pub struct TestFlags {
    /// fashion-mnist, mnist, cifar10, cifar100 or folder (a folder of images per class) [default: what the run was trained on]
    #[arg(long, help_heading = "Data")]
    pub dataset: Option<String>,
    /// Folder of the data set's files [default: the run's]. In another folder than the run's, all images are used if there are
    /// no test images
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data: Option<PathBuf>,
    /// HEIGHTxWIDTH to which images of a folder are cropped and scaled
    #[arg(long, value_parser = parse_size, value_name = "HxW", help_heading = "Data")]
    pub image_size: Option<[usize; 2]>,
    /// Skip and list images of a folder that cannot be read, instead of failing
    #[arg(long, help_heading = "Data")]
    pub skip_broken: bool,
}

/// Test images for a network.
pub struct TestImages {
    /// Labels are the network's classes, matched by name, if their names are known, and else the data set's.
    pub data: Arc<Dataset>,
    pub preprocessing: Preprocessing,
    /// Class names of the network, or else of the data set.
    pub names: Vec<String>,
    /// Where the images come from.
    pub about: String,
    pub skipped: Vec<(PathBuf, String)>,
}

impl TestFlags {
    /// Opens the images for a network, and reports skipped ones on standard error.
    pub fn open(&self, network: &Network, flags: &NetworkFlags) -> Result<TestImages> {
        let own = match (&self.dataset, network.run().map(source_of)) {
            (None, Some(Err(error))) => return Err(suggest_dataset(error)),
            (Some(_), Some(Err(error))) => {
                note(&format!("note: {error}; assuming that the network was not trained on these images"));
                None
            }
            (_, own) => own.and_then(Result::ok),
        };
        let source = match (&self.dataset, &own) {
            (Some(name), Some(own)) if own.name == *name => own.clone(),
            (Some(name), _) => Source { name: name.clone(), ..Source::default() },
            (None, Some(own)) => own.clone(),
            (None, None) => {
                let names = data::NAMES.join(", ");
                let problem =
                    format!("is missing, and the weights are not in a run folder; give one of {names}");
                return Err(Error::argument("dataset", problem));
            }
        };
        if let (None, Some(dir)) = (&self.data, &source.dir)
            && !dir.exists()
        {
            let problem =
                "does not exist any more; the run was trained on it, so name its new folder with --data";
            return Err(Error::data(dir, problem));
        }
        let dir = self.data.clone().or(source.dir.clone());
        let image_size = self.image_size.or(source.image_size);
        let skip_broken = self.skip_broken || source.skip_broken;
        // Image files get the network's preprocessing, as in `predict`; other data sets have images of a fixed size.
        let wanted = network.known_preprocessing(flags, None)?;
        let exif_rotation = wanted.as_ref().map_or(source.exif_rotation, |own| own.exif_rotation);
        let preprocessing = wanted.filter(|_| source.name == "folder" && self.image_size.is_none());
        let source = Source { dir, image_size, skip_broken, exif_rotation, preprocessing, ..source };
        let real = |dir: &PathBuf| dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let is_own = own.is_some_and(|own| {
            own.name == source.name && own.dir.as_ref().map(real) == source.dir.as_ref().map(real)
        });
        // The run held its test images out of the training; of any other data set, it has seen no image.
        let set = if is_own { source.open()?.into() } else { source.open_test()? };
        report_skipped(&set.notes, &set.skipped);
        let place = source.dir.map_or_else(|| "built in".to_owned(), |dir| dir.display().to_string());
        let about = format!("{}{place}", if is_own { "the run's own, " } else { "" });
        fit(set, about, network, flags, &source.name)
    }
}

/// Checks that a network accepts the images, and matches their classes to the network's.
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
            "{dataset} has images of {channels} channels, but the weights expect {}; use the data they were trained on, or \
             --preprocess",
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
                "{dataset} has {} classes, but the weights {classes}; use the data they were trained on, or name their \
                 classes with --classes",
                names.len()
            );
            Err(Error::argument("dataset", problem))
        }
        _ => Ok(TestImages { data, preprocessing, names, about, skipped }),
    }
}

/// If a run does not record its data set, the error suggests --dataset.
fn suggest_dataset(error: Error) -> Error {
    match error {
        Error::Data { path, problem } => {
            Error::data(path, format!("{problem}, or name the data set with --dataset"))
        }
        other => other,
    }
}

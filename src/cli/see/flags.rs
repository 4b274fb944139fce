//! Flags that views have in common: which network, which images, where to.

use crate::cli::flags::DeviceFlags;
use crate::cli::images::find;
use crate::cli::network::{Network, NetworkFlags};
use crate::cli::source::{Asked, TestImages};
use crate::cli::terminal::note;
use crate::cli::text;
use image::RgbImage;
use std::path::PathBuf;
use striate::data::{Dataset, Preprocessing};
use striate::see::{Images, Lens, canvas};
use striate::{Device, Error, Result};

/// The network, and where a view goes.
#[derive(clap::Args)]
pub struct LensFlags {
    /// The network's name, left out where the weights know it; then weights: a safetensors file, a .pth archive or a run
    /// folder of `striate train`
    #[arg(required = true, num_args = 1.., value_names = ["[MODEL] WEIGHTS"])]
    what: Vec<PathBuf>,
    /// Images at a time
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
    /// Folder for the images and numbers, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "seen")]
    pub out: PathBuf,
}

/// The images to look with.
#[derive(clap::Args)]
pub struct ImageFlags {
    /// Images and folders of them; with --dataset, the folder of its files [default: the run's own test images]
    #[arg(long, num_args = 1.., value_name = "IMAGES")]
    data: Vec<PathBuf>,
    /// Take the test images of fashion-mnist, mnist, cifar10, cifar100 or folder
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Take the first so many images
    #[arg(long, alias = "pictures", default_value_t = 8, value_name = "COUNT")]
    images: usize,
}

/// A network and the names of its classes.
pub struct Subject {
    pub lens: Lens,
    /// Where its weights are from.
    pub weights: String,
    /// What images it is looked at with, to be read after their number.
    pub data: String,
    names: Option<Vec<String>>,
}

impl LensFlags {
    /// The network alone, for views that need no images.
    pub fn open(&self) -> Result<Subject> {
        let network = self.network()?;
        let preprocessing = network.preprocessing(&self.network, None)?;
        self.subject(&network, preprocessing, network.names(&self.network)?, String::new())
    }

    /// The network and images as it takes them. Those that were passed over are named on standard error.
    pub fn open_with(&self, images: &ImageFlags) -> Result<(Subject, Images)> {
        let network = self.network()?;
        match (&images.dataset, &images.data[..]) {
            (Some(_), [_, extra, ..]) => {
                let problem = format!("a data set has one folder; {} is too much", extra.display());
                Err(Error::argument("data", problem))
            }
            (None, []) if network.run().is_none() => {
                let problem = "is missing; give images or folders of them, or a --dataset";
                Err(Error::argument("data", problem))
            }
            (None, [_, ..]) => self.open_files(&network, &find(&images.data)?, images.images),
            (dataset, dir) => {
                let dir = dir.first().map(PathBuf::as_path);
                // As with files, what cannot be read is passed over and told.
                let asked =
                    Asked { dataset: dataset.as_deref(), dir, skip_broken: true, ..Default::default() };
                self.open_set(&network, asked.open(&network, &self.network)?, images.images)
            }
        }
    }

    fn open_files(&self, network: &Network, files: &[PathBuf], most: usize) -> Result<(Subject, Images)> {
        let preprocessing = network.preprocessing(&self.network, None)?;
        let subject =
            self.subject(network, preprocessing, network.names(&self.network)?, "files".to_owned())?;
        let read = Images::read(&files[..most.min(files.len())], subject.lens.preprocessing())?;
        for (_, problem) in &read.skipped {
            note(&format!("skipped: {}", text::name(problem)));
        }
        Ok((subject, read))
    }

    fn open_set(&self, network: &Network, set: TestImages, most: usize) -> Result<(Subject, Images)> {
        let TestImages { data, preprocessing, names, about, skipped } = set;
        check_size(&preprocessing, &data)?;
        let read = Images::of(&data, &preprocessing.normalization, most);
        let from = format!("of {}'s test images ({about})", data.name());
        Ok((self.subject(network, preprocessing, Some(names), from)?, Images { skipped, ..read }))
    }

    fn network(&self) -> Result<Network> {
        let (network, rest) = Network::open(&self.what)?;
        match rest.first() {
            Some(extra) => Err(Error::argument(
                extra.display().to_string(),
                "is one argument too many; give [MODEL] WEIGHTS, and images after --data",
            )),
            None => Ok(network),
        }
    }

    fn subject(
        &self,
        network: &Network,
        preprocessing: Preprocessing,
        names: Option<Vec<String>>,
        data: String,
    ) -> Result<Subject> {
        let classes = network.classes(&self.network, names.as_deref())?;
        let model = network.model(preprocessing.channels(), classes)?;
        // The CPU fits the weights to the model; the device gets them with each question.
        let mut fitted =
            network.predictor(&Device::select("cpu")?, &*model, &self.network, preprocessing.size, 1)?;
        let weights = fitted.session().state_dict()?;
        let lens = Lens::new(&self.device.open()?, &*model, weights, preprocessing, self.batch)?;
        Ok(Subject { lens, weights: network.weights.path().display().to_string(), data, names })
    }
}

fn check_size(preprocessing: &Preprocessing, data: &Dataset) -> Result<()> {
    let [_, height, width] = data.shape();
    match preprocessing.size == [height, width] {
        true => Ok(()),
        false => Err(Error::argument(
            "dataset",
            format!(
                "{} has images of {height} x {width}, but the network is to take {:?}; give --size {height}x{width}",
                data.name(),
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

    /// What an image looks like.
    pub fn photo(&self, images: &Images, index: usize) -> RgbImage {
        let [_, _, width] = self.lens.image_shape();
        canvas::photo(images.image(index), &self.lens.preprocessing().normalization, width)
    }

    /// What an image is called beside it: its class, or a file's name without its folder.
    pub fn called(&self, images: &Images, index: usize) -> String {
        match &images.labels {
            Some(labels) => self.class(labels[index]),
            None => images.names[index].rsplit(['/', '\\']).next().unwrap_or_default().to_owned(),
        }
    }
}

/// The short name of an image, for drawings: a file's without its folder.
pub fn label(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

//! Flags that views share: the network, the images and the output folder.

use crate::cli::flags::DeviceFlags;
use crate::cli::images::find;
use crate::cli::network::{Network, NetworkFlags};
use crate::cli::source::{TestFlags, TestImages};
use crate::cli::terminal::note;
use crate::cli::text;
use image::RgbImage;
use std::path::PathBuf;
use striate::data::{Dataset, Preprocessing};
use striate::interpret::{Images, Lens, drawing};
use striate::models::Model;
use striate::{Device, Error, Result};

/// The network to look into.
#[derive(clap::Args)]
pub struct LensFlags {
    /// Model name, which may be omitted if the weights contain it; then the weights, unless --pretrained: a safetensors file,
    /// a .pth archive or a run folder of `striate train`
    #[arg(required = true, num_args = 1.., value_names = ["[MODEL] WEIGHTS"])]
    what: Vec<PathBuf>,
    /// Images per batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
}

/// Where the files go.
#[derive(clap::Args)]
pub struct OutFlags {
    /// Folder for the figures and data, created if missing
    #[arg(short, long, value_name = "DIR", default_value = "seen", help_heading = "Output")]
    pub out: PathBuf,
}

/// The images to use.
#[derive(clap::Args)]
pub struct ImageFlags {
    /// Image files and folders; with --dataset, the folder of its files [default: the run's own test images]
    #[arg(long, num_args = 1.., value_name = "IMAGES", help_heading = "Data")]
    data: Vec<PathBuf>,
    /// Use the test images of fashion-mnist, mnist, cifar10, cifar100 or folder
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    dataset: Option<String>,
    /// Use the first COUNT images
    #[arg(long, alias = "pictures", default_value_t = 8, value_name = "COUNT", help_heading = "Data")]
    images: usize,
    /// Begin with these images, numbered from 0 as in the data, such as 4,17
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", help_heading = "Data")]
    pub begin_with: Vec<usize>,
}

impl ImageFlags {
    /// The numbers of the images to use, out of `all`: those to begin with, then the others in their order.
    fn numbers(&self, all: usize) -> Result<Vec<usize>> {
        if let Some(missing) = self.begin_with.iter().find(|number| **number >= all) {
            let problem = format!("expected less than {all}, the number of images, found {missing}");
            return Err(Error::argument("begin-with", problem));
        }
        let others = (0..all).filter(|number| !self.begin_with.contains(number));
        Ok(self.begin_with.iter().copied().chain(others).take(self.images).collect())
    }
}

/// A network with its class names, and where its weights and images come from.
pub struct InspectedNetwork {
    pub lens: Lens,
    model: Box<dyn Model>,
    /// Path of the weights.
    pub weights: String,
    /// Where the images come from, worded to follow their number.
    pub data: String,
    names: Option<Vec<String>>,
}

impl LensFlags {
    /// Opens the network alone, for views that need no images.
    pub fn open(&self) -> Result<InspectedNetwork> {
        self.inspect_alone(&self.network()?, String::new())
    }

    /// Opens the network and preprocesses the images. Images that cannot be read are reported on standard error.
    pub fn open_with(&self, images: &ImageFlags) -> Result<(InspectedNetwork, Images)> {
        let (network, images) = self.open_with_any(images)?;
        match images.is_empty() {
            true => Err(Error::argument("data", "is missing; give images or folders of them, or --dataset")),
            false => Ok((network, images)),
        }
    }

    /// As [`open_with`](Self::open_with), for views that images improve: without flags, only a run has images.
    pub fn open_with_any(&self, images: &ImageFlags) -> Result<(InspectedNetwork, Images)> {
        let network = self.network()?;
        match (&images.dataset, &images.data[..]) {
            (Some(_), [_, extra, ..]) => {
                let problem = format!("a data set has one folder; remove {}", extra.display());
                Err(Error::argument("data", problem))
            }
            (None, []) if network.run().is_none() => {
                Ok((self.inspect_alone(&network, String::new())?, Images::default()))
            }
            (None, [_, ..]) => {
                let files = find(&images.data)?;
                let numbers = images.numbers(files.len())?;
                let files: Vec<PathBuf> = numbers.into_iter().map(|number| files[number].clone()).collect();
                let inspected = self.inspect_alone(&network, "files".to_owned())?;
                let read = Images::read(&files, inspected.lens.preprocessing())?;
                for (_, problem) in &read.skipped {
                    note(&format!("skipped: {}", text::name(problem)));
                }
                Ok((inspected, read))
            }
            (dataset, dir) => {
                let (dataset, data) = (dataset.clone(), dir.first().cloned());
                // As for single files: images that cannot be read are skipped and reported.
                let set = TestFlags { dataset, data, skip_broken: true, ..Default::default() };
                let TestImages { data, preprocessing, names, about, skipped } =
                    set.open(&network, &self.network)?;
                check_size(&preprocessing, &data)?;
                let numbers = images.numbers(data.len())?;
                let read = Images::from_dataset_at(&data, &preprocessing.normalization, &numbers);
                let from = format!("of {}'s test images ({about})", data.name());
                Ok((self.inspect(&network, preprocessing, Some(names), from)?, Images { skipped, ..read }))
            }
        }
    }

    fn network(&self) -> Result<Network> {
        Network::open_only(&self.what, &self.network, "[MODEL] WEIGHTS, with images after --data")
    }

    /// Opens the network with its own preprocessing and class names.
    fn inspect_alone(&self, network: &Network, data: String) -> Result<InspectedNetwork> {
        let preprocessing = network.preprocessing(&self.network, None)?;
        self.inspect(network, preprocessing, network.names(&self.network)?, data)
    }

    fn inspect(
        &self,
        network: &Network,
        preprocessing: Preprocessing,
        names: Option<Vec<String>>,
        data: String,
    ) -> Result<InspectedNetwork> {
        let classes = network.classes(&self.network, names.as_deref())?;
        let model = network.model(preprocessing.channels(), classes)?;
        // A CPU session matches the weights to the model; the device gets them later, with each plan.
        let mut fitted =
            network.predictor(&Device::select("cpu")?, &*model, &self.network, preprocessing.size, 1)?;
        let weights = fitted.session().state_dict()?;
        let lens = Lens::new(&self.device.open()?, &*model, weights, preprocessing, self.batch)?;
        Ok(InspectedNetwork {
            lens,
            model,
            weights: network.weights.path().display().to_string(),
            data,
            names,
        })
    }
}

fn check_size(preprocessing: &Preprocessing, data: &Dataset) -> Result<()> {
    let [_, height, width] = data.shape();
    match preprocessing.size == [height, width] {
        true => Ok(()),
        false => Err(Error::argument(
            "dataset",
            format!(
                "{} has {height} x {width} images, but the network expects {:?}; give --size {height}x{width}",
                data.name(),
                preprocessing.size
            ),
        )),
    }
}

impl InspectedNetwork {
    /// The network for images of another size, in batches of `batch`.
    ///
    /// # Errors
    ///
    /// As [`Lens::new`].
    pub fn resized(&self, size: [usize; 2], batch: usize) -> Result<Lens> {
        self.lens.resized(&*self.model, size, batch)
    }

    /// The name of a class, or its index if it has none.
    pub fn class(&self, class: usize) -> String {
        match &self.names {
            Some(names) => names[class].clone(),
            None => format!("class {class}"),
        }
    }

    /// Checks that a class exists.
    pub fn check_class(&self, class: Option<usize>) -> Result<()> {
        let last = self.lens.classes() - 1;
        match class {
            Some(class) if class > last => {
                Err(Error::argument("class", format!("expected 0 to {last}, found {class}")))
            }
            _ => Ok(()),
        }
    }

    /// An image before normalization.
    pub fn photo(&self, images: &Images, index: usize) -> RgbImage {
        let [_, _, width] = self.lens.image_shape();
        drawing::denormalize(images.image(index), &self.lens.preprocessing().normalization, width)
    }

    /// Caption of an image: its class if known, otherwise its file name.
    pub fn called(&self, images: &Images, index: usize) -> String {
        match &images.labels {
            Some(labels) => self.class(labels[index]),
            None => label(&images.names[index]).to_owned(),
        }
    }

    /// The name of an image with its class, if known.
    pub fn titled(&self, images: &Images, index: usize) -> String {
        let name = &images.names[index];
        match &images.labels {
            Some(labels) => format!("{name}, {}", self.class(labels[index])),
            None => name.clone(),
        }
    }
}

/// The file name of a path.
pub fn label(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

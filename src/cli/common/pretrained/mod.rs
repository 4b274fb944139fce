//! Pretrained weights by name: what there is, where it is stored, and fetching it.

mod download;
mod table;
#[cfg(test)]
mod tests;

pub use table::ALL;

use super::terminal::{Bar, note};
use download::{Patience, Remote, download};
use std::path::PathBuf;
use striate::data::Preprocessing;
use striate::infer::Card;
use striate::{Error, Result, cache_folder};

/// ImageNet's class names, in torchvision's order.
const CLASSES: &str = include_str!("../../../../data/imagenet/classes.txt");

/// What torchvision says about the license of its weights, for people.
pub const LICENSE: &str = "torchvision's code has the BSD-3-Clause license; its weights may have terms of their own, derived from \
    the data they were trained on, here ImageNet";

/// Weights that torchvision publishes.
#[derive(Debug)]
pub struct Pretrained {
    /// The network, as for `striate::models::by_name`.
    pub network: &'static str,
    /// torchvision's name of the weights of this network.
    pub version: &'static str,
    /// The file's name ends with the first digits of its SHA-256.
    pub address: &'static str,
    /// Size of the file, rounded to three decimals.
    pub mib: f64,
    pub parameters: usize,
    /// Accuracies on ImageNet's validation images, in percent.
    pub top1: f64,
    pub top5: f64,
    /// Length to which the shorter side of images is scaled. The rest of the preprocessing is the same for all.
    resize: usize,
}

impl Pretrained {
    /// Finds weights by name: `resnet50` for torchvision's default, `resnet50.IMAGENET1K_V1`, or
    /// `ResNet50_Weights.IMAGENET1K_V1`.
    pub fn named(name: &str) -> Result<&'static Self> {
        let (network, version) = name.split_once('.').unwrap_or((name, "DEFAULT"));
        let network = network.strip_suffix("_Weights").unwrap_or(network).to_lowercase();
        let of_network = || ALL.iter().filter(|known| known.network == network);
        let found = match version {
            "DEFAULT" => of_network().next_back(),
            _ => of_network().find(|known| known.version == version),
        };
        found.ok_or_else(|| {
            // A misspelled network gets a suggestion; the name may also be a path.
            let known: Vec<String> = match of_network().next() {
                Some(_) => of_network().map(Self::name).collect(),
                None => ALL
                    .iter()
                    .filter(|known| known.is_default())
                    .map(|known| known.network.to_owned())
                    .collect(),
            };
            let problem = format!("is not the name of pretrained weights; there are {}", known.join(", "));
            Error::argument(name, problem)
        })
    }

    /// The full name, such as `resnet50.IMAGENET1K_V2`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.network, self.version)
    }

    /// Whether the network's name alone means these weights.
    pub fn is_default(&self) -> bool {
        ALL.iter()
            .rfind(|other| other.network == self.network)
            .is_some_and(|last| last.version == self.version)
    }

    /// The name of the file.
    pub fn file(&self) -> &'static str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }

    /// Where the file is stored.
    pub fn path(&self) -> Result<PathBuf> {
        let folder = folder().ok_or_else(|| {
            let problem = "there is no folder for downloads, or it is off; set it to a folder, or download \
                the file yourself and give its path as the weights";
            Error::argument("STRIATE_CACHE", format!("{problem}: {}", self.address))
        })?;
        Ok(folder.join(self.file()))
    }

    /// The metadata that the file lacks.
    pub fn card(&self) -> Result<Card> {
        Ok(Card {
            model: Some(self.network.to_owned()),
            classes: Some(CLASSES.lines().map(str::to_owned).collect()),
            preprocessing: Some(self.preprocessing()?),
            ..Card::default()
        })
    }

    /// How torchvision preprocesses images for these weights.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        // torchvision constructs its pretrained GoogLeNet with `transform_input`.
        let common = if self.network == "googlenet" { "googlenet" } else { "imagenet" };
        Ok(Preprocessing { resize: Some(self.resize), ..Preprocessing::named(common)? })
    }

    /// The path of the file, which is fetched if it is missing. A file that is there is used as it is.
    pub fn obtain(&self) -> Result<PathBuf> {
        let path = self.path()?;
        if !path.exists() {
            self.fetch(std::env::var("STRIATE_MIRROR").ok().as_deref())?;
        }
        Ok(path)
    }

    /// Fetches the file from torchvision's address, or from a mirror, unless it is there. Checks it in either case.
    pub fn fetch(&self, mirror: Option<&str>) -> Result<PathBuf> {
        let path = self.path()?;
        let remote = self.remote(mirror);
        if path.exists() {
            remote.check(&path)?;
            return Ok(path);
        }
        note(&format!("fetching {} ({:.1} MiB) from {}", self.name(), self.mib, remote.address));
        let bar = Bar::new(10);
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        download(&remote, &path, Patience::default(), &mut |done, total| {
            if let Some(bar) = &bar {
                let text = format!("{}  {:.1} of {:.1} MiB", self.file(), megabytes(done), megabytes(total));
                // Steps of a KiB fit into 32 bits.
                bar.show((done >> 10) as usize, (total >> 10) as usize, text);
            }
        })?;
        Ok(path)
    }

    fn remote(&self, mirror: Option<&str>) -> Remote {
        let address = match mirror.filter(|mirror| !mirror.is_empty()) {
            None => self.address.to_owned(),
            Some(base) => format!("{}/{}", base.trim_end_matches('/'), self.file()),
        };
        // Sizes are rounded, so the limit is a little above.
        let limit = ((self.mib + 0.01) * f64::from(1 << 20)) as u64;
        let sha256 = digits(self.file()).unwrap_or_default().to_owned();
        Remote { address, sha256, limit }
    }
}

/// The digits of the SHA-256 in a file name such as `resnet18-f37072fd.pth`.
fn digits(file: &str) -> Option<&str> {
    let digits = file.strip_suffix(".pth")?.rsplit('-').next()?;
    (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}

/// The folder of all pretrained weights.
pub fn folder() -> Option<PathBuf> {
    cache_folder().map(|cache| cache.join("weights"))
}

/// The network that a name means: that of pretrained weights if `pretrained`, else the name itself.
pub fn network(name: &str, pretrained: bool) -> Result<&str> {
    if pretrained { Ok(Pretrained::named(name)?.network) } else { Ok(name) }
}

//! `striate see RUN_OR_MODEL`: all views on one page.

mod assemble;
mod choice;

use super::activations::Activations;
use super::ascent::Ascent;
use super::fields::Fields;
use super::filters::Filters;
use super::flags::{ImageFlags, LensFlags, Subject};
use super::map::Map;
use super::neighbours::Neighbours;
use super::occlusion::Occlusion;
use super::peaks::Peaks;
use super::progress::Progress;
use super::saliency::Saliency;
use super::view::{Scene, Shown, View, exit_code};
use crate::cli::flags::as_flag;
use crate::cli::html::{self, Template, megabytes};
use crate::cli::output::print;
use crate::cli::terminal::note;
use std::path::PathBuf;
use std::time::Instant;
use striate::see::{Images, Lens};
use striate::{Error, OutputFolder, Result, Tensor};

/// Draws all views and joins them on one page, OUT/index.html, with each view's files in a folder of its name beside it.
#[derive(clap::Args)]
#[command(mut_arg("images", |arg| arg.default_value("1000")))]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    images: ImageFlags,
    /// Images that are looked at one by one, of different classes where these are known
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    examples: usize,
    /// Layers whose channels are shown [default: the first convolution, and the last layer or block of each size]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Channels of each layer that are shown
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    units: usize,
    /// Folder for the page and its files, made if it is not there
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
}

const INDEX: &str = "index.html";
/// What may be written.
const PLACES: [&str; 11] = [
    INDEX,
    "activations/",
    "ascent/",
    "classes/",
    "fields/",
    "filters/",
    "map/",
    "neighbours/",
    "occlusion/",
    "peaks/",
    "saliency/",
];
/// Images that effective receptive fields are means of: more change little.
const FIELD_IMAGES: usize = 64;
/// Peaks of a channel, and neighbours of an image, where there are enough images.
const PEAKS: usize = 6;
const NEIGHBOURS: usize = 6;
/// Channels of a layer that activations are drawn of.
const CHANNELS: usize = 48;

/// What the views showed.
struct Views {
    filters: Option<Noted>,
    peaks: Noted,
    ascent: Noted,
    classes: Noted,
    occlusion: Noted,
    saliency: Noted,
    neighbours: Option<Noted>,
    activations: Noted,
    map: Option<Noted>,
    fields: Noted,
}

/// What a view showed, and the command that shows it.
struct Noted {
    shown: Shown,
    command: String,
}

impl Args {
    pub fn run(&self) -> Result<i32> {
        self.make().map_err(as_flag::<Self>)
    }

    fn make(&self) -> Result<i32> {
        let start = Instant::now();
        for (name, count) in [("examples", self.examples), ("units", self.units)] {
            if count == 0 {
                return Err(Error::argument(name, "must be at least 1, and is 0"));
            }
        }
        let (subject, images) = self.lens.open_with(&self.images)?;
        // Views number images as they find them, so that those to be looked at one by one come first.
        let images = choice::examples_first(images, self.examples);
        let layers = choice::layers(&subject.lens, &self.layer)?;
        // Refused before the work. Nothing of an earlier page is touched before this one is whole.
        let out = OutputFolder::open(&self.out, "page")?;
        out.check(&PLACES)?;
        let made =
            Maker { args: self, subject: &subject, images: &images, out: &out, progress: Progress::new() };
        let page = made.page(&layers)?;
        out.stage(INDEX, &|file| file.write_all(page.as_bytes()))?;
        drop(made);
        out.replace()?;
        let (size, seconds) = (megabytes(page.len()), start.elapsed().as_secs_f64());
        if page.len() > html::LARGE {
            note(&format!("note: the page takes {size}; fewer --examples or --units make it smaller"));
        }
        print(&format!("written  {}, {size}, in {seconds:.0} s\n", out.path().join(INDEX).display()))?;
        Ok(exit_code(&images))
    }
}

/// Runs the views, one after another.
struct Maker<'a> {
    args: &'a Args,
    subject: &'a Subject,
    images: &'a Images,
    out: &'a OutputFolder,
    progress: Progress,
}

impl Maker<'_> {
    fn page(&self, layers: &[String]) -> Result<String> {
        let (lens, images) = (&self.subject.lens, self.images);
        let examples = images.pick(&(0..self.args.examples.min(images.len())).collect::<Vec<usize>>());
        let few = images.pick(&(0..FIELD_IMAGES.min(images.len())).collect::<Vec<usize>>());
        let none = Images::default();
        let names = layers.join(",");
        self.progress.begin("classes", 1);
        let probabilities = lens.probabilities(&images.values)?;
        let views = Views {
            filters: match lens.layers().iter().any(|layer| layer.filters.is_some()) {
                true => Some(self.view::<Filters>("filters", &none, &[])?),
                false => None,
            },
            peaks: self.view::<Peaks>(
                "peaks",
                images,
                &[
                    ("layer", names.clone()),
                    ("most", self.args.units.to_string()),
                    ("top", PEAKS.min(images.len()).to_string()),
                ],
            )?,
            ascent: self.view::<Ascent>(
                "ascent",
                &none,
                &[("layer", names.clone()), ("most", self.args.units.to_string())],
            )?,
            classes: self.view_in::<Ascent>(
                "classes",
                "ascent",
                &none,
                &[("layer", Lens::LOGITS.to_owned()), ("channel", self.likeliest(&probabilities))],
            )?,
            occlusion: self.view::<Occlusion>("occlusion", &examples, &[])?,
            saliency: self.view::<Saliency>("saliency", &examples, &[])?,
            neighbours: match images.len() {
                1 => None,
                count => Some(self.view::<Neighbours>(
                    "neighbours",
                    images,
                    &[
                        ("neighbours", NEIGHBOURS.min(count - 1).to_string()),
                        ("rows", examples.len().to_string()),
                    ],
                )?),
            },
            activations: self.view::<Activations>(
                "activations",
                &examples,
                &[("layer", names.clone()), ("most", CHANNELS.to_string())],
            )?,
            map: match choice::perplexity(images.len()) {
                None => None,
                Some(perplexity) => {
                    Some(self.view::<Map>("map", images, &[("perplexity", perplexity.to_string())])?)
                }
            },
            fields: self.view::<Fields>("fields", &few, &[("layer", names)])?,
        };
        let page = assemble::page(self.subject, images, &probabilities, views, layers);
        Ok(html::render(Template::See, &page))
    }

    /// A view with these flags, in a folder of its name.
    fn view<V: View>(&self, name: &str, images: &Images, flags: &[(&str, String)]) -> Result<Noted> {
        self.view_in::<V>(name, name, images, flags)
    }

    fn view_in<V: View>(
        &self,
        folder: &str,
        name: &str,
        images: &Images,
        flags: &[(&str, String)],
    ) -> Result<Noted> {
        let start = Instant::now();
        let words: Vec<String> = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let matches = V::augment_args(clap::Command::new("view").no_binary_name(true))
            .try_get_matches_from(&words)
            .and_then(|matches| V::from_arg_matches(&matches));
        let view = matches.map_err(|e| Error::argument(name, e.to_string()))?;
        let prefix = format!("{folder}/");
        let scene =
            Scene { subject: self.subject, images, out: self.out, prefix: &prefix, progress: &self.progress };
        let shown = view.show(&scene)?;
        let line = format!("{folder:12} {:6.1} s\n", start.elapsed().as_secs_f64());
        print(&line)?;
        Ok(Noted { shown, command: format!("striate see {name} {}", words.join(" ")).trim_end().to_owned() })
    }

    /// The classes that are drawn: all of a few, else the likeliest of the first images.
    fn likeliest(&self, probabilities: &Tensor) -> String {
        let classes = self.subject.lens.classes();
        let mut chosen: Vec<usize> = match classes <= self.args.units {
            true => (0..classes).collect(),
            false => probabilities.as_f32().chunks_exact(classes).map(choice::largest).collect(),
        };
        let mut seen = std::collections::HashSet::new();
        chosen.retain(|class| seen.insert(*class));
        chosen.truncate(self.args.units);
        chosen.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }
}

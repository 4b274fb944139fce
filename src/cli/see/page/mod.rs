//! `striate see RUN_OR_MODEL`: the page with all views.

mod agreement;
mod assemble;
mod blind_test;
mod choice;
mod commands;
mod diagram;
mod live;
mod map;
mod picture;
mod results;
mod units;

use super::activation_maximization::ActivationMaximization;
use super::activations::Activations;
use super::filters::Filters;
use super::flags::{ImageFlags, InspectedNetwork, LensFlags};
use super::nearest_neighbors::NearestNeighbors;
use super::occlusion::Occlusion;
use super::progress::Progress;
use super::receptive_fields::ReceptiveFields;
use super::relevance::Relevance;
use super::saliency::Saliency;
use super::top_activations::TopActivations;
use super::tsne::Tsne;
use super::view::{View, ViewContext, ViewOutput, exit_code};
use crate::cli::flags::as_flag;
use crate::cli::html::{self, megabytes};
use crate::cli::output::print;
use crate::cli::shell::quoted;
use crate::cli::terminal::note;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;
use striate::interpret::{ChannelResponses, Images, Lens, channel_responses};
use striate::{Error, OutputFolder, Result, Tensor};

/// Draws all views and joins them on one page, OUT/index.html, next to a folder with the files of each view.
#[derive(clap::Args)]
#[command(mut_arg("images", |arg| arg.default_value("1000")))]
pub struct Args {
    #[command(flatten)]
    images: ImageFlags,
    #[command(flatten)]
    lens: LensFlags,
    /// Images to examine one by one, of different classes if these are known
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    examples: usize,
    /// Layers whose channels are drawn [default: the first convolution, and the last layer or block at each resolution]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Channels per layer
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    units: usize,
    #[command(flatten)]
    live: live::LiveFlags,
    /// Folder for the page and its files, created if missing
    #[arg(short, long, value_name = "DIR", default_value = "report", help_heading = "Output")]
    out: PathBuf,
}

const INDEX: &str = "index.html";
/// Everything that may be written.
const PLACES: [&str; 12] = [
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
    "relevance/",
    "saliency/",
];
/// Images that receptive fields are averaged over; more change little.
const FIELD_IMAGES: usize = 64;
/// Top activations per channel and neighbors per image, if there are enough images.
const TOP_ACTIVATIONS: usize = 6;
const NEIGHBORS: usize = 6;
/// Patches per channel that an image's class is explained by.
const RELEVANCE_PATCHES: usize = 2;
/// Channels per layer in the activations view.
const CHANNELS: usize = 48;

/// The output of each view.
struct PageViews {
    filters: Option<PageView>,
    top_activations: PageView,
    activation_maximization: PageView,
    classes: PageView,
    occlusion: PageView,
    saliency: PageView,
    relevance: PageView,
    nearest_neighbors: Option<PageView>,
    activations: PageView,
    tsne: Option<PageView>,
    receptive_fields: PageView,
}

/// A layer whose channels are drawn.
struct ShownLayer {
    name: String,
    responses: ChannelResponses,
    /// The channels drawn.
    channels: Vec<usize>,
}

/// The output of a view, and the command that repeats it.
struct PageView {
    output: ViewOutput,
    /// What the page shows of it.
    on_page: &'static str,
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
                return Err(Error::argument(name, "must be at least 1, found 0"));
            }
        }
        let (network, images) = self.lens.open_with(&self.images)?;
        // Views take the first images, so the examples have to come first.
        let (images, begin_with) = match &self.images.begin_with[..] {
            [] => choice::examples_first(images, self.examples),
            given => (images, given.to_vec()),
        };
        let layers = choice::layers(&network.lens, &self.layer)?;
        // Fail before the work. An earlier page stays untouched until this one is complete.
        let out = OutputFolder::open(&self.out, "page")?;
        out.check(&PLACES)?;
        let builder = PageBuilder {
            args: self,
            network: &network,
            images: &images,
            begin_with: &begin_with,
            out: &out,
            progress: Progress::new(),
        };
        let live = self.live.values(&network)?;
        let page = self.live.render(builder.page(&layers)?, live)?;
        out.stage(INDEX, &|file| file.write_all(page.as_bytes()))?;
        drop(builder);
        out.replace()?;
        let (size, seconds) = (megabytes(page.len()), start.elapsed().as_secs_f64());
        if page.len() > html::LARGE {
            note(&format!("note: the page takes {size}; fewer --examples or --units make it smaller"));
        }
        print(&format!("written  {}, {size}, in {seconds:.0} s\n", out.path().join(INDEX).display()))?;
        Ok(exit_code(&images))
    }
}

/// Runs one view after another.
struct PageBuilder<'a> {
    args: &'a Args,
    network: &'a InspectedNetwork,
    images: &'a Images,
    /// Their numbers in the data, as far as they are not in its order.
    begin_with: &'a [usize],
    out: &'a OutputFolder,
    progress: Progress,
}

impl PageBuilder<'_> {
    fn page(&self, layers: &[String]) -> Result<Value> {
        let (lens, images) = (&self.network.lens, self.images);
        let examples = images.select(&(0..self.args.examples.min(images.len())).collect::<Vec<usize>>());
        let field_images = images.select(&(0..FIELD_IMAGES.min(images.len())).collect::<Vec<usize>>());
        let none = Images::default();
        let names = layers.join(",");
        self.progress.begin("classes", 2);
        let probabilities = lens.probabilities(&images.values)?;
        self.progress.step();
        let shown = self.choose_channels(layers)?;
        let channels = shown.iter().flat_map(|layer| {
            let of_layer = |channel: &usize| format!("{}:{channel}", layer.name);
            layer.channels.iter().map(of_layer).collect::<Vec<_>>()
        });
        let channels = channels.collect::<Vec<_>>().join(",");
        let views = PageViews {
            filters: match lens.layers().iter().any(|layer| layer.filters.is_some()) {
                true => Some(self.view::<Filters>(&none, &[])?),
                false => None,
            },
            top_activations: self.view::<TopActivations>(
                images,
                &[
                    ("layer", names.clone()),
                    ("channel", channels.clone()),
                    ("top", TOP_ACTIVATIONS.min(images.len()).to_string()),
                ],
            )?,
            activation_maximization: self
                .view::<ActivationMaximization>(images, &[("layer", names.clone()), ("channel", channels)])?,
            classes: self.view_in::<ActivationMaximization>(
                "classes",
                images,
                &[("layer", Lens::LOGITS.to_owned()), ("channel", self.likeliest(&probabilities))],
            )?,
            occlusion: self.view::<Occlusion>(&examples, &[])?,
            saliency: self.view::<Saliency>(&examples, &[])?,
            relevance: self.view::<Relevance>(
                images,
                &[("rows", examples.len().to_string()), ("top", RELEVANCE_PATCHES.to_string())],
            )?,
            nearest_neighbors: match images.len() {
                1 => None,
                count => Some(self.view::<NearestNeighbors>(
                    images,
                    &[
                        ("neighbours", NEIGHBORS.min(count - 1).to_string()),
                        ("rows", examples.len().to_string()),
                    ],
                )?),
            },
            activations: self.view::<Activations>(
                &examples,
                &[("layer", names.clone()), ("most", CHANNELS.to_string())],
            )?,
            tsne: match choice::perplexity(images.len()) {
                None => None,
                Some(perplexity) => {
                    Some(self.view::<Tsne>(images, &[("perplexity", perplexity.to_string())])?)
                }
            },
            receptive_fields: self.view::<ReceptiveFields>(&field_images, &[("layer", names)])?,
        };
        let page = assemble::Page {
            network: self.network,
            images,
            probabilities: &probabilities,
            shown: &shown,
            views: &views,
            examples: examples.len(),
        };
        page.values()
    }

    /// The channels of each layer that are drawn: selective ones that differ from each other.
    fn choose_channels(&self, layers: &[String]) -> Result<Vec<ShownLayer>> {
        let names: Vec<&str> = layers.iter().map(String::as_str).collect();
        let responses = channel_responses(&self.network.lens, &self.images.values, &names)?;
        let labels = self.images.labels.as_deref();
        let shown = |(name, responses): (&String, ChannelResponses)| ShownLayer {
            name: name.clone(),
            channels: responses.choose(self.args.units, labels),
            responses,
        };
        Ok(layers.iter().zip(responses).map(shown).collect())
    }

    /// Draws a view with these flags, in a folder named after it.
    fn view<V: View>(&self, images: &Images, flags: &[(&str, String)]) -> Result<PageView> {
        self.view_in::<V>(V::NAME, images, flags)
    }

    fn view_in<V: View>(&self, folder: &str, images: &Images, flags: &[(&str, String)]) -> Result<PageView> {
        let start = Instant::now();
        let words: Vec<String> = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let matches = V::augment_args(clap::Command::new("view").no_binary_name(true))
            .try_get_matches_from(&words)
            .and_then(|matches| V::from_arg_matches(&matches));
        let view = matches.map_err(|e| Error::argument(V::NAME, e.to_string()))?;
        let prefix = format!("{folder}/");
        let context = ViewContext {
            network: self.network,
            images,
            out: self.out,
            prefix: &prefix,
            progress: &self.progress,
        };
        let output = view.render(&context)?;
        let line = format!("{folder:12} {:6.1} s\n", start.elapsed().as_secs_f64());
        print(&line)?;
        Ok(PageView { output, on_page: V::ON_PAGE, command: self.command(V::NAME, images.len(), &words) })
    }

    /// A command line that draws a view again.
    fn command(&self, view: &str, images: usize, words: &[String]) -> String {
        let words = words.iter().map(|word| quoted(Path::new(word)));
        let shared = commands::shared_words(images, self.begin_with);
        let all = ["striate see".to_owned(), view.to_owned(), shared];
        let all: Vec<String> = all.into_iter().chain(words).filter(|word| !word.is_empty()).collect();
        all.join(" ")
    }

    /// The classes to draw: all if they are few, otherwise the most likely ones of the first images.
    fn likeliest(&self, probabilities: &Tensor) -> String {
        let classes = self.network.lens.classes();
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

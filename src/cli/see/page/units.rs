//! What the channels of each layer look for.

use super::assemble::{Page, groups, identifier, layer_sizes};
use super::choice;
use super::{ShownLayer, TOP_ACTIVATIONS};
use crate::cli::html::{EmbeddedImage, list};
use crate::cli::see::view::{Figure, Subject};
use serde_json::{Value, json};
use striate::interpret::{ClassSelectivity, Images, Lens, UnusualResponse};

/// A tab for each layer drawn, then one for the classes.
pub fn layers(page: &Page<'_>, filters: &[&Figure]) -> Value {
    let views = page.views;
    // Images come before synthetic ones, because people understand them better (Borowski et al. 2021).
    let of_units = [&views.top_activations, &views.activation_maximization].map(|view| &view.output.figures);
    let figures: Vec<&Figure> = of_units.into_iter().flatten().chain(filters.iter().copied()).collect();
    let classes: Vec<&Figure> = views.classes.output.figures.iter().collect();
    let layer = |layer: &ShownLayer| {
        let [output, field, _] = layer_sizes(&page.network.lens, &layer.name).unwrap_or_default();
        let about = format!(
            "The output is {output}: channels, rows and columns. Each value depends on at most {field} pixels of the image."
        );
        let selectivity = page.images.labels.as_ref().map(|labels| layer.responses.class_selectivity(labels));
        let unit = |channel: &usize| {
            let response = |image: usize| layer.responses.largest(image, *channel);
            let about = match &selectivity {
                Some(all) => prefers(page, &all[*channel], &response),
                None => {
                    format!(
                        "sparseness {:.2}: 0 if it responds to all images alike, 1 if to one only",
                        layer.responses.sparseness(*channel)
                    )
                }
            };
            let about = format!("Channel {channel} of {}: {about}.", layer.name);
            let mut drawn =
                unit(page.images, (&layer.name, *channel), format!("channel {channel}"), about, &figures);
            drawn["compared"] = compared(page, &response);
            drawn
        };
        panel(&layer.name, &layer.name, about, list(layer.channels.iter().map(unit)))
    };
    let class = |figure: &&Figure| {
        let Subject::Unit(_, class) = figure.subject else { unreachable!("figures of classes are units") };
        let name = page.network.class(class);
        let about = format!(
            "{name}: an image made from noise for a high score of this class, and the score it reached."
        );
        unit(page.images, (Lens::LOGITS, class), name, about, &classes)
    };
    let about = "The score of each class, also called its logit. The last step of the network, the softmax, turns the \
                 scores into probabilities: the class with the largest score is the most likely one."
        .to_owned();
    let classes = panel(Lens::LOGITS, "classes", about, list(classes.iter().map(class)));
    list(page.shown.iter().map(layer).chain([classes]))
}

fn panel(layer: &str, name: &str, about: String, units: Value) -> Value {
    json!({ "id": identifier("unit", layer), "name": name, "about": about, "thumb": null, "units": units })
}

fn unit(
    images: &Images,
    (layer, channel): (&str, usize),
    name: String,
    about: String,
    figures: &[&Figure],
) -> Value {
    let subject = Subject::Unit(layer.to_owned(), channel);
    let own: Vec<&Figure> = figures.iter().filter(|figure| figure.subject == subject).copied().collect();
    json!({
        "id": unit_id(layer, channel),
        "thumb": own.first().map(|figure| EmbeddedImage::new(&figure.image, "", format!("{layer}, {name}"))),
        "name": name,
        "about": about,
        "groups": groups(images, &own),
        "compared": [],
    })
}

/// Images that excite a channel less than its top activations, from common ones to the weakest, to compare these with. None if
/// there is no map to take the images from.
fn compared(page: &Page<'_>, response: &dyn Fn(usize) -> f32) -> Value {
    let count = page.images.len();
    if count < choice::FEWEST {
        return json!([]);
    }
    let ranked = choice::strongest(count, count, response);
    let example = |percent: usize| {
        let image = ranked[((100 - percent) * count / 100).min(count - 1)];
        let place = if percent == 0 { "the weakest".to_owned() } else { format!("over {percent}\u{a0}%") };
        let words = format!("{}: {:.2}, {place}", page.network.called(page.images, image), response(image));
        json!({ "image": image, "words": words })
    };
    list([75, 50, 25, 0].into_iter().map(example))
}

/// The id of a channel's panel.
pub fn unit_id(layer: &str, channel: usize) -> String {
    format!("{}-{channel}", identifier("unit", layer))
}

/// The class that excites a channel most on average, and how many of the images that excite it most are of this class.
fn prefers(page: &Page<'_>, class: &ClassSelectivity, response: &dyn Fn(usize) -> f32) -> String {
    if class.response == 0.0 {
        return "it responds to none of the images".to_owned();
    }
    let name = page.network.class(class.class);
    let count = page.images.len();
    let top = choice::strongest(count, TOP_ACTIVATIONS.min(count), response);
    let of_class =
        |image: &&usize| page.images.labels.as_ref().is_some_and(|own| own[**image] == class.class);
    let own = top.iter().filter(of_class).count();
    let but = match 2 * own < top.len() {
        true => "; an average and the strongest images can disagree",
        false => "",
    };
    format!(
        "on average, {name} excites it most, with a mean activation of {:.3}, and {:.3} for the other classes. Its \
         selectivity is {:.2}, from 0 if all classes excite it alike to 1 if one alone does. Among the {} images that \
         excite it most are {own} of this class{but}",
        class.response,
        class.others,
        class.index,
        top.len()
    )
}

/// A channel on the page that responds to an image as it rarely does.
pub struct Unusual<'a> {
    layer: &'a ShownLayer,
    response: UnusualResponse,
}

/// A response is unusual if it is larger than that to this part of the other images.
const UNUSUAL: f64 = 0.9;

/// Of each layer, the channel on the page whose response to an image is the most unusual, if it is unusual.
pub fn unusual<'a>(page: &Page<'a>, image: usize) -> Vec<Unusual<'a>> {
    let of_layer = |layer: &'a ShownLayer| {
        let responses =
            layer.channels.iter().map(|channel| (*channel, layer.responses.largest(image, *channel)));
        let ranked = layer.responses.unusual(&responses.collect::<Vec<_>>(), Some(image));
        let most = ranked.first().filter(|response| response.weaker >= UNUSUAL)?;
        Some(Unusual { layer, response: *most })
    };
    page.shown.iter().filter_map(of_layer).collect()
}

impl Unusual<'_> {
    pub fn id(&self) -> String {
        unit_id(&self.layer.name, self.response.channel)
    }

    /// The values for a link to the channel.
    pub fn link(&self) -> Value {
        let UnusualResponse { channel, response, weaker, .. } = self.response;
        let percent = (100.0 * weaker).floor();
        let words = format!(
            "channel {channel} of {}: activation {response:.2}; {percent:.0}\u{a0}% of the other images excite it less",
            self.layer.name
        );
        json!({ "id": self.id(), "words": words })
    }
}

/// The most selective channel in words.
pub fn finding(page: &Page<'_>) -> Option<String> {
    let labels = page.images.labels.as_ref()?;
    let all = page.shown.iter().flat_map(|layer| {
        let classes = layer.responses.class_selectivity(labels);
        layer.channels.iter().map(|channel| (layer, *channel, classes[*channel])).collect::<Vec<_>>()
    });
    let (layer, channel, class) =
        all.reduce(|best, next| if next.2.index > best.2.index { next } else { best })?;
    let name = page.network.class(class.class);
    Some(match class.others > 0.0 {
        true => format!(
            "The most selective channel shown, which tells one class from the others best, is channel {channel} of {}: on \
             average, {name} excites it {:.1} times as much as the other classes do.",
            layer.name,
            class.response / class.others
        ),
        false => format!(
            "The most selective channel shown is channel {channel} of {}: only {name} excites it.",
            layer.name
        ),
    })
}

/// How the channels were chosen.
pub fn about(page: &Page<'_>) -> &'static str {
    match page.images.labels {
        Some(_) => {
            "The channels are not the first ones but selective ones that differ from each other. Selectivity is the class \
             selectivity index of Morcos et al. (2018): (a - b) / (a + b), where a is the mean activation for the class with \
             the largest one, and b the mean over the other classes; 0 is the same for all classes, 1 is a single class. \
             The first channel has the largest index. Each next one has the largest product of index and 1 - |r|, where r is \
             its strongest correlation, over the images, with a channel before it. Channels that respond to fewer than six \
             images, or less than 1 % of them, come last."
        }
        None => {
            "The channels are not the first ones but selective ones that differ from each other. As classes are unknown, \
             selectivity is the sparseness of the mean activations over the images (Vinje and Gallant 2000): 0 if all images \
             excite a channel alike, 1 if a single one does. The first channel has the largest sparseness. Each next one has \
             the largest product of sparseness and 1 - |r|, where r is its strongest correlation, over the images, with a \
             channel before it. Channels that respond to fewer than six images, or less than 1 % of them, come last."
        }
    }
}

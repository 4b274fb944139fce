//! A test for the reader: which of two patches excites a channel?

use super::ShownLayer;
use super::TOP_ACTIVATIONS;
use super::assemble::Page;
use super::choice;
use super::units::unit_id;
use serde_json::{Value, json};

/// Rounds of the test, and those per layer; even, for as many rounds with patches as with synthetic images.
const ROUNDS: usize = 12;
const PER_LAYER: usize = 4;
/// The wrong patch comes from an image that nowhere excites the channel to more than this fraction of the right patch.
const WEAK: f32 = 0.5;

/// The rounds. Deep layers come first, since there is more to see.
///
/// The right patch is the last of a channel's top patches, which the reader does not see as an example; the wrong one is a top
/// patch of another channel of the layer. Rounds show the channel's first patch and its synthetic image in turn, one example
/// each, so that the scores can be compared; of each layer there are as many rounds of both kinds.
pub fn rounds(page: &Page<'_>) -> Value {
    let top = TOP_ACTIVATIONS.min(page.images.len());
    let of_layer = |layer: &ShownLayer| -> Vec<Value> {
        let found = layer.channels.iter().filter_map(|channel| round(layer, *channel, top));
        let mut rounds: Vec<Value> = found.take(PER_LAYER).collect();
        rounds.truncate(rounds.len() / 2 * 2);
        rounds
    };
    let rounds = page.shown.iter().rev().flat_map(of_layer).take(ROUNDS);
    // Patch and examples of a round are chosen by its number, so that a page is the same each time it is made.
    let numbered = rounds.enumerate().map(|(n, mut round)| {
        round["synthetic"] = json!(n % 2 == 1);
        round["swapped"] = json!(n % 4 == 0 || n % 4 == 3);
        round
    });
    numbered.collect()
}

fn round(layer: &ShownLayer, channel: usize, top: usize) -> Option<Value> {
    // Without at least one example besides the right patch there is nothing to compare with.
    let right = top.checked_sub(1).filter(|rank| *rank > 0)?;
    let ranked = strongest(layer, channel, top);
    let limit = WEAK * layer.responses.largest(ranked[right], channel);
    let others = layer.channels.iter().filter(|other| **other != channel).flat_map(|other| {
        let images = strongest(layer, *other, top);
        images.into_iter().enumerate().map(|(rank, image)| (*other, rank, image)).collect::<Vec<_>>()
    });
    let response = |image: usize| layer.responses.largest(image, channel);
    let weakest = others
        .filter(|(.., image)| response(*image) < limit)
        .min_by(|a, b| response(a.2).total_cmp(&response(b.2)));
    let (other, rank, _) = weakest?;
    Some(json!({
        "layer": layer.name,
        "unit": unit_id(&layer.name, channel),
        "rank": right,
        "other": unit_id(&layer.name, other),
        "other_rank": rank,
    }))
}

/// The images with the largest activations of a channel, as the top activations rank them.
fn strongest(layer: &ShownLayer, channel: usize, top: usize) -> Vec<usize> {
    let responses = &layer.responses;
    choice::strongest(responses.images(), top, |image| responses.largest(image, channel))
}

#[cfg(test)]
mod tests {
    use super::{ShownLayer, round};
    use striate::Tensor;
    use striate::interpret::ChannelResponses;

    #[test]
    fn the_wrong_patch_does_not_excite_the_channel() {
        let mut responses = ChannelResponses::default();
        // Channel 0 responds to images 0 to 2, channel 1 to 2 and 3.
        let values = vec![9.0, 0.0, 8.0, 1.0, 7.0, 5.0, 0.5, 6.0];
        responses.add(&Tensor::f32([4, 2], values).unwrap()).unwrap();
        let layer = ShownLayer { name: "fc".to_owned(), responses, channels: vec![0, 1] };
        let first = round(&layer, 0, 2).unwrap();
        assert_eq!((&first["unit"], &first["rank"]), (&"unit-fc-0".into(), &1.into()));
        // The first of channel 1 is image 3, which excites channel 0 to 0.5; its second, image 2, does to 7.
        assert_eq!((&first["other"], &first["other_rank"]), (&"unit-fc-1".into(), &0.into()));
        assert!(round(&layer, 0, 1).is_none(), "there is no example");
        let alone = ShownLayer { channels: vec![0], ..layer };
        assert!(round(&alone, 0, 2).is_none(), "there is no other channel");
    }
}

//! From an image to the channels that respond to it as they rarely do.

use super::ChannelResponses;

/// A channel's response to an image, compared with its responses to other images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnusualResponse {
    /// The channel.
    pub channel: usize,
    /// Its largest activation at any position of the image; 0 if all are negative.
    pub response: f32,
    /// The fraction of the other images that excite it less.
    pub weaker: f64,
    /// Standard score: how far the response lies above the mean response to the other images, in standard deviations. 0 if all
    /// others excite the channel alike.
    pub score: f64,
}

impl ChannelResponses {
    /// Channels by how unusual their responses to an image are, most unusual first. `responses` are pairs of a channel and its largest
    /// activation in that image; if it is one of the images added, `own` is its index, and it is not compared with itself.
    ///
    /// What counts is the fraction of the other images that excite a channel less. So a channel that is strong for everything does
    /// not lead, nor one whose activations are large numbers. Channels with equal fractions are ordered by their standard score.
    /// Those that respond to too few images to tell what they look for come last: fewer than 1 %, or than six, or half of
    /// them if that is less.
    ///
    /// ```
    /// use striate::{Tensor, interpret::ChannelResponses};
    /// let mut responses = ChannelResponses::default();
    /// // Four images. Channel 0 is strong for all of them, channel 1 for the last two.
    /// responses.add(&Tensor::f32([4, 2], vec![9., 0., 8., 0., 9., 1., 8., 3.])?)?;
    /// let found = responses.unusual(&[(0, 8.), (1, 2.)], None);
    /// assert_eq!((found[0].channel, found[0].weaker), (1, 0.75));
    /// assert_eq!((found[1].channel, found[1].weaker), (0, 0.0));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a channel does not exist.
    pub fn unusual(&self, responses: &[(usize, f32)], own: Option<usize>) -> Vec<UnusualResponse> {
        let compare = |(channel, response): &(usize, f32)| {
            (self.is_rare(*channel), self.compare(*channel, response.max(0.0), own))
        };
        let mut all: Vec<(bool, UnusualResponse)> = responses.iter().map(compare).collect();
        all.sort_by(|(rare, a), (other_rare, b)| {
            rare.cmp(other_rare).then(b.weaker.total_cmp(&a.weaker)).then(b.score.total_cmp(&a.score))
        });
        all.into_iter().map(|(_, found)| found).collect()
    }

    fn compare(&self, channel: usize, response: f32, own: Option<usize>) -> UnusualResponse {
        let others = (0..self.images()).filter(|image| Some(*image) != own);
        let others = others.map(|image| f64::from(self.largest(image, channel)));
        let count = others.clone().count().max(1) as f64;
        let mean = others.clone().sum::<f64>() / count;
        let variance = others.clone().map(|other| (other - mean).powi(2)).sum::<f64>() / count;
        let own = f64::from(response);
        UnusualResponse {
            channel,
            response,
            weaker: others.filter(|other| *other < own).count() as f64 / count,
            score: if variance > 0.0 { (own - mean) / variance.sqrt() } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::interpret::ChannelResponses;

    fn responses(images: &[[f32; 4]]) -> ChannelResponses {
        let mut responses = ChannelResponses::default();
        responses.add(&Tensor::f32([images.len(), 4], images.concat()).unwrap()).unwrap();
        responses
    }

    fn indexed(responses: [f32; 4]) -> Vec<(usize, f32)> {
        responses.into_iter().enumerate().collect()
    }

    #[test]
    fn an_image_is_not_compared_with_itself() {
        let all = responses(&[[1.0; 4], [3.0; 4], [2.0; 4], [2.0; 4]]);
        // Of the other three, all are weaker; with the image itself it would be three of four.
        assert!(all.unusual(&indexed([3.0; 4]), Some(1)).iter().all(|found| found.weaker == 1.0));
        assert!(all.unusual(&indexed([3.0; 4]), None).iter().all(|found| found.weaker == 0.75));
    }

    #[test]
    fn rare_channels_come_last_and_strong_ones_do_not_lead() {
        // Channel 0 is strong for everything, 1 responds to a single image, 2 and 3 to some.
        let all = responses(&[
            [50.0, 0.0, 0.1, 1.0],
            [60.0, 0.0, 0.2, 0.5],
            [55.0, 0.0, 0.0, 0.0],
            [58.0, 0.1, 0.3, 0.0],
            [52.0, 0.0, 0.1, 3.0],
            [57.0, 0.0, 0.0, 0.0],
        ]);
        let found = all.unusual(&indexed([56.0, 9.0, 0.4, 2.0]), None);
        assert_eq!(found.iter().map(|f| f.channel).collect::<Vec<_>>(), [2, 3, 0, 1]);
        assert_eq!(found.iter().map(|f| f.weaker).collect::<Vec<_>>(), [1.0, 5.0 / 6.0, 0.5, 1.0]);
    }

    #[test]
    fn equal_fractions_are_ordered_by_their_score() {
        let all = responses(&[[1.0, 1.0, 5.0, -2.0], [3.0, 2.0, 5.0, -1.0]]);
        let found = all.unusual(&indexed([6.0, 6.0, 6.0, -0.5]), None);
        // Means 2 and 1.5, deviations 1 and 0.5; the others of channel 2 are all equal, and channel 3 is silent.
        assert_eq!(
            found.iter().map(|f| (f.channel, f.score)).collect::<Vec<_>>(),
            [(1, 9.0), (0, 4.0), (2, 0.0), (3, 0.0)]
        );
        assert_eq!((found[3].response, found[3].weaker), (0.0, 0.0));
    }
}

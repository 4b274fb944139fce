//! The flag `--channel`: channels of all layers, `3`, or of one layer, `layer1:3`.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use striate::interpret::Lens;
use striate::{Error, Result};

/// A channel of all layers that a view draws, or of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFlag {
    pub layer: Option<String>,
    pub channel: usize,
}

impl FromStr for ChannelFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (layer, number) = match text.rsplit_once(':') {
            Some((layer, number)) => (Some(layer.to_owned()), number),
            None => (None, text),
        };
        let channel = number.parse().map_err(|_| format!("expected 3 or layer1:3, found {text}"))?;
        Ok(Self { layer, channel })
    }
}

impl Display for ChannelFlag {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.layer {
            Some(layer) => write!(f, "{layer}:{}", self.channel),
            None => write!(f, "{}", self.channel),
        }
    }
}

/// The channels of a layer that the flags ask for, or else the first `most`. Fails if the layer lacks one.
pub fn channels_of(lens: &Lens, layer: &str, flags: &[ChannelFlag], most: usize) -> Result<Vec<usize>> {
    let layer = lens.layer(layer)?;
    if flags.is_empty() {
        return Ok((0..layer.channels().min(most)).collect());
    }
    let of_layer = |flag: &&ChannelFlag| flag.layer.as_ref().is_none_or(|name| *name == layer.name);
    let channels: Vec<usize> = flags.iter().filter(of_layer).map(|flag| flag.channel).collect();
    if channels.is_empty() {
        return Err(Error::argument("channel", format!("names none of {}", layer.name)));
    }
    channels.iter().try_for_each(|channel| layer.check_channel(*channel))?;
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::ChannelFlag;

    #[test]
    fn a_channel_may_belong_to_one_layer() {
        for text in ["3", "layer1.0:15"] {
            assert_eq!(text.parse::<ChannelFlag>().unwrap().to_string(), text);
        }
        assert_eq!("inception3a:2".parse::<ChannelFlag>().unwrap().layer.as_deref(), Some("inception3a"));
        for wrong in ["", "layer1:", "layer1", "1:b"] {
            assert!(wrong.parse::<ChannelFlag>().is_err(), "{wrong}");
        }
    }
}

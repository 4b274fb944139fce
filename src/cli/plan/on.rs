//! `--on`: the device whose time is predicted, by name or by its peaks.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use striate::plan::Peaks;

/// A device and its peaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct On {
    /// The GPU, if it was given by name.
    #[serde(flatten)]
    gpu: Option<&'static Gpu>,
    #[serde(skip)]
    pub peaks: Peaks,
}

/// A GPU and its published peaks.
#[derive(Debug, PartialEq, Serialize)]
struct Gpu {
    #[serde(rename = "device")]
    name: &'static str,
    #[serde(skip)]
    tflops: f64,
    #[serde(skip)]
    gbs: f64,
    source: &'static str,
}

const NVIDIA: &str = "NVIDIA's product page";
const AMD: &str = "AMD's product page";

/// Well-known GPUs. Peaks are for 32-bit floats without tensor cores. Where a source has no TFLOP/s, they are 2 operations for
/// each arithmetic unit at the boost clock (at the graphics clock for Intel); where it has no GB/s, the width of the memory
/// times its rate.
const GPUS: [Gpu; 13] = [
    // The variant with 6 GB: 1280 units at 1.708 GHz.
    Gpu { name: "GeForce GTX 1060", tflops: 4.37, gbs: 192.0, source: NVIDIA },
    // The variant with 12 GB: 3584 units at 1.777 GHz.
    Gpu { name: "GeForce RTX 3060", tflops: 12.7, gbs: 360.0, source: NVIDIA },
    Gpu { name: "GeForce RTX 3090", tflops: 35.6, gbs: 936.0, source: "NVIDIA's GA102 whitepaper" },
    // 5888 units at 2.475 GHz.
    Gpu { name: "GeForce RTX 4070", tflops: 29.1, gbs: 504.0, source: NVIDIA },
    Gpu { name: "GeForce RTX 4090", tflops: 82.6, gbs: 1008.0, source: "NVIDIA's Ada whitepaper" },
    Gpu { name: "NVIDIA H100 SXM", tflops: 67.0, gbs: 3350.0, source: NVIDIA },
    Gpu { name: "NVIDIA H200", tflops: 67.0, gbs: 4800.0, source: NVIDIA },
    Gpu { name: "Radeon RX 6600", tflops: 8.93, gbs: 224.0, source: AMD },
    Gpu { name: "Radeon RX 6800 XT", tflops: 20.7, gbs: 512.0, source: AMD },
    // AMD counts two instructions per cycle, which not all code can use.
    Gpu { name: "Radeon RX 7900 XTX", tflops: 61.4, gbs: 960.0, source: AMD },
    // The variant with 16 GB: 4096 units at 2.1 GHz.
    Gpu { name: "Intel Arc A770", tflops: 17.2, gbs: 560.0, source: "Intel's product page" },
    // 128 bits at 4266 MT/s.
    Gpu { name: "Apple M1", tflops: 2.6, gbs: 68.0, source: "Apple's announcement" },
    // The first model, with an LCD: 128 bits at 5500 MT/s.
    Gpu { name: "Steam Deck", tflops: 1.6, gbs: 88.0, source: "Valve's technical specifications" },
];

const EXPECTED: &str = "expected the name of a GPU or tflops=N,gbs=N, and optionally ,launch-us=N";

impl Gpu {
    /// Finds a GPU by its name; case, punctuation and the maker do not matter.
    fn find(name: &str) -> Result<&'static Self, String> {
        let named = GPUS.iter().find(|gpu| key(gpu.name) == key(name));
        named.ok_or_else(|| {
            let names = GPUS.map(|gpu| gpu.name).join(", ");
            format!("no figures of {name:?}; {EXPECTED}; names: {names}")
        })
    }
}

/// `rtx3060` for `NVIDIA GeForce RTX 3060`.
fn key(name: &str) -> String {
    let mut key: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    key.make_ascii_lowercase();
    for maker in ["nvidia", "geforce", "amd", "radeon", "intel", "apple"] {
        key = key.strip_prefix(maker).map(str::to_owned).unwrap_or(key);
    }
    key
}

/// The settings in the order they are read, with the minimum of each.
const SETTINGS: [(&str, f64); 3] = [("tflops", MIN), ("gbs", MIN), ("launch-us", 0.0)];

/// A million operations, and a thousand bytes, per second.
const MIN: f64 = 1e-6;
const MAX: f64 = 1e6;

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, rest) = text.split_once(',').map_or((text, None), |(first, rest)| (first, Some(rest)));
        let (gpu, settings) = match first.contains('=') {
            true => (None, Some(text)),
            false => (Some(Gpu::find(first)?), rest),
        };
        let mut values = [gpu.map(|gpu| gpu.tflops), gpu.map(|gpu| gpu.gbs), None];
        for setting in settings.iter().flat_map(|settings| settings.split(',')) {
            let (index, value) = parse(setting)?;
            if values[index].replace(value).is_some() {
                return Err(format!("there are two values of {}; {EXPECTED}", SETTINGS[index].0));
            }
        }
        let required = |index: usize| {
            values[index].ok_or_else(|| format!("{} is missing; {EXPECTED}", SETTINGS[index].0))
        };
        let peaks = Peaks { tflops: required(0)?, gbs: required(1)?, launch_us: values[2].unwrap_or(0.0) };
        Ok(Self { gpu, peaks })
    }
}

/// Parses `KEY=NUMBER`; returns the index of the key in [`SETTINGS`].
fn parse(setting: &str) -> Result<(usize, f64), String> {
    let (key, value) =
        setting.split_once('=').ok_or_else(|| format!("{setting:?} is not a setting; {EXPECTED}"))?;
    let index = SETTINGS.iter().position(|(name, _)| *name == key.trim());
    let index = index.ok_or_else(|| format!("{:?} is not a setting; {EXPECTED}", key.trim()))?;
    let (name, min) = SETTINGS[index];
    let number = value.trim().parse().ok().filter(|number: &f64| (min..=MAX).contains(number));
    let number = number
        .ok_or_else(|| format!("{name} must be a number from {min} to {MAX}, found {:?}", value.trim()))?;
    Ok((index, number))
}

impl fmt::Display for On {
    /// `GeForce RTX 3060: at most 12.7 TFLOP/s and 360 GB/s (NVIDIA's product page)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peaks { tflops, gbs, .. } = self.peaks;
        match self.gpu {
            Some(Gpu { name, source, .. }) => {
                write!(f, "{name}: at most {tflops} TFLOP/s and {gbs} GB/s ({source})")
            }
            None => write!(f, "a device with at most {tflops} TFLOP/s and {gbs} GB/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<On>().unwrap_err()
    }

    #[test]
    fn names_match_without_case_punctuation_and_maker() {
        for (text, name, launch_us) in [
            ("rtx3060", "GeForce RTX 3060", 0.0),
            ("NVIDIA GeForce RTX 3060", "GeForce RTX 3060", 0.0),
            ("rx-6800_xt, launch-us=4", "Radeon RX 6800 XT", 4.0),
            ("H200,launch-us=0.5", "NVIDIA H200", 0.5),
            ("m1", "Apple M1", 0.0),
        ] {
            let on: On = text.parse().unwrap();
            assert_eq!((on.gpu.unwrap().name, on.peaks.launch_us), (name, launch_us), "{text}");
        }
        assert_eq!("arc a770".parse::<On>().unwrap().peaks.gbs, 560.0);
        // Another GPU with other peaks.
        assert!(error("RTX 3060 Ti").contains("names: GeForce GTX 1060, GeForce RTX 3060, "));
    }

    #[test]
    fn every_name_is_found_by_itself() {
        for gpu in &GPUS {
            assert_eq!(Gpu::find(gpu.name), Ok(gpu));
        }
    }

    #[test]
    fn settings_may_be_in_any_order() {
        let peaks = Peaks { tflops: 13.0, gbs: 360.0, launch_us: 4.0 };
        for text in ["tflops=13,gbs=360,launch-us=4", "launch-us=4, gbs = 360, tflops=1.3e1"] {
            assert_eq!(text.parse(), Ok(On { gpu: None, peaks }), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_was_expected() {
        for (text, problem) in [
            ("", "no figures of \"\"; expected the name of a GPU"),
            ("quadro", "no figures of \"quadro\"; expected the name of a GPU"),
            ("tflops=13", "gbs is missing; expected the name of a GPU or tflops=N,gbs=N"),
            ("gbs=360", "tflops is missing; expected"),
            ("tflops=13,gbs=360,", "\"\" is not a setting; expected"),
            ("tflops=13,gbs=360,watts=170", "\"watts\" is not a setting; expected"),
            ("tflops=13,gbs=360,gbs=360", "there are two values of gbs; expected"),
            ("h200,tflops=60", "there are two values of tflops; expected"),
            ("h200,h100", "\"h100\" is not a setting; expected"),
        ] {
            assert!(error(text).starts_with(problem), "{text}: {}", error(text));
        }
        for wrong in ["0", "-13", "NaN", "inf", "1e9", "1e-9", "many", ""] {
            let expected = format!("tflops must be a number from 0.000001 to 1000000, found {wrong:?}");
            assert_eq!(error(&format!("tflops={wrong},gbs=360")), expected);
        }
        let expected = "launch-us must be a number from 0 to 1000000, found \"-1\"";
        assert_eq!(error("h200,launch-us=-1"), expected);
    }
}

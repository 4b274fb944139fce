//! Measured choices of kernels, and the JSON that stores them.

use super::{Pass, candidates};
use crate::kernel::{Kernel, current_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Nodes for which the same kernel should be fastest: a pass, and a description of its sizes, most of them rounded up to powers
/// of two.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeClass {
    /// The pass.
    pub pass: Pass,
    /// Its sizes, such as `3x3 stride 1, 16 to 16 channels, 32x32 pixels, batch 32`.
    pub shape: String,
}

impl fmt::Display for ShapeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pass.name(), self.shape)
    }
}

/// The fastest kernel of each measured class. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuned(Arc<BTreeMap<ShapeClass, &'static Kernel>>);

/// The JSON format. Increment [`VERSION`] with every change.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    adapter: String,
    driver: String,
    choices: Vec<Choice>,
}

#[derive(Serialize, Deserialize)]
struct Choice {
    pass: String,
    shape: String,
    kernel: String,
}

/// Parsed first, because other versions may differ in everything else.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

const VERSION: u32 = 1;

impl Tuned {
    /// The fastest kernel for a class, if it was measured.
    pub fn kernel(&self, class: &ShapeClass) -> Option<&'static Kernel> {
        self.0.get(class).copied()
    }

    /// Number of measured classes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no class was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets or removes the kernel of a class.
    pub fn set(&mut self, class: ShapeClass, kernel: Option<&'static Kernel>) {
        let choices = Arc::make_mut(&mut self.0);
        match kernel {
            Some(kernel) => choices.insert(class, kernel),
            None => choices.remove(&class),
        };
    }

    /// The choices as JSON, labeled with adapter and driver.
    pub fn to_json(&self, adapter: &str, driver: &str) -> String {
        let choice = |(class, kernel): (&ShapeClass, &&Kernel)| Choice {
            pass: class.pass.name().to_owned(),
            shape: class.shape.clone(),
            kernel: kernel.name.to_owned(),
        };
        let choices = self.0.iter().map(choice).collect();
        let file = File { version: VERSION, adapter: adapter.to_owned(), driver: driver.to_owned(), choices };
        serde_json::to_string_pretty(&file).expect("plain strings and numbers always serialize") + "\n"
    }

    /// Parses the output of [`Tuned::to_json`], or says why it cannot be used.
    pub fn from_json(text: &str, adapter: &str, driver: &str) -> Result<Self, String> {
        let damaged = |e: serde_json::Error| format!("is damaged ({e})");
        let Version { version } = serde_json::from_str(text).map_err(damaged)?;
        if version != VERSION {
            return Err(format!("has version {version}, but this program reads version {VERSION}"));
        }
        let file: File = serde_json::from_str(text).map_err(damaged)?;
        if [file.adapter.as_str(), &file.driver] != [adapter, driver] {
            return Err(format!(
                "is for {} with {}, not for {adapter} with {driver}",
                file.adapter, file.driver
            ));
        }
        let choices = file.choices.into_iter().map(Choice::read).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(choices)))
    }
}

impl Choice {
    fn read(self) -> Result<(ShapeClass, &'static Kernel), String> {
        let pass = Pass::ALL.into_iter().find(|pass| pass.name() == self.pass);
        let pass = pass.ok_or_else(|| format!("names an unknown pass, {:?}", self.pass))?;
        let kernel =
            candidates(pass).map(|c| c.kernel).find(|kernel| kernel.name == current_name(&self.kernel));
        let kernel = kernel
            .ok_or_else(|| format!("names kernel {:?}, which cannot compute {}", self.kernel, self.pass))?;
        Ok((ShapeClass { pass, shape: self.shape }, kernel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel;

    fn sample() -> Tuned {
        let mut tuned = Tuned::default();
        let class = |pass, shape: &str| ShapeClass { pass, shape: shape.to_owned() };
        tuned.set(class(Pass::Matmul, "16x16, 16 terms"), Some(&kernel::MATMUL_REGISTERS));
        tuned.set(class(Pass::Forward, "3x3"), Some(&kernel::IM2COL));
        tuned.set(class(Pass::GradWeight, "3x3"), Some(&kernel::CONV_DIRECT_GRAD_WEIGHT));
        tuned
    }

    #[test]
    fn choices_survive_a_round_trip() {
        let mut tuned = sample();
        assert_eq!(Tuned::from_json(&tuned.to_json("a", "d"), "a", "d"), Ok(tuned.clone()));
        tuned.set(ShapeClass { pass: Pass::Forward, shape: "3x3".to_owned() }, None);
        assert_eq!(tuned.len(), 2);
        assert_eq!(Tuned::from_json(&tuned.to_json("a", "d"), "a", "d"), Ok(tuned));
    }

    #[test]
    fn unusable_files_are_rejected_with_a_reason() {
        let text = sample().to_json("a", "d");
        let problem = |text: &str| Tuned::from_json(text, "a", "d").unwrap_err();
        assert!(problem(&text[..text.len() / 2]).starts_with("is damaged ("));
        assert!(problem("").starts_with("is damaged ("));
        // In files of other versions, only the version is parsed.
        assert_eq!(problem(r#"{"version": 2, "x": []}"#), "has version 2, but this program reads version 1");
        assert_eq!(Tuned::from_json(&text, "a", "e").unwrap_err(), "is for a with d, not for a with e");
        assert_eq!(
            problem(&text.replace("im2col", "im3col")),
            r#"names kernel "im3col", which cannot compute forward"#
        );
        assert_eq!(
            problem(&text.replace("im2col", "relu")),
            r#"names kernel "relu", which cannot compute forward"#
        );
        assert_eq!(problem(&text.replace("forward", "back")), r#"names an unknown pass, "back""#);
    }
}

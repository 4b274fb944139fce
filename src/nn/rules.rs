//! Which parameters are learned otherwise than the rest, by patterns of their names.

use crate::{Error, Result};

pub use glob::Pattern;

/// What holds for some parameters only. A pattern such as `layer1.*` or `*.bias` stands for every parameter whose
/// whole name it matches; `*` and `?` also match dots.
///
/// ```
/// use striate::nn::Rules;
/// let rules = Rules {
///     freeze: Rules::patterns(&["layer1.*"])?,
///     lr_scale: vec![(Rules::pattern("fc.*")?, 10.0)],
///     ..Default::default()
/// };
/// assert!(rules.is_frozen("layer1.0.conv1.weight"));
/// assert_eq!(rules.lr_scale("fc.bias"), 10.0);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// These stay as they are, and no gradient is computed for them. A batch norm whose weight and bias are among
    /// them also keeps its running statistics, and works with them.
    pub freeze: Vec<Pattern>,
    /// Factors of the learning rate; the first pattern that matches counts.
    pub lr_scale: Vec<(Pattern, f32)>,
    /// These have no weight decay.
    pub no_decay: Vec<Pattern>,
    /// Parameters of one dimension, the biases and those of batch norms, have no weight decay.
    pub no_decay_1d: bool,
}

impl Rules {
    /// A pattern, or why it is none.
    pub fn pattern(text: &str) -> Result<Pattern> {
        Pattern::new(text).map_err(|e| {
            let problem = format!("{text:?} is no pattern of names: {} at character {}", e.msg, e.pos + 1);
            Error::argument("pattern", problem)
        })
    }

    /// Several patterns.
    pub fn patterns(texts: &[&str]) -> Result<Vec<Pattern>> {
        texts.iter().map(|text| Self::pattern(text)).collect()
    }

    /// Whether the parameter of this name stays as it is.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.freeze.iter().any(|p| p.matches(name))
    }

    /// Factor of the learning rate of a parameter.
    pub fn lr_scale(&self, name: &str) -> f32 {
        self.lr_scale.iter().find(|(p, _)| p.matches(name)).map_or(1.0, |(_, scale)| *scale)
    }

    /// Whether weight decay works on a parameter.
    pub fn decays(&self, name: &str, shape: &[usize]) -> bool {
        !(self.no_decay_1d && shape.len() == 1 || self.no_decay.iter().any(|p| p.matches(name)))
    }

    /// Fails where a pattern stands for none of these names: it would be a slip of the pen.
    pub fn check(&self, names: &[&str]) -> Result<()> {
        let scales = self.lr_scale.iter().map(|(pattern, _)| ("lr_scale", pattern));
        let freeze = self.freeze.iter().map(|pattern| ("freeze", pattern));
        let no_decay = self.no_decay.iter().map(|pattern| ("no_decay", pattern));
        for (argument, pattern) in scales.chain(freeze).chain(no_decay) {
            if !names.iter().any(|name| pattern.matches(name)) {
                let some: Vec<&str> = names.iter().take(3).chain(names.last()).copied().collect();
                let problem = format!(
                    "no parameter is called {:?}; there are {} of them, such as {}",
                    pattern.as_str(),
                    names.len(),
                    some.join(", ")
                );
                return Err(Error::argument(argument, problem));
            }
        }
        match self.lr_scale.iter().find(|(_, scale)| !(*scale >= 0.0 && scale.is_finite())) {
            Some((pattern, scale)) => Err(Error::argument(
                "lr_scale",
                format!(
                    "the factor of {:?} must be a finite number from 0 on, and is {scale}",
                    pattern.as_str()
                ),
            )),
            None => Ok(()),
        }
    }
}

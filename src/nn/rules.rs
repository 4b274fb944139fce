//! Per-parameter settings, selected by name.

use crate::{Error, Result};

pub use glob::Pattern;

/// Settings for some of the parameters. A pattern such as `layer1.*` or `*.bias` selects the parameters whose full name
/// it matches; `*` and `?` also match dots.
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
    /// Parameters that are not updated; their gradients are not computed. A batch norm whose weight and bias are both
    /// frozen also keeps its running statistics and normalizes by them.
    pub freeze: Vec<Pattern>,
    /// Factors of the learning rate; the first matching pattern applies.
    pub lr_scale: Vec<(Pattern, f32)>,
    /// Parameters without weight decay.
    pub no_decay: Vec<Pattern>,
    /// No weight decay for one-dimensional parameters: biases and batch norms.
    pub no_decay_1d: bool,
}

impl Rules {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not a valid glob.
    pub fn pattern(text: &str) -> Result<Pattern> {
        Pattern::new(text).map_err(|e| {
            let problem = format!("{text:?} is not a valid glob: {} at character {}", e.msg, e.pos + 1);
            Error::argument("pattern", problem)
        })
    }

    /// Parses several patterns.
    ///
    /// # Errors
    ///
    /// As for [`pattern`](Self::pattern).
    pub fn patterns(texts: &[&str]) -> Result<Vec<Pattern>> {
        texts.iter().map(|text| Self::pattern(text)).collect()
    }

    /// Whether a parameter is frozen.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.freeze.iter().any(|p| p.matches(name))
    }

    /// The same rules for parameters in a scope.
    pub(crate) fn under(&self, scope: &str) -> Self {
        let under = |pattern: &Pattern| {
            Pattern::new(&format!("{}.{}", Pattern::escape(scope), pattern.as_str()))
                .expect("a valid glob after text")
        };
        Self {
            freeze: self.freeze.iter().map(under).collect(),
            lr_scale: self.lr_scale.iter().map(|(pattern, scale)| (under(pattern), *scale)).collect(),
            no_decay: self.no_decay.iter().map(under).collect(),
            no_decay_1d: self.no_decay_1d,
        }
    }

    /// Factor of a parameter's learning rate.
    pub fn lr_scale(&self, name: &str) -> f32 {
        self.lr_scale.iter().find(|(p, _)| p.matches(name)).map_or(1.0, |(_, scale)| *scale)
    }

    /// Whether a parameter has weight decay.
    pub fn decays(&self, name: &str, shape: &[usize]) -> bool {
        !(self.no_decay_1d && shape.len() == 1 || self.no_decay.iter().any(|p| p.matches(name)))
    }

    /// Checks the rules against a model's parameter names.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a pattern matches no name, which is likely a typo, or if a factor of the learning rate is
    /// negative or not finite.
    pub fn check(&self, names: &[&str]) -> Result<()> {
        let scales = self.lr_scale.iter().map(|(pattern, _)| ("lr_scale", pattern));
        let freeze = self.freeze.iter().map(|pattern| ("freeze", pattern));
        let no_decay = self.no_decay.iter().map(|pattern| ("no_decay", pattern));
        for (argument, pattern) in scales.chain(freeze).chain(no_decay) {
            if !names.iter().any(|name| pattern.matches(name)) {
                let some: Vec<&str> = names.iter().take(3).chain(names.last()).copied().collect();
                let problem = format!(
                    "{:?} matches none of the {} parameters; their names look like {}",
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
                format!("the factor of {:?} must be finite and not negative, got {scale}", pattern.as_str()),
            )),
            None => Ok(()),
        }
    }
}

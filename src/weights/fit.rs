//! Matching a file's tensors against a model's.

use super::naming::Naming;
use super::{Stored, Weights};
use crate::graph::PersistentKind;
use crate::plan::PersistentValue;
use crate::{Error, Result, Session, Tensor, TensorType};
use std::collections::BTreeSet;
use std::fmt;

/// How closely a file must match the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The file has exactly the model's tensors, all with the right shape.
    Strict,
    /// Load every tensor whose name and shape match; leave the rest of the model unchanged.
    Partial,
    /// Like [`Strict`](Self::Strict), except that tensors whose first dimension is the number of classes may differ
    /// in that dimension. Those are skipped, for fine-tuning on a data set with other classes.
    Backbone {
        /// The model's number of classes.
        classes: usize,
    },
}

/// Outcome of [`Weights::load`]. `Display` summarizes it in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors that were loaded.
    pub loaded: Vec<String>,
    /// The model's tensors that the file lacks.
    pub missing: Vec<String>,
    /// The file's tensors that the model lacks.
    pub unexpected: Vec<String>,
    /// Tensors that both have, each with how they differ.
    pub mismatched: Vec<String>,
    /// The model's tensors that [`Fit::Backbone`] or [`Weights::load_ignoring`] left unchanged.
    pub kept: Vec<String>,
    /// How the file's names were mapped to the model's, if they differ: a dropped prefix, for example.
    pub renamed: Option<String>,
}

/// Maximum number of names listed in a message; networks have hundreds.
const MAX_LISTED: usize = 12;

impl Weights {
    /// Loads the weights into a session. On failure the session is unchanged.
    ///
    /// Common naming differences are resolved: `module.` or `_orig_mod.` anywhere in a name, a prefix shared by all
    /// names (Lightning's `model.`), and other names for `fc` and `downsample` such as `linear` and `shortcut`.
    /// [`LoadReport::renamed`] says what was mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if the file does not satisfy `fit`, listing up to twelve missing, unexpected and mismatched
    /// tensors each; if nothing at all matches; or if a tensor to be loaded has a NaN or infinite value.
    pub fn load(&self, session: &mut Session, fit: Fit) -> Result<LoadReport> {
        self.load_ignoring(session, fit, &BTreeSet::new())
    }

    /// Like [`load`](Self::load), but leaves the tensors named in `ignored` as they are, whether file and model have them or not.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn load_ignoring(
        &self,
        session: &mut Session,
        fit: Fit,
        ignored: &BTreeSet<String>,
    ) -> Result<LoadReport> {
        let model = |p: &&PersistentValue| p.persistence.kind != PersistentKind::Optimizer;
        let values = session.persistent().iter().filter(model).map(|p| (p.value.name.as_str(), &p.value.ty));
        let (kept, values): (Vec<_>, Vec<_>) = values.partition(|(name, _)| ignored.contains(*name));
        let (mut report, matches) = self.compare(values.into_iter(), fit, ignored);
        report.kept.extend(kept.into_iter().map(|(name, _)| name.to_owned()));
        if fit != Fit::Partial && !report.is_complete() {
            let problem = format!(
                "does not match the model: {report}; choose the model it was saved from, or load only what matches (--partial)"
            );
            return Err(Error::data(self.path(), problem));
        }
        if matches.is_empty() {
            return Err(Error::data(self.path(), format!("has no tensor that matches the model: {report}")));
        }
        matches.iter().try_for_each(|(name, tensor)| self.check_finite(name, tensor))?;
        matches.iter().try_for_each(|(name, tensor)| session.write(name, tensor))?;
        Ok(report)
    }

    /// Compares the file with a model's tensors. Also returns the tensors to load.
    fn compare<'m>(
        &self,
        model: impl Iterator<Item = (&'m str, &'m TensorType)> + Clone,
        fit: Fit,
        ignored: &BTreeSet<String>,
    ) -> (LoadReport, Vec<(String, &Tensor)>) {
        let names = model.clone().map(|(name, _)| name).chain(ignored.iter().map(String::as_str));
        let naming = self.naming(&names.collect());
        let renamed = (!naming.is_exact()).then(|| naming.to_string());
        let (mut report, mut matches) = (LoadReport { renamed, ..Default::default() }, Vec::new());
        let mut left: BTreeSet<&str> = self.names().collect();
        for name in ignored.iter().filter_map(|name| naming.of(name)) {
            left.remove(name);
        }
        for (name, ty) in model {
            let in_file = naming.of(name).unwrap_or(name);
            left.remove(in_file);
            match self.tensors.get(in_file) {
                None => report.missing.push(name.to_owned()),
                Some(Stored::Float(tensor)) if tensor.ty() == ty => {
                    report.loaded.push(name.to_owned());
                    matches.push((name.to_owned(), tensor));
                }
                Some(Stored::Float(tensor)) if fit.allows_other_classes(tensor.shape(), &ty.shape) => {
                    report.kept.push(name.to_owned());
                }
                Some(Stored::Float(tensor)) => {
                    let (found, expected) = (tensor.shape(), &ty.shape);
                    report.mismatched.push(format!("{name} is {found:?}, expected {expected:?}"));
                }
                Some(Stored::Other(dtype)) => {
                    report.mismatched.push(format!("{name} is {dtype}, expected a floating-point type"));
                }
            }
        }
        report.unexpected = left.into_iter().map(str::to_owned).collect();
        (report, matches)
    }

    /// Maps the file's names to those of a model.
    pub(super) fn naming(&self, model: &BTreeSet<&str>) -> Naming {
        Naming::between(self.tensors.keys().map(String::as_str), model)
    }

    fn check_finite(&self, name: &str, tensor: &Tensor) -> Result<()> {
        match tensor.as_f32().iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let value = tensor.as_f32()[at];
                let problem =
                    format!("{name} has the value {value} at index {at}; use weights that are finite");
                Err(Error::data(self.path(), problem))
            }
        }
    }
}

impl Fit {
    /// Whether the shapes may differ because they belong to classifiers for different numbers of classes.
    fn allows_other_classes(self, found: &[usize], expected: &[usize]) -> bool {
        let Fit::Backbone { classes } = self else { return false };
        expected.first() == Some(&classes) && found.len() == expected.len() && found[1..] == expected[1..]
    }
}

impl LoadReport {
    /// Whether nothing is missing, unexpected or mismatched. [`kept`](Self::kept) tensors do not count.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors match", self.loaded.len())?;
        list(f, "missing from the file", &self.missing)?;
        list(f, "not in the model", &self.unexpected)?;
        list(f, "mismatched", &self.mismatched)?;
        list(f, "for other classes, not loaded", &self.kept)?;
        self.renamed.as_ref().map_or(Ok(()), |how| write!(f, "; names mapped: {how}"))
    }
}

/// Writes how many names there are and the first few; nothing if there are none.
fn list(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, ", {} {what} ({}", names.len(), names[..names.len().min(MAX_LISTED)].join(", "))?;
    match names.len().saturating_sub(MAX_LISTED) {
        0 => write!(f, ")"),
        more => write!(f, ", and {more} more)"),
    }
}

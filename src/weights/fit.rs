//! Fitting the tensors of a file to a model's.

use super::{Stored, Weights};
use crate::graph::PersistentKind;
use crate::plan::PersistentPort;
use crate::{Error, Result, Session, Tensor, TensorType};
use std::collections::BTreeSet;
use std::fmt;

/// How exactly the tensors of a file must be the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Every tensor of the model is there with its shape, and no other; else nothing is changed.
    Strict,
    /// What has a name and shape of the model is taken, and the rest of the model stays as it is.
    Partial,
    /// As strict, but tensors whose first size is the number of classes may have been made for another number; those
    /// of the model then stay as they are.
    Body {
        /// Classes that the model tells apart.
        classes: usize,
    },
}

/// What loading came to. Printed, it is a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names of the tensors that were taken.
    pub taken: Vec<String>,
    /// Names of the model that the file has not.
    pub missing: Vec<String>,
    /// Names of the file that the model has not.
    pub unexpected: Vec<String>,
    /// Names that both have, with how they differ.
    pub misfits: Vec<String>,
    /// Names of the model that [`Fit::Body`] left as they are.
    pub begun_anew: Vec<String>,
}

/// The most names that a list in a message has; networks have hundreds.
const NAMED: usize = 12;

impl Weights {
    /// Loads them into a session's model. Nothing is changed if this fails.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if [`Fit::Strict`] is not met, with the names of all tensors that are missing,
    /// unexpected or of another shape, up to twelve of each; if [`Fit::Partial`] finds nothing to take; or if a
    /// number that would be taken is infinite or not a number.
    pub fn load(&self, session: &mut Session, fit: Fit) -> Result<Loaded> {
        self.load_without(session, fit, &BTreeSet::new())
    }

    /// The same as if the file had no tensors of these names.
    pub(crate) fn load_without(
        &self,
        session: &mut Session,
        fit: Fit,
        passed_over: &BTreeSet<String>,
    ) -> Result<Loaded> {
        let model = |p: &&PersistentPort| p.persistence.kind != PersistentKind::Optimizer;
        let ports = session.persistent().iter().filter(model).map(|p| (p.port.name.as_str(), &p.port.ty));
        let (mut loaded, taken) = self.compare(ports, fit);
        loaded.unexpected.retain(|name| !passed_over.contains(name));
        if fit != Fit::Partial && !loaded.is_whole() {
            let problem = format!(
                "does not fit the model: {loaded}; give the model it was made for, or load only what fits (--partial)"
            );
            return Err(Error::data(self.path(), problem));
        }
        if taken.is_empty() {
            return Err(Error::data(self.path(), format!("has nothing that fits the model: {loaded}")));
        }
        taken.iter().try_for_each(|(name, tensor)| self.check_finite(name, tensor))?;
        taken.iter().try_for_each(|(name, tensor)| session.write(name, tensor))?;
        Ok(loaded)
    }

    /// What of a model's tensors is here, and what is taken.
    fn compare<'m>(
        &self,
        model: impl Iterator<Item = (&'m str, &'m TensorType)>,
        fit: Fit,
    ) -> (Loaded, Vec<(String, &Tensor)>) {
        let (mut loaded, mut taken) = (Loaded::default(), Vec::new());
        let mut left: BTreeSet<&str> = self.names().collect();
        for (name, ty) in model {
            left.remove(name);
            match self.tensors.get(name) {
                None => loaded.missing.push(name.to_owned()),
                Some(Stored::Numbers(tensor)) if tensor.ty() == ty => {
                    loaded.taken.push(name.to_owned());
                    taken.push((name.to_owned(), tensor));
                }
                Some(Stored::Numbers(tensor)) if fit.replaces(tensor.shape(), &ty.shape) => {
                    loaded.begun_anew.push(name.to_owned());
                }
                Some(Stored::Numbers(tensor)) => {
                    let (found, expected) = (tensor.shape(), &ty.shape);
                    loaded.misfits.push(format!("{name} is {found:?} and should be {expected:?}"));
                }
                Some(Stored::Other(element)) => {
                    loaded
                        .misfits
                        .push(format!("{name} holds {element} and should hold floating-point numbers"));
                }
            }
        }
        loaded.unexpected = left.into_iter().map(str::to_owned).collect();
        (loaded, taken)
    }

    fn check_finite(&self, name: &str, tensor: &Tensor) -> Result<()> {
        match tensor.as_f32().iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let number = tensor.as_f32()[at];
                let problem = format!(
                    "{name} holds {number} at place {at}, which no network can use; give other weights"
                );
                Err(Error::data(self.path(), problem))
            }
        }
    }
}

impl Fit {
    /// Whether a tensor of the model stays as it is, although a file has one of this name.
    fn replaces(self, found: &[usize], expected: &[usize]) -> bool {
        let Fit::Body { classes } = self else { return false };
        expected.first() == Some(&classes) && found.len() == expected.len() && found[1..] == expected[1..]
    }
}

impl Loaded {
    /// Whether the file's tensors are the model's, all of them and no others, but for a head made anew.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misfits.is_empty()
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors fit", self.taken.len())?;
        list(f, "missing from it", &self.missing)?;
        list(f, "not in the model", &self.unexpected)?;
        list(f, "different", &self.misfits)?;
        list(f, "made for other classes and begun anew", &self.begun_anew)
    }
}

/// How many, and their names, unless there are none.
fn list(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    let verb = if names.len() == 1 { "is" } else { "are" };
    write!(f, ", {} {verb} {what} ({}", names.len(), names[..names.len().min(NAMED)].join(", "))?;
    match names.len().saturating_sub(NAMED) {
        0 => write!(f, ")"),
        more => write!(f, ", and {more} more)"),
    }
}

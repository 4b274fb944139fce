//! Fitting the tensors of a file to a model's.

use super::naming::Naming;
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
    /// How the file's names became the model's, where they were others: without a prefix, say.
    pub renamed: Option<String>,
}

/// The most names that a list in a message has; networks have hundreds.
const NAMED: usize = 12;

impl Weights {
    /// Loads them into a session's model. Nothing is changed if this fails.
    ///
    /// Names may differ in known ways: they may have `module.` or `_orig_mod.` in them, all have one prefix more,
    /// as Lightning's have `model.`, and the layers `fc` and `downsample` may be called `linear` and `shortcut`, say.
    /// What was done is told ([`Loaded::renamed`]).
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
        let (loaded, taken) = self.compare(ports, fit, passed_over);
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
        model: impl Iterator<Item = (&'m str, &'m TensorType)> + Clone,
        fit: Fit,
        passed_over: &BTreeSet<String>,
    ) -> (Loaded, Vec<(String, &Tensor)>) {
        let names = model.clone().map(|(name, _)| name).chain(passed_over.iter().map(String::as_str));
        let naming = self.naming(&names.collect());
        let renamed = (!naming.is_exact()).then(|| naming.to_string());
        let (mut loaded, mut taken) = (Loaded { renamed, ..Default::default() }, Vec::new());
        let mut left: BTreeSet<&str> = self.names().collect();
        for name in passed_over.iter().filter_map(|name| naming.of(name)) {
            left.remove(name);
        }
        for (name, ty) in model {
            let own = naming.of(name).unwrap_or(name);
            left.remove(own);
            match self.tensors.get(own) {
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

    /// How the file's names become those of a model.
    pub(super) fn naming(&self, model: &BTreeSet<&str>) -> Naming {
        Naming::between(self.tensors.keys().map(String::as_str), model)
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
        list(f, "made for other classes and begun anew", &self.begun_anew)?;
        self.renamed.as_ref().map_or(Ok(()), |how| write!(f, "; names were read {how}"))
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

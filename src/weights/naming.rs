//! How the names of a file become a model's, where they differ in a known way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// Which name of a file each name of a model stands under, and what was done to find it. Printed, it says that.
#[derive(Default)]
pub struct Naming {
    /// By the model's name, the file's.
    files: BTreeMap<String, String>,
    /// What was taken off names.
    without: BTreeSet<String>,
    synonyms: BTreeSet<Synonym>,
}

/// Parts that `DataParallel`, `DistributedDataParallel` and `torch.compile` put into names, anywhere.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// What a layer is called elsewhere, and here.
type Synonym = (&'static str, &'static str);

/// Last layers, and the projections of residual blocks.
const SYNONYMS: [Synonym; 6] = [
    ("linear", "fc"),
    ("last_linear", "fc"),
    ("classifier", "fc"),
    ("head", "fc"),
    ("output", "fc"),
    ("shortcut", "downsample"),
];

/// A prefix has at most so many parts.
const MAX_PREFIX_PARTS: usize = 8;

impl Naming {
    /// Fits a file's names to a model's. A prefix of whatever kind (Lightning's `model.`, `net.`, `encoder.`) is taken
    /// off if at least half of the model is found under it, and more than without.
    pub fn between<'f>(file: impl Iterator<Item = &'f str> + Clone, model: &BTreeSet<&str>) -> Self {
        let exact = file.clone().filter(|name| model.contains(name));
        let exact = Self { files: exact.map(|name| (name.into(), name.into())).collect(), ..Self::default() };
        if exact.files.len() == model.len() {
            return exact;
        }
        let names: Vec<(&str, String)> = file.map(|name| (name, unwrapped(name))).collect();
        let mut found: HashMap<&str, usize> = HashMap::new();
        for (_, name) in &names {
            for prefix in prefixes(name).filter(|prefix| in_model(&name[prefix.len()..], model).is_some()) {
                *found.entry(prefix).or_default() += 1;
            }
        }
        let without_prefix = found.get("").copied().unwrap_or(0);
        let best = found.into_iter().max_by_key(|(prefix, count)| (*count, Reverse(*prefix)));
        let best = best.filter(|(_, count)| *count > without_prefix && 2 * count >= model.len());
        let renamed = Self::under(best.map_or("", |(prefix, _)| prefix), &names, model);
        if renamed.files.len() > exact.files.len() { renamed } else { exact }
    }

    fn under(prefix: &str, names: &[(&str, String)], model: &BTreeSet<&str>) -> Self {
        let mut naming = Self::default();
        for (file, name) in names {
            let found = name.strip_prefix(prefix).and_then(|rest| in_model(rest, model));
            let Some((name, synonym)) = found else { continue };
            naming.files.entry(name).or_insert_with(|| (*file).to_owned());
            naming.synonyms.extend(synonym);
            let wrappers = WRAPPERS.iter().filter(|wrapper| file.split('.').any(|part| part == **wrapper));
            naming.without.extend(wrappers.map(|wrapper| format!("{wrapper}.")));
        }
        naming.without.extend(Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()));
        naming
    }

    /// The file's name for a tensor of the model.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// Whether all names are the model's own.
    pub fn is_exact(&self) -> bool {
        self.without.is_empty() && self.synonyms.is_empty()
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without = self.without.iter().map(|part| format!("without {part:?}"));
        let synonyms = self.synonyms.iter().map(|(file, model)| format!("with {model} for {file}"));
        f.write_str(&without.chain(synonyms).collect::<Vec<_>>().join(", "))
    }
}

/// A name without the parts of wrappers.
fn unwrapped(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    parts.join(".")
}

/// What may stand before a model's name: nothing, or parts with their dots.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.match_indices('.').map(|(dot, _)| dot + 1).take(MAX_PREFIX_PARTS);
    std::iter::once(0).chain(dots).map(|end| &name[..end])
}

/// The model's name for one of a file, and the synonym that made it so.
fn in_model(name: &str, model: &BTreeSet<&str>) -> Option<(String, Option<Synonym>)> {
    if model.contains(name) {
        return Some((name.to_owned(), None));
    }
    SYNONYMS.into_iter().find_map(|(file, own)| {
        let mut parts: Vec<&str> = name.split('.').collect();
        *parts.iter_mut().find(|part| **part == file)? = own;
        let name = parts.join(".");
        model.contains(name.as_str()).then_some((name, Some((file, own))))
    })
}

//! Maps the tensor names of a file to those of a model if they differ in a known way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The file's name for each of the model's tensors. `Display` says how names were mapped.
#[derive(Default)]
pub struct Naming {
    /// From the model's name to the file's.
    files: BTreeMap<String, String>,
    /// Prefixes and wrapper parts that were dropped from names.
    dropped: BTreeSet<String>,
    synonyms: BTreeSet<Synonym>,
}

/// Parts that `DataParallel`, `DistributedDataParallel` and `torch.compile` insert, at any depth.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// Another name for a layer, and torchvision's.
type Synonym = (&'static str, &'static str);

/// Names of classifiers and of the projections in residual blocks.
const SYNONYMS: [Synonym; 6] = [
    ("linear", "fc"),
    ("last_linear", "fc"),
    ("classifier", "fc"),
    ("head", "fc"),
    ("output", "fc"),
    ("shortcut", "downsample"),
];

/// Maximum number of dot-separated parts of a prefix; bounds the search.
const MAX_PREFIX_PARTS: usize = 8;

impl Naming {
    /// Maps a file's names to a model's. A common prefix (Lightning's `model.`, `net.`, `encoder.`) is dropped if at
    /// least half of the model's names are found under it, and more than without it.
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
            naming.dropped.extend(wrappers.map(|wrapper| format!("{wrapper}.")));
        }
        naming.dropped.extend(Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()));
        naming
    }

    /// The file's name for a tensor of the model.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// Whether all names are used unchanged.
    pub fn is_exact(&self) -> bool {
        self.dropped.is_empty() && self.synonyms.is_empty()
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped = self.dropped.iter().map(|part| format!("dropped {part:?}"));
        let synonyms = self.synonyms.iter().map(|(file, model)| format!("{file} -> {model}"));
        f.write_str(&dropped.chain(synonyms).collect::<Vec<_>>().join(", "))
    }
}

/// A name without the parts that wrappers insert.
fn unwrapped(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    parts.join(".")
}

/// Every prefix of a name that ends in a dot, and the empty one.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.match_indices('.').map(|(dot, _)| dot + 1).take(MAX_PREFIX_PARTS);
    std::iter::once(0).chain(dots).map(|end| &name[..end])
}

/// The model's name for a file's name, with the synonym used, if any.
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

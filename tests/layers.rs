//! Each layer of `src/` uses only those below it, by the table in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// The files and folders in a row of the table.
type Layer = Vec<String>;

/// The rows of the table whose first column has paths below `src/`.
fn layers(page: &str) -> Vec<Layer> {
    let section = page.split("\n## The layers\n").nth(1).expect("ARCHITECTURE.md has the section");
    let section = section.split("\n## ").next().expect("split yields at least one part");
    let first_columns = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let paths = |column: &str| -> Layer {
        column.split('`').filter(|part| part.starts_with("src/")).map(str::to_owned).collect()
    };
    first_columns.map(paths).filter(|layer| !layer.is_empty()).collect()
}

/// The sources without comments, by path from the root of the repository.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = WalkDir::new(root.join("src")).into_iter().map(|entry| entry.unwrap().into_path());
    let rust = files.filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let read = |path: std::path::PathBuf| {
        let name = path.strip_prefix(root).unwrap().components();
        let name: Vec<&str> = name.map(|c| c.as_os_str().to_str().unwrap()).collect();
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        (name.join("/"), code.join("\n"))
    };
    rust.map(read).collect()
}

/// The module path of a file: `[gpu, context]` for `src/gpu/context.rs`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    path.split('/').filter(|part| !["lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// The file of a module, if there is one.
fn file_of<'s>(sources: &'s BTreeMap<String, String>, module: &[String]) -> Option<&'s str> {
    let path = module.join("/");
    let names = [format!("src/{path}.rs"), format!("src/{path}/mod.rs"), "src/lib.rs".to_owned()];
    let names = if module.is_empty() { &names[2..] } else { &names[..2] };
    names.iter().find_map(|name| sources.get_key_value(name)).map(|(name, _)| name.as_str())
}

/// Adds the paths of a `use` tree such as `a::{b, c::d as e}`, each with the name that it introduces. Returns the text after the
/// tree.
fn expand<'t>(tree: &'t str, prefix: &[String], paths: &mut Vec<(Vec<String>, String)>) -> &'t str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        while let Some(more) = rest.trim_start().strip_prefix(|c| c != '}') {
            let start = rest.len() - more.len() - 1;
            rest = expand(&rest[start..], prefix, paths).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        return rest.trim_start().strip_prefix('}').unwrap_or(rest);
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    if name.is_empty() {
        // `*`, or the end of a path in an expression: `a::<T>`.
        paths.push((prefix.to_vec(), "*".to_owned()));
        return rest.strip_prefix('*').unwrap_or("");
    }
    let path = if name == "self" { prefix.to_vec() } else { [prefix, &[name.to_owned()]].concat() };
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(rest, &path, paths);
    }
    let alias = rest.strip_prefix(" as ");
    let end = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (used_as, rest) = alias.map_or((name, rest), |alias| alias.split_at(end(alias)));
    paths.push((path, used_as.to_owned()));
    rest
}

/// The paths in code that start with a prefix such as `crate::`: line, path, and the name that it introduces.
fn paths_after<'t>(code: &'t str, keyword: &'t str) -> Vec<(usize, Vec<String>, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(keyword) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut paths = Vec::new();
        expand(&code[at + keyword.len()..], &[], &mut paths);
        let line = 1 + code[..at].matches('\n').count();
        found.extend(paths.into_iter().map(|(path, name)| (line, path, name)));
    }
    found
}

/// The paths of a file to other modules of the crate, from its root.
fn uses(file: &str, code: &str) -> Vec<(usize, Vec<String>)> {
    let module = module_of(file);
    let from_root = ["crate::", "striate::"].into_iter().flat_map(|keyword| paths_after(code, keyword));
    let mut uses: Vec<_> = from_root.map(|(line, path, _)| (line, path)).collect();
    for (line, path, _) in paths_after(code, "super::") {
        let ups = 1 + path.iter().take_while(|part| *part == "super").count();
        let parent = &module[..module.len().saturating_sub(ups)];
        uses.push((line, [parent, &path[ups - 1..]].concat()));
    }
    uses
}

/// The file that defines the target of a path, following re-exports. `None` for items of `lib.rs`.
fn definition<'s>(sources: &'s BTreeMap<String, String>, path: &[String]) -> Option<&'s str> {
    let known = (0..=path.len()).rev().find_map(|end| Some((end, file_of(sources, &path[..end])?)));
    let (end, file) = known?;
    if let Some(name) = path.get(end) {
        for (_, target, used_as) in paths_after(&sources[file], "use ") {
            if used_as != *name || ["std", "super"].contains(&target[0].as_str()) {
                continue;
            }
            let target = match target[0].as_str() {
                "crate" => target[1..].to_vec(),
                _ => [&path[..end], &target].concat(),
            };
            // An item of a child module, not of another crate.
            if target.len() > end + 1 && file_of(sources, &target[..end + 1]).is_some() {
                return definition(sources, &[&target[..], &path[end + 1..]].concat());
            }
        }
    }
    (file != "src/lib.rs").then_some(file)
}

/// The row of a file: the one with the longest path that is or contains it.
fn layer_of(layers: &[Layer], file: &str) -> Option<usize> {
    let inside = |path: &&String| if path.ends_with('/') { file.starts_with(*path) } else { file == *path };
    let length = |layer: &Layer| layer.iter().filter(inside).map(String::len).max();
    let (_, row) = layers.iter().enumerate().filter_map(|(row, layer)| Some((length(layer)?, row))).max()?;
    Some(row)
}

#[test]
fn layers_use_only_those_below_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let layers = layers(&fs::read_to_string(page).unwrap());
    let sources = sources();
    let mut problems = BTreeSet::new();
    let mut arrows = 0;
    for (file, code) in sources.iter().filter(|(file, _)| *file != "src/lib.rs") {
        let Some(layer) = layer_of(&layers, file) else {
            problems.insert(format!("{file} is in no layer of ARCHITECTURE.md"));
            continue;
        };
        for (line, path) in uses(file, code) {
            let Some(target) = definition(&sources, &path) else { continue };
            let Some(below) = layer_of(&layers, target) else { continue };
            arrows += usize::from(below != layer);
            if below < layer {
                let [from, to] = [&layers[layer], &layers[below]].map(|layer| layer.join(", "));
                let path = path.join("::");
                problems.insert(format!("{file}:{line}: {from} uses {path} of {to}, which is above it"));
            }
        }
    }
    assert!(arrows > 300, "only {arrows} uses of other layers were found");
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "{} uses go up:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_path_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in layers(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap()).concat() {
        assert!(root.join(&path).exists(), "{path}");
    }
}

#[test]
fn paths_of_nested_groups_are_found() {
    let code = "use crate::{a::{self, b}, c::D as E};\nlet x = crate::f::g(super::super::h::<u32>());";
    let found: Vec<String> =
        uses("src/x/y.rs", code).iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    assert_eq!(found, ["1 a", "1 a::b", "1 c::D", "2 f::g", "2 h"]);
}

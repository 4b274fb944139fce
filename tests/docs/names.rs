//! Links, files, commands, flags and kernels in the pages.

use crate::common::Outcome;
use crate::markdown::{Page, root};
use crate::program::{printed, striate};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that the pages refer to by path from the root.
const FOLDERS: &[&str] = &["src/", "docs/", "tests/", "shaders/", "examples/", "scripts/", "data/"];

/// Prefixes of kernel names.
const PREFIXES: &[&str] =
    &["conv_", "matmul_", "batch_norm_", "winograd_", "max_pool_", "im2col", "slice_sum"];

/// Fails with all problems at once.
fn report(problems: Vec<String>) -> Outcome {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

pub fn links(pages: &[Page]) -> Outcome {
    let mut problems = Vec::new();
    for page in pages {
        for target in page.prose().flat_map(targets) {
            if !resolves(page, target, pages) {
                problems.push(format!("{}: the link {target} does not resolve", page.name));
            }
        }
        for span in page.code_spans().filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder))) {
            let path = span.split([':', ' ']).next().expect("split yields at least one part");
            if !exists(path) {
                problems.push(format!("{}: there is no {span}", page.name));
            }
        }
    }
    report(problems)
}

/// Targets of the links and images in a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn resolves(page: &Page, target: &str, pages: &[Page]) -> bool {
    if target.starts_with("https://") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { root().join(&page.name) } else { page.folder().join(file) };
    let Ok(path) = path.canonicalize() else { return false };
    let anchors =
        || pages.iter().find(|page| root().join(&page.name).canonicalize().is_ok_and(|p| p == path));
    anchor.is_empty() || anchors().is_some_and(|page| page.anchors().iter().any(|a| a == anchor))
}

/// Whether a file or folder exists; `*` in its name matches anything.
fn exists(path: &str) -> bool {
    let Some((start, end)) = path.split_once('*') else { return root().join(path).exists() };
    let pattern = root().join(path);
    let files = fs::read_dir(pattern.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let start = start.rsplit('/').next().unwrap_or(start);
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .any(|name| name.starts_with(start) && name.ends_with(end))
}

/// With `--help`, commands check names and flags but do not run.
pub fn commands(pages: &[Page]) -> Outcome {
    let mut problems = Vec::new();
    for page in pages {
        for words in page.commands() {
            let line = words.join(" ");
            let known = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["striate", ref arguments @ ..] => parses(arguments),
                ["scripts/train", ref arguments @ ..] => parses(&[&["train"], arguments].concat()),
                ["scripts/check_onnx.py", _, ref arguments @ ..] => {
                    parses(&[&["export"], arguments].concat())
                }
                ["scripts/gpu-checks", ref arguments @ ..] => offers(GPU_CHECKS, arguments),
                ["scripts/drivers", ref arguments @ ..] => offers(DRIVERS, arguments),
                ["cargo", "run", "--release", "--example", name, ..] => {
                    exists(&format!("examples/{name}.rs")) || exists(&format!("examples/{name}/main.rs"))
                }
                ["mpirun", "-n", _, "striate", ref arguments @ ..] => parses(arguments),
                ["cargo", ..] | ["scripts/fuzz", ..] | ["scripts/test"] | ["sudo", "apt-get", ..] => true,
                ["tensorboard", "--logdir", _] => true,
                _ => false,
            };
            if !known {
                problems.push(format!("{}: {line:?} is not a command", page.name));
            }
        }
    }
    assert!(!parses(&["plan", "resnet20", "--no-such-flag"]), "an unknown flag passes");
    report(problems)
}

const GPU_CHECKS: &str = include_str!("../../scripts/gpu-checks");
const DRIVERS: &str = include_str!("../../scripts/drivers");

/// Whether the help in a script lists all flags.
fn offers(script: &str, arguments: &[&str]) -> bool {
    let mut flags = arguments.iter().filter(|word| word.starts_with("--"));
    flags.all(|flag| script.contains(&format!("  {flag} ")))
}

fn parses(arguments: &[&str]) -> bool {
    striate(arguments).arg("--help").output().expect("the program starts").status.success()
}

/// Every flag in the prose is one of some command.
pub fn flags(pages: &[Page]) -> Outcome {
    // Those of cargo, of srun and of mpirun.
    let foreign = ["--release", "--example", "--path", "--features", "--mpi", "--bind-to"];
    let mut known = BTreeSet::from(foreign.map(str::to_owned));
    known.extend([GPU_CHECKS, DRIVERS].into_iter().flat_map(flags_of));
    for command in subcommands(&[]) {
        for view in if command == "see" || command == "bench" { subcommands(&[&command]) } else { Vec::new() }
        {
            known.extend(flags_of(&help(&[&command, &view])));
        }
        known.extend(flags_of(&help(&[&command])));
    }
    let example = fs::read_dir(root().join("examples/degradation")).expect("the example exists");
    let example: String =
        example.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
    let mut problems = Vec::new();
    for page in pages {
        for flag in page.code_spans().flat_map(flags_of) {
            let field = format!("{}: ", flag.trim_start_matches('-').replace('-', "_"));
            let of_the_example = page.name == "docs/degradation.md" && example.contains(&field);
            if !known.contains(&flag) && !of_the_example {
                problems.push(format!("{}: no command has {flag}", page.name));
            }
        }
    }
    report(problems)
}

fn help(command: &[&str]) -> String {
    printed(striate(command).arg("--help"))
}

/// The subcommands in the help of a command.
fn subcommands(command: &[&str]) -> Vec<String> {
    let text = help(command);
    let list = text.lines().skip_while(|line| !["Commands:", "Cases:"].contains(line)).skip(1);
    let list = list.take_while(|line| line.starts_with("  "));
    let names =
        list.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn flags_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// Kernels by name or shader; `*` stands for the rest of a name. Measurements keep the names that kernels had.
pub fn kernels(pages: &[Page]) -> Outcome {
    let known = striate::kernel::ALL.iter().flat_map(|kernel| [kernel.name, kernel.file, kernel.entry]);
    let known: BTreeSet<&str> = known.collect();
    let mut problems = Vec::new();
    for page in pages {
        let commands = page.commands();
        let words =
            commands.iter().flatten().flat_map(|word| word.split('=')).filter(|word| !word.contains('.'));
        for name in page.code_spans().chain(words) {
            let plain =
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_*.".contains(&b));
            let start = name.split('*').next().expect("split yields at least one part");
            let start = striate::kernel::current_name(start);
            let kernel = plain && PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            if kernel && !known.iter().any(|known| known.starts_with(&start)) {
                problems.push(format!("{}: there is no kernel {name}", page.name));
            }
        }
    }
    report(problems)
}

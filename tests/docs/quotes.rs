//! Compares quoted output with what the program prints.
//!
//! A line `...` stands for any number of lines, and `...` at the end of a line for its rest. Column widths may differ.

use crate::common::{Outcome, Suite, gpu};
use crate::markdown::{Page, words};
use crate::program::{striate, text};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use striate::data;

/// Commands that are not run, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("striate eval resnet20-a resnet20_cifar10.safetensors", "needs CIFAR-10 and published weights"),
    (
        "striate profile resnet20 --device 0",
        "takes longer than all other quotes; tests/cli_profile.rs checks its tables",
    ),
    ("striate report runs/lenet", "needs three runs; tests/pages checks what it prints"),
    (
        "striate scaling resnet152",
        "takes half a minute, and times depend on the machine; tests/cli_scaling.rs checks them",
    ),
    (
        "striate see units runs/clothes",
        "needs the ResNet-8 of `scripts/train`; tests/cli_see.rs checks the ranks",
    ),
    ("striate train photos", "needs photographs; tests/cli_train/choice.rs checks what it prints"),
    ("scripts/gpu-checks", "needs a hardware GPU and several minutes"),
];

/// Commands whose numbers all depend on the machine.
const MEASURED: &[&str] = &["striate bench", "striate devices"];

/// Output that names this driver is compared only where the tests run on it.
const DRIVER: &str = "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)";

/// The command that creates the run used by other quoted commands.
const RUN: &str = "scripts/train --model lenet --device cpu --epochs 1 --out runs/quick";

/// Units of numbers that depend on the machine.
const UNITS: &[&str] = &["s", "ms", "images/s", "threads"];

#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Equal,
    /// Numbers with a decimal point may differ by this fraction, because another CPU rounds differently in training.
    Within(f64),
    Any,
}

pub fn add(suite: &mut Suite, pages: &[Page]) {
    for page in pages {
        let mut command = String::new();
        for block in page.blocks() {
            if block.language == "sh" {
                command = words(block.lines.first().expect("a block of commands is not empty")).join(" ");
            } else if block.language == "text" {
                let quoted: Vec<String> = block.lines.iter().map(|&line| line.to_owned()).collect();
                let why_not = why_not_run(&command, &quoted);
                let reason = why_not.map(|reason| format!(" ({reason})")).unwrap_or_default();
                let name = format!("{}:{} {command}{reason}", page.name, block.at);
                let command = command.clone();
                suite.add_if(why_not.is_none(), name, move || {
                    compare(&quoted, &output_of(&command)?, numbers(&command))
                });
            }
        }
    }
}

/// Why a command is not run here.
fn why_not_run(command: &str, quoted: &[String]) -> Option<&'static str> {
    if let Some((_, reason)) = NOT_RUN.iter().find(|(start, _)| command.starts_with(start)) {
        return Some(reason);
    }
    let quotes_driver = quoted.iter().any(|line| line.contains(DRIVER));
    (quotes_driver && !gpu().is_ok_and(|gpu| gpu.describe().contains(DRIVER)))
        .then_some("quotes another driver")
}

fn numbers(command: &str) -> Numbers {
    match command {
        _ if MEASURED.iter().any(|start| command.starts_with(start)) => Numbers::Any,
        _ if command.contains("runs/quick") => Numbers::Within(0.15),
        _ => Numbers::Equal,
    }
}

/// A folder with the run and the images that commands refer to.
fn workspace() -> &'static (tempfile::TempDir, Result<String, String>) {
    static WORKSPACE: OnceLock<(tempfile::TempDir, Result<String, String>)> = OnceLock::new();
    WORKSPACE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder can be created");
        let run = execute(dir.path().into(), RUN);
        fs::create_dir(dir.path().join("clothes")).unwrap();
        let test = data::open("fashion-mnist", None, None).expect("it is built in").test;
        let trouser = test.labels().iter().position(|&label| label == 1).expect("there are trousers");
        let file = dir.path().join("clothes/trouser.png");
        image::save_buffer(file, test.image(trouser), 28, 28, image::ColorType::L8).unwrap();
        (dir, run)
    })
}

fn output_of(command: &str) -> Result<String, String> {
    if !command.contains("runs/quick") && !command.contains("clothes") {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        return execute(dir.path().into(), command);
    }
    let (dir, run) = workspace();
    if command == RUN { run.clone() } else { execute(dir.path().into(), command) }
}

/// Returns standard output followed by standard error. Errors may be quoted too, so any exit code is accepted.
fn execute(dir: PathBuf, command: &str) -> Result<String, String> {
    let command = command.replacen("scripts/train", "striate train", 1);
    let arguments =
        command.strip_prefix("striate ").ok_or_else(|| format!("{command:?} cannot be run here"))?;
    let mut command = striate(&[]);
    command.args(words(arguments)).current_dir(dir).stdin(Stdio::null());
    let output = command.output().map_err(|e| e.to_string())?;
    Ok([output.stdout, output.stderr].map(|bytes| text(&bytes)).concat())
}

fn compare(quoted: &[String], printed: &str, numbers: Numbers) -> Outcome {
    // A slow run prints more lines of progress.
    let printed: Vec<&str> = printed.lines().filter(|line| !line.ends_with(" left")).collect();
    let line_of = |quoted: &String| printed.iter().any(|printed| same(quoted, printed, numbers));
    if fits(quoted, &printed, numbers) {
        return Ok(());
    }
    let stale = quoted.iter().find(|line| *line != "..." && !line_of(line));
    let what = stale.map_or("the quote has too few or too many lines, or another order".into(), |line| {
        format!("quoted:  {line}")
    });
    Err(format!("{what}\nprinted:\n{}", printed.join("\n")).into())
}

fn fits(quoted: &[String], printed: &[&str], numbers: Numbers) -> bool {
    match quoted {
        [] => printed.is_empty(),
        [skip, rest @ ..] if skip == "..." => {
            (0..=printed.len()).any(|at| fits(rest, &printed[at..], numbers))
        }
        [line, rest @ ..] => match printed {
            [first, after @ ..] => same(line, first, numbers) && fits(rest, after, numbers),
            [] => false,
        },
    }
}

fn same(quoted: &str, printed: &str, numbers: Numbers) -> bool {
    let (quoted, whole) = match quoted.strip_suffix("...") {
        Some(start) => (start, false),
        None => (quoted, true),
    };
    let (quoted, printed) = (parts(quoted), parts(printed));
    let long_enough = if whole { quoted.len() == printed.len() } else { quoted.len() <= printed.len() };
    long_enough
        && (0..quoted.len()).all(|at| match (&quoted[at], &printed[at]) {
            (Part::Text(q), Part::Text(p)) if !whole && at + 1 == quoted.len() => p.starts_with(q.trim_end()),
            (Part::Text(q), Part::Text(p)) => q == p,
            (Part::Number(q), Part::Number(p)) => {
                let unit = match quoted.get(at + 1) {
                    Some(Part::Text(text)) => text.trim_start().split([' ', ',']).next().unwrap_or(""),
                    _ => "",
                };
                q == p || UNITS.contains(&unit) || close(q, p, numbers)
            }
            _ => false,
        })
}

fn close(quoted: &str, printed: &str, numbers: Numbers) -> bool {
    match (numbers, quoted.parse::<f64>(), printed.parse::<f64>()) {
        (Numbers::Any, ..) => true,
        (Numbers::Within(fraction), Ok(q), Ok(p)) => {
            quoted.contains('.') && (q - p).abs() <= fraction * q.max(p)
        }
        _ => false,
    }
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Number(String),
}

/// Splits a line into separate numbers and the text between them, with single spaces.
fn parts(line: &str) -> Vec<Part> {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let in_word = text.ends_with(|before: char| before.is_alphanumeric() || before == '_');
        if !c.is_ascii_digit() || in_word {
            text.push(c);
            continue;
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        let mut number = String::from(c);
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == '.') {
            number.push(c);
        }
        parts.push(Part::Number(number));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

pub fn rules() -> Outcome {
    let printed =
        "model  lenet: 184586 parameters\nepoch 1/1  loss 0.93 accuracy 67.10 %  5.0 s, 156 images/s\ndone";
    let compare = |quoted: &str, numbers| {
        let quoted: Vec<String> = quoted.lines().map(str::to_owned).collect();
        compare(&quoted, printed, numbers)
    };
    let epoch = |loss: &str| format!("...\nepoch 1/1 loss {loss} accuracy 67.10 %  9.9 s, 7 images/s\n...");
    compare(&epoch("0.93"), Numbers::Equal)?;
    compare(&epoch("0.90"), Numbers::Within(0.15))?;
    compare("model lenet: ...\n...\ndone", Numbers::Equal)?;
    for (quoted, numbers) in [
        (epoch("0.90"), Numbers::Equal),
        (epoch("0.50"), Numbers::Within(0.15)),
        ("model lenet: 1 parameters\n...".into(), Numbers::Within(0.15)),
        ("model lenet: 184586 parameters".into(), Numbers::Equal),
        ("done".into(), Numbers::Equal),
        ("...\nmodel resnet8: ...\n...".into(), Numbers::Any),
    ] {
        assert!(compare(&quoted, numbers).is_err(), "{quoted}");
    }
    Ok(())
}

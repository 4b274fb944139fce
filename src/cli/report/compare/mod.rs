//! A page that compares several runs.

mod curves;
mod recall;
mod run;
mod settings;

use super::{Args, LastSplit};
use crate::cli::html::{self, Fact, list, megabytes};
use crate::cli::network::CONFIG;
use crate::cli::output::print;
use crate::cli::terminal::note;
use curves::{MAX_RUNS, Style};
use recall::Tested;
use run::Run;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use striate::{Error, Result, check_writable, write_file};

const PAGE: &str = "compare.html";
const TEMPLATE: &str = "compare.html";

pub fn make(args: &Args) -> Result<()> {
    let runs = read(&args.runs)?;
    // An error of one run leaves out that run only, so this one is found here.
    if args.batch == 0 {
        return Err(Error::argument("batch", "must be positive, got 0"));
    }
    let out = args.out.clone().unwrap_or_else(|| PAGE.into());
    html::check_replaceable(&out, TEMPLATE)?;
    // A run owns the files in its folder.
    if let Some(folder) = out.parent().filter(|folder| folder.join(CONFIG).exists()) {
        let problem = format!("is in the folder of a run, {}; give another --out", folder.display());
        return Err(Error::data(&out, problem));
    }
    check_writable(&out)?;
    let device = args.device.open()?;
    let mut last: LastSplit = None;
    let tested: Vec<Result<Tested>> =
        runs.iter().map(|run| Tested::evaluate(args, &run.path, &device, &mut last)).collect();
    let (groups, mut notes) = recall::groups(&runs, &tested);
    if run::held_out(&runs).is_none() {
        let validated = runs.iter().filter(|run| run.metrics.held_out() == "validation");
        let names = validated.map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "{names}: accuracy and loss on validation images, those of the other runs on test images"
        ));
    }
    // The same images may be in two folders, and those of a folder that is gone are only known by its name.
    let same_data = matches!(&groups[..], [all] if all.len() == runs.len()) || same_source(&runs);
    let page = json!({
        "title": format!("{} runs compared", runs.len()),
        "lead": "Results, curves, settings that differ, and how well each run recognizes each class.",
        "facts": if same_data { facts(&runs) } else { Vec::new() },
        "runs": list(runs.iter().enumerate().map(|(index, run)| row(run, Style::of(index)))),
        "same_data": same_data,
        "plots": curves::plots(&out, &runs)?,
        "settings": settings::differing(&runs),
        "recall_tables": list(groups.iter().map(|group| recall::table(&runs, group))),
        "notes": notes,
    });
    let page = html::render(TEMPLATE, &page);
    write_file(&out, page.as_bytes())?;
    notes.iter().for_each(|text| note(&format!("note: {text}")));
    print(&format!("{}written  {}, {}\n", run::table(&runs), out.display(), megabytes(page.len())))
}

fn read(paths: &[PathBuf]) -> Result<Vec<Run>> {
    let runs: Vec<Run> = paths
        .iter()
        .zip(run::names(paths))
        .map(|(path, name)| Run::read(path, name))
        .collect::<Result<_>>()?;
    let real = |path: &Path| path.canonicalize().map_err(Error::io(path, "read"));
    let real = paths.iter().map(|path| real(path)).collect::<Result<Vec<_>>>()?;
    for (at, path) in paths.iter().enumerate() {
        if let Some(first) = real[..at].iter().position(|other| *other == real[at]) {
            let problem = format!("is the same run as {}; give each run once", paths[first].display());
            return Err(Error::data(path, problem));
        }
    }
    if runs.len() > MAX_RUNS {
        let problem = format!("at most {MAX_RUNS} can be told apart, found {}; give fewer", runs.len());
        return Err(Error::argument("RUN", problem));
    }
    Ok(runs)
}

/// Whether all runs were trained on a data set of the same name and folder.
fn same_source(runs: &[Run]) -> bool {
    let data = |run: &Run| (run.setting("dataset").clone(), run.config["data_folder"].clone());
    runs.iter().all(|run| data(run) == data(&runs[0]))
}

/// The best accuracy.
fn facts(runs: &[Run]) -> Vec<Fact> {
    let mut tested: Vec<_> = runs.iter().filter_map(|run| Some((run, run.best()?.held_out()?.1))).collect();
    // A stable sort: of equal runs, the first given stays first.
    tested.sort_by(|a, b| b.1.total_cmp(&a.1));
    // Validation and test accuracies do not compare.
    let best = tested
        .first()
        .filter(|_| run::held_out(runs).is_some())
        .map(|(run, _)| Fact::new("Best accuracy", format!("{}, {}", run.summary().accuracy, run.name)));
    best.into_iter().collect()
}

fn row(run: &Run, style: Style) -> Value {
    json!({ "name": run.name, "style": style, "summary": run.summary() })
}

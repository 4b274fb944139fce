//! The pages of `striate see` and `striate report`: their content, also in a browser, and wrong arguments.

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/mod.rs"]
mod common;
mod in_browser;
mod live;
mod live_inputs;
#[path = "../common/webgpu.rs"]
mod webgpu;
#[path = "../common/workspace.rs"]
mod workspace;

use browser::Browser;
use common::{Outcome, Suite, named};
use std::process::{Command, ExitCode};
use workspace::*;

/// A trained network with 40 test images of ten classes.
fn trained() -> Workspace {
    let dir = Workspace::with_images(20, 40, 8);
    dir.trained(&["--epochs", "2"]);
    dir
}

fn striate(dir: &Workspace, args: &[&str]) -> Command {
    dir.striate(&[args, &["--device", "cpu"]].concat())
}

const SEE: [&str; 9] = ["see", "run", "--dataset", "mnist", "--data", "data", "--units", "3", "--examples=4"];

/// The page that a command writes.
fn written(dir: &Workspace, args: &[&str], file: &str) -> String {
    printed(&mut striate(dir, args));
    dir.read_text(file)
}

/// The ids of the channels drawn of a layer, in their order.
fn unit_tabs(page: &str, layer: &str) -> Vec<String> {
    let tabs = page.split("role=\"tab\" id=\"").skip(1).filter_map(|rest| rest.split("-tab\"").next());
    tabs.filter(|id| id.starts_with(&format!("unit-{layer}-"))).map(str::to_owned).collect()
}

/// The commands that a page says it was made by.
fn commands(page: &str) -> Vec<String> {
    let shown = page.split("<pre><code>").skip(1).filter_map(|rest| rest.split("</code>").next());
    shown.map(str::to_owned).collect()
}

/// Asserts that a page loads nothing from elsewhere.
fn assert_self_contained(page: &str) {
    for (at, _) in page.match_indices("src=\"").chain(page.match_indices("href=\"")) {
        let target = page[at..].split('"').nth(1).unwrap();
        assert!(target.starts_with("data:") || target.starts_with('#'), "the page loads {target:.80}");
    }
    for word in ["url(", "@import", "http://", "https://"] {
        assert!(!page.contains(word), "the page has {word}");
    }
    assert!(page.len() < 20 << 20, "{} bytes", page.len());
}

fn the_page_has_all_views() -> Outcome {
    let dir = trained();
    let page = written(&dir, &SEE, "report/index.html");
    assert_self_contained(&page);
    let views = [
        "activations",
        "ascent",
        "classes",
        "fields",
        "filters",
        "map",
        "neighbours",
        "occlusion",
        "peaks",
        "relevance",
        "saliency",
    ];
    let mut files = views.map(str::to_owned).to_vec();
    files.extend(["index.html", ".striate.json"].map(str::to_owned));
    files.sort();
    assert_eq!(list(&dir.path("report")), files);
    for view in views {
        let name = if view == "classes" { "ascent" } else { view };
        let manifest = dir.read_json(&format!("report/{view}/{name}.json"));
        let title = manifest["title"].as_str().unwrap();
        assert!(page.contains(title), "{view} is not on the page");
        assert!(page.contains(&format!("striate see {name}")), "the page has no command for {view}");
    }
    for words in [
        "77,754",
        " of 40 images (",
        "layer3",
        "selectivity",
        "id=\"image-3\"",
        "percentage points",
        "Relevance through channel",
        "Most maps agree on ",
        "adds the input of its block",
        "% of the other images excite it less",
        ": max ",
        "For comparison: images that excite it less",
        "from 0 if all classes excite it alike",
    ] {
        assert!(page.contains(words), "the page has no {words}");
    }
    let links = page.match_indices("\u{a0}% of the other images excite it less");
    for percent in links.map(|(at, _)| page[..at].rsplit(' ').next().unwrap()) {
        assert!(percent.parse::<f32>().unwrap() >= 90.0, "{percent} % is not unusual");
    }
    assert!(page.contains("mnist 3, 3") && !page.contains("image 3"), "an image has two names");
    assert_eq!(page.matches("aria-hidden=\"true\"><path d=").count(), 3, "shortcuts of three blocks");
    assert_eq!(unit_tabs(&page, "layer3").len(), 3);
    assert!(!page.contains("id=\"image-4\""), "the page has more than it should");
    // A second run writes the same bytes and leaves other files alone.
    dir.write("report/notes.txt", b"mine");
    assert!(written(&dir, &SEE, "report/index.html") == page, "the page differs");
    assert_eq!(dir.read("report/notes.txt"), b"mine");
    assert_eq!(list(dir.root()), ["data", "report", "run"], "a temporary file is left");
    Ok(())
}

fn commands_of_the_page_repeat_its_views() -> Outcome {
    let dir = trained();
    // The page begins with images of different classes, here not the first ones.
    let labels: Vec<u8> = (0..40).map(|i| i / 3 % 10).collect();
    dir.write("data/t10k-labels-idx1-ubyte", &idx(0x801, &[40], &labels));
    let page = written(&dir, &[&SEE[..], &["--images", "12"]].concat(), "report/index.html");
    assert!(page.contains("mnist 3, 1") && page.contains("--begin-with=0,3,6,9"));
    let mut folders = Vec::new();
    for command in commands(&page) {
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(&words[..2], ["striate", "see"], "{command}");
        printed(&mut dir.striate(&words[1..]));
        let view = words[2];
        let folder = if command.contains("--layer=logits") { "classes" } else { view };
        let mut again = contents(&dir.path("seen"));
        again.remove(".striate.json");
        assert!(again == contents(&dir.path(&format!("report/{folder}"))), "{command} draws something else");
        std::fs::remove_dir_all(dir.path("seen"))?;
        folders.push(folder.to_owned());
    }
    folders.sort();
    assert_eq!(
        folders,
        list(&dir.path("report")).into_iter().filter(|name| !name.contains('.')).collect::<Vec<_>>()
    );
    Ok(())
}

fn one_image_is_enough_for_a_page() -> Outcome {
    let dir = trained();
    let page = written(&dir, &[&SEE[..], &["--images", "1"]].concat(), "report/index.html");
    assert!(page.contains("t-SNE needs at least 10 images; there are 1."));
    assert!(!list(&dir.path("report")).contains(&"neighbours".to_owned()));
    let image = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, 60]));
    dir.save("images/good.png", &image);
    dir.write("images/broken.png", b"not an image");
    let flags = ["see", "run", "--data", "images", "--units", "1", "--out", "files"];
    let output = striate(&dir, &flags).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("broken.png"));
    let page = dir.read_text("files/index.html");
    assert!(page.contains("good.png"));
    // Nothing can be right or wrong without classes.
    assert!(page.contains("true classes are not known") && !page.contains("class=\"matrix\""));
    Ok(())
}

fn wrong_arguments_leave_an_earlier_page_alone() -> Outcome {
    let dir = trained();
    dir.write("report/index.html", b"earlier");
    dir.write("report/map/map.svg", b"earlier");
    dir.write("empty/readme.txt", b"no image");
    dir.write("broken/broken.png", b"not an image");
    dir.write("alone.safetensors", &dir.read("run/model.safetensors"));
    let before = contents(&dir.path("report"));
    let cases: [(&[&str], &[&str]); 8] = [
        (&["see", "alone.safetensors"], &["--data", "--dataset"]),
        (&["see", "run", "--data", "empty"], &["empty", "without images"]),
        (&["see", "run", "--data", "broken"], &["none of the 1 images could be read", "broken.png"]),
        (
            &["see", "run", "--dataset", "fashion-mnist"],
            &["--dataset", "which the network does not have (0, 1, 2"],
        ),
        (&["see", "nowhere", "--data", "data"], &["nowhere"]),
        (&[&SEE[..6], &["--units", "0"]].concat(), &["--units", "at least 1"]),
        (&[&SEE[..], &["--layer", "layer1.7"]].concat(), &["--layer", "layer1.7", "did you mean layer1.0"]),
        (&[&SEE[..], &["--batch", "0"]].concat(), &["--batch"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut striate(&dir, args), words);
        assert_eq!(before, contents(&dir.path("report")), "{args:?}");
    }
    Ok(())
}

fn foreign_files_are_kept() -> Outcome {
    let dir = trained();
    // The input images are where the files of a view would go.
    let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([x as u8 * 30, y as u8 * 30, 60]));
    dir.save("project/classes/cat.png", &image);
    dir.write("page/index.html", b"mine");
    dir.write("page.part/notes", b"mine");
    let see =
        |out: &str| striate(&dir, &["see", "run", "--data", "project/classes", "--units", "1", "--out", out]);
    assert_refused(&mut see("project"), &["project/classes: has files that striate did not write"]);
    assert_refused(&mut see("page"), &["page/index.html: exists", "move it away"]);
    assert_eq!(list(&dir.path("project/classes")), ["cat.png"]);
    assert_eq!(
        (list(&dir.path("project")), list(&dir.path("page"))),
        (vec!["classes".into()], vec!["index.html".into()])
    );
    assert_eq!(list(&dir.path("page.part")), ["notes"]);
    // Writing the page again replaces its old files and keeps foreign ones.
    printed(&mut see("report"));
    dir.write("report/occlusion/notes", b"mine");
    let before = list(&dir.path("report/filters"));
    printed(&mut see("report"));
    assert_eq!(list(&dir.path("report/filters")), before);
    assert_eq!(dir.read("report/occlusion/notes"), b"mine");
    // Nor does the page of a run replace foreign files.
    dir.write("run/report.html", b"mine");
    assert_refused(&mut striate(&dir, &["report", "run"]), &["run/report.html: exists"]);
    Ok(())
}

/// The output folder is a symbolic link to another file system.
fn a_page_can_be_written_to_another_file_system() -> Outcome {
    let dir = trained();
    let other = tempfile::tempdir_in("/dev/shm")?;
    let link = dir.path("report");
    #[cfg(unix)]
    std::os::unix::fs::symlink(other.path(), link)?;
    for _ in 0..2 {
        written(&dir, &SEE, "report/index.html");
    }
    assert!(other.path().join("peaks/peaks.json").exists());
    Ok(())
}

fn a_run_has_a_page() -> Outcome {
    let dir = trained();
    let page = written(&dir, &["report", "run"], "run/report.html");
    assert_self_contained(&page);
    for words in ["Test accuracy", "resnet8 on mnist", "layer1.0.conv1", "--weight-decay", "mistaken for"] {
        assert!(page.contains(words), "the page has no {words}");
    }
    // After the data set has moved, `--data` finds it.
    std::fs::rename(dir.path("data"), dir.path("moved")).unwrap();
    assert_refused(&mut striate(&dir, &["report", "run"]), &["data"]);
    written(&dir, &["report", "run", "--data", "moved", "--out", "page.html"], "page.html");
    written(&dir, &["report", "run", "--data", "moved", "--out", "page.html"], "page.html");
    dir.write("mine.html", b"mine");
    let onto_mine = ["report", "run", "--data", "moved", "--out", "mine.html"];
    assert_refused(&mut striate(&dir, &onto_mine), &["mine.html", "was not written by striate"]);
    assert_eq!(dir.read("mine.html"), b"mine");
    assert_refused(&mut striate(&dir, &["report", "moved"]), &["moved", "not a run folder"]);
    dir.write("run/config.json", b"{}");
    assert_refused(&mut striate(&dir, &["report", "run"]), &["config.json", "lacks the arguments"]);
    Ok(())
}

/// Two runs, in `run` and `other`.
fn two_runs() -> Workspace {
    let dir = trained();
    dir.trained(&["--out", "other", "--lr", "0.05", "--nesterov"]);
    dir
}

fn runs_are_compared() -> Outcome {
    let dir = two_runs();
    written(&dir, &["report", "run"], "run/report.html");
    let before = (contents(&dir.run()), contents(&dir.path("other")));
    let table = printed(&mut striate(&dir, &["report", "run", "other/"]));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(
        table.contains("\nrun ") && table.contains("\nother ") && table.contains("written  compare.html")
    );
    let page = dir.read_text("compare.html");
    assert_self_contained(&page);
    for words in [
        "2 runs compared",
        "Best accuracy",
        "77,754",
        "--lr</code>",
        "--nesterov",
        "Held-out accuracy of each run",
    ] {
        assert!(page.contains(words), "the page has no {words}");
    }
    assert!(page.contains("<th class=\"long\">other</th>"), "other has no column");
    assert!(
        !page.contains("--weight-decay") && !page.contains("--out"),
        "the page has settings that are the same"
    );
    let classes = page.split("id=\"classes\"").nth(1).unwrap();
    assert_eq!(classes.matches("<th scope=\"row\"").count(), 10, "a row per class");
    let differences: Vec<f64> = classes
        .split("<td>4</td><td>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().parse().unwrap())
        .collect();
    assert!(differences.len() == 10 && differences.is_sorted_by(|a, b| a >= b), "{differences:?}");
    assert!(written(&dir, &["report", "run", "other"], "compare.html") == page, "the page differs");
    // The pages of a run and the comparison do not replace each other, and nothing else is written.
    let onto_a_run = ["report", "run", "other", "--out", "run/report.html"];
    assert_refused(&mut striate(&dir, &onto_a_run), &["run/report.html", "is another page of striate"]);
    let onto_the_comparison = ["report", "run", "--out", "compare.html"];
    assert_refused(&mut striate(&dir, &onto_the_comparison), &["compare.html", "is another page of striate"]);
    assert!((contents(&dir.run()), contents(&dir.path("other"))) == before, "a run has changed");
    Ok(())
}

fn wrong_runs_are_not_compared() -> Outcome {
    let dir = two_runs();
    dir.write("notes/config.txt", b"no run");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["run", "./run/"], &["./run/", "the same run as run"]),
        (&["run", "notes"], &["notes", "not a run folder"]),
        (&["run", "nowhere"], &["nowhere", "not a run folder"]),
        (&["run", "other", "--batch", "0"], &["--batch"]),
        (&["run", "other", "--out", "notes"], &["notes", "is a folder"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut striate(&dir, &[&["report"], args].concat()), words);
    }
    let names: Vec<String> = (0..25).map(|n| format!("copy-{n}")).collect();
    names.iter().for_each(|name| dir.write(&format!("{name}/config.json"), &dir.read("run/config.json")));
    let all: Vec<&str> = ["report"].into_iter().chain(names.iter().map(String::as_str)).collect();
    assert_refused(&mut striate(&dir, &all), &["RUN", "at most 24", "found 25"]);
    assert!(!dir.path("compare.html").exists());
    Ok(())
}

fn incomplete_runs_are_compared() -> Outcome {
    let dir = two_runs();
    // A run before the end of its first epoch, with a name that would be markup and control the terminal.
    let new = "<b>&\u{1b}[2J";
    dir.write(&format!("{new}/config.json"), &dir.read("run/config.json"));
    let elsewhere = Workspace::with_images(20, 30, 8);
    let data = elsewhere.path("data");
    dir.trained(&["--out", "moved", "--data", &data.display().to_string()]);
    let compare = |runs: &[&str]| {
        let output = striate(&dir, &[&["report"], runs].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (text(&output.stdout), text(&output.stderr), dir.read_text("compare.html"))
    };
    let (table, notes, page) = compare(&["run", "moved", new, "other"]);
    assert!(table.contains("<b>&\\u{1b}[2J") && table.contains("0 of 2"), "{table}");
    assert_eq!(notes.lines().count(), 2, "{notes}");
    assert!(
        notes.contains("moved is left out of the recall by class: no other run was tested on its images")
    );
    assert!(notes.contains("[2J: has no weights"), "{notes}");
    assert!(!page.contains("<b>") && page.contains("&lt;b&gt;&amp;"), "the name is not escaped");
    assert!(
        page.contains("The runs have different data sets")
            && !page.contains("Best accuracy")
            && page.contains("mnist, 40 test images of 1x8x8")
    );
    std::fs::remove_dir_all(data)?;
    let (_, notes, page) = compare(&["run", "moved"]);
    assert!(notes.contains("moved is left out") && notes.contains("does not exist"), "{notes}");
    assert!(
        page.contains("No two runs could be tested on the same images") && page.contains("does not exist")
    );
    // Without any metrics there are no curves.
    dir.write("new/config.json", &dir.read("run/config.json"));
    let (_, _, page) = compare(&["new", new]);
    assert!(page.contains("no run has completed an epoch") && !page.contains("<img"));
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add_all(named![
        the_page_has_all_views,
        commands_of_the_page_repeat_its_views,
        one_image_is_enough_for_a_page,
        wrong_arguments_leave_an_earlier_page_alone,
        foreign_files_are_kept,
        a_run_has_a_page,
        runs_are_compared,
        wrong_runs_are_not_compared,
    ]);
    live::add(&mut suite);
    suite.add_if(
        cfg!(unix) && std::path::Path::new("/dev/shm").exists(),
        "a_page_can_be_written_to_another_file_system",
        a_page_can_be_written_to_another_file_system,
    );
    // Other systems have no such names.
    suite.add_if(cfg!(unix), "incomplete_runs_are_compared", incomplete_runs_are_compared);
    for (name, test) in in_browser::TESTS {
        suite.add_if(Browser::find().is_some(), *name, || test(&Browser::find().expect("found before")));
    }
    suite.run()
}

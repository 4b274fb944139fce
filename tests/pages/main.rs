//! The pages of `striate see` and `striate report`: their content, also in a browser, and wrong arguments.

#![cfg(feature = "cli")]

mod browser;
#[path = "../common/mod.rs"]
mod common;
#[path = "../cli_train/place.rs"]
#[allow(dead_code, reason = "shared with the tests of `striate train`")]
mod place;

use browser::Browser;
use common::{Outcome, Suite};
use place::{PROGRAM, Place, assert_refused, contents, list, text};
use std::process::{Command, ExitCode, Output};

/// A trained network with 40 test images of ten classes.
fn trained() -> Place {
    let place = Place::of(20, 40, 8);
    place.trained(&["--epochs", "2"]);
    place
}

fn striate(place: &Place, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(place.dir.path()).args(args).args(["--device", "cpu"]);
    command.env_remove("RUST_LOG").output().unwrap()
}

const SEE: [&str; 9] = ["see", "run", "--dataset", "mnist", "--data", "data", "--units", "3", "--examples=4"];

/// Runs a command that must succeed, and reads the page it writes.
fn made(place: &Place, args: &[&str], page: &str) -> String {
    let output = striate(place, args);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    std::fs::read_to_string(place.path(page)).unwrap()
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
    let place = trained();
    let page = made(&place, &SEE, "report/index.html");
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
        "saliency",
    ];
    let mut files = views.map(str::to_owned).to_vec();
    files.extend(["index.html", ".striate.json"].map(str::to_owned));
    files.sort();
    assert_eq!(list(&place.path("report")), files);
    for view in views {
        let name = if view == "classes" { "ascent" } else { view };
        let manifest = std::fs::read(place.path(&format!("report/{view}/{name}.json"))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let title = manifest["title"].as_str().unwrap();
        assert!(page.contains(title), "{view} is not on the page");
        assert!(page.contains(&format!("striate see {name}")), "the page has no command for {view}");
    }
    for words in ["77,754", "of these images", "layer3", "channel 2", "id=\"image-3\""] {
        assert!(page.contains(words), "the page has no {words}");
    }
    assert!(
        !page.contains("id=\"image-4\"") && !page.contains("channel 3<"),
        "the page has more than it should"
    );
    // A second run writes the same bytes and leaves other files alone.
    place.write("report/notes.txt", b"mine");
    assert!(made(&place, &SEE, "report/index.html") == page, "the page differs");
    assert_eq!(std::fs::read(place.path("report/notes.txt")).unwrap(), b"mine");
    assert_eq!(list(place.dir.path()), ["data", "report", "run"], "a temporary file is left");
    Ok(())
}

fn few_images_are_enough_for_a_page() -> Outcome {
    let place = trained();
    let page = made(&place, &[&SEE[..], &["--images", "1"]].concat(), "report/index.html");
    assert!(page.contains("t-SNE needs at least 10 images; there are 1."));
    assert!(!list(&place.path("report")).contains(&"neighbours".to_owned()));
    let image = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, 60]));
    std::fs::create_dir_all(place.path("images")).unwrap();
    image.save(place.path("images/good.png")).unwrap();
    place.write("images/broken.png", b"not an image");
    let output = striate(&place, &["see", "run", "--data", "images", "--units", "1", "--out", "files"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("broken.png"));
    assert!(std::fs::read_to_string(place.path("files/index.html")).unwrap().contains("good.png"));
    Ok(())
}

fn wrong_arguments_leave_an_earlier_page_alone() -> Outcome {
    let place = trained();
    place.write("report/index.html", b"earlier");
    place.write("report/map/map.svg", b"earlier");
    place.write("empty/readme.txt", b"no image");
    place.write("broken/broken.png", b"not an image");
    std::fs::copy(place.path("run/model.safetensors"), place.path("alone.safetensors")).unwrap();
    let before = contents(&place.path("report"));
    let cases: [(&[&str], &[&str]); 8] = [
        (&["see", "alone.safetensors"], &["--data", "--dataset"]),
        (&["see", "run", "--data", "empty"], &["empty", "without images"]),
        (&["see", "run", "--data", "broken"], &["could not read any of 1", "broken.png"]),
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
        assert_refused(&striate(&place, args), &format!("{args:?}"), words);
        assert_eq!(before, contents(&place.path("report")), "{args:?}");
    }
    Ok(())
}

fn files_of_others_are_kept() -> Outcome {
    let place = trained();
    // The input images are where the files of a view would go.
    let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([x as u8 * 30, y as u8 * 30, 60]));
    std::fs::create_dir_all(place.path("project/classes")).unwrap();
    image.save(place.path("project/classes/cat.png")).unwrap();
    place.write("page/index.html", b"mine");
    place.write("page.part/notes", b"mine");
    let see = |out: &str| {
        striate(&place, &["see", "run", "--data", "project/classes", "--units", "1", "--out", out])
    };
    assert_refused(&see("project"), "images", &["project/classes: has files that striate did not write"]);
    assert_refused(&see("page"), "a page", &["page/index.html: exists", "move it away"]);
    assert_eq!(list(&place.path("project/classes")), ["cat.png"]);
    assert_eq!(
        (list(&place.path("project")), list(&place.path("page"))),
        (vec!["classes".into()], vec!["index.html".into()])
    );
    assert_eq!(list(&place.path("page.part")), ["notes"]);
    // Writing the page again removes its old files and keeps those of others.
    assert!(see("report").status.success());
    place.write("report/occlusion/notes", b"mine");
    let before = list(&place.path("report/filters"));
    assert!(see("report").status.success());
    assert_eq!(list(&place.path("report/filters")), before);
    assert_eq!(std::fs::read(place.path("report/occlusion/notes")).unwrap(), b"mine");
    // The page of a run does not replace files of others either.
    place.write("run/report.html", b"mine");
    assert_refused(&striate(&place, &["report", "run"]), "mine", &["run/report.html: exists"]);
    Ok(())
}

/// The output folder is a symlink to another file system.
fn a_page_can_be_written_to_another_file_system() -> Outcome {
    let place = trained();
    let other = tempfile::tempdir_in("/dev/shm").map_err(|e| e.to_string())?;
    let link = place.path("report");
    #[cfg(unix)]
    std::os::unix::fs::symlink(other.path(), link).map_err(|e| e.to_string())?;
    for _ in 0..2 {
        made(&place, &SEE, "report/index.html");
    }
    assert!(other.path().join("peaks/peaks.json").exists());
    Ok(())
}

fn a_run_has_a_page() -> Outcome {
    let place = trained();
    let page = made(&place, &["report", "run"], "run/report.html");
    assert_self_contained(&page);
    for words in ["Test accuracy", "resnet8 on mnist", "layer1.0.conv1", "--weight-decay", "mistaken for"] {
        assert!(page.contains(words), "the page has no {words}");
    }
    // The data set has moved, and the page goes elsewhere.
    std::fs::rename(place.path("data"), place.path("moved")).unwrap();
    assert_refused(&striate(&place, &["report", "run"]), "moved", &["data"]);
    made(&place, &["report", "run", "--data", "moved", "--out", "page.html"], "page.html");
    made(&place, &["report", "run", "--data", "moved", "--out", "page.html"], "page.html");
    place.write("mine.html", b"mine");
    let onto_mine = ["report", "run", "--data", "moved", "--out", "mine.html"];
    assert_refused(&striate(&place, &onto_mine), "foreign", &["mine.html", "was not written by striate"]);
    assert_eq!(std::fs::read(place.path("mine.html")).unwrap(), b"mine");
    assert_refused(&striate(&place, &["report", "moved"]), "no run", &["moved", "not the folder of a run"]);
    place.write("run/config.json", b"{}");
    assert_refused(&striate(&place, &["report", "run"]), "config", &["config.json", "how the run was begun"]);
    Ok(())
}

fn a_browser_shows_the_page(browser: &Browser) -> Outcome {
    let place = trained();
    let page = made(&place, &SEE, "report/index.html");
    for width in [390, 1280] {
        let seen = browser.try_out(&page, width, browser::PICK_UNITS);
        let problems = seen["problems"].as_array().unwrap();
        assert!(problems.is_empty(), "at {width} pixels: {problems:?}");
        assert!(seen["images"].as_u64().unwrap() > 100, "{seen}");
        let shown: Vec<&str> =
            seen["shown"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        // At first; a layer and a channel by mouse; the next and the first channel by keyboard; an image by mouse.
        let expected = [
            "unit-relu-0 image-0",
            "unit-layer2-0 image-0",
            "unit-layer2-1 image-0",
            "unit-layer2-2 image-0",
            "unit-layer2-0 image-0",
            "unit-layer2-0 image-2",
        ];
        assert_eq!(shown, expected, "at {width} pixels");
    }
    Ok(())
}

fn a_browser_shows_a_run(browser: &Browser) -> Outcome {
    let place = trained();
    let page = made(&place, &["report", "run"], "run/report.html");
    for width in [390, 1280] {
        let seen = browser.try_out(&page, width, "");
        assert!(seen["problems"].as_array().unwrap().is_empty(), "at {width} pixels: {}", seen["problems"]);
        assert!(seen["images"].as_u64().unwrap() > 2, "{seen}");
        let colors = browser.colors(&page, width);
        assert!(colors > 20, "at {width} pixels there are {colors} colors");
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add("the_page_has_all_views", the_page_has_all_views);
    suite.add("few_images_are_enough_for_a_page", few_images_are_enough_for_a_page);
    suite.add("wrong_arguments_leave_an_earlier_page_alone", wrong_arguments_leave_an_earlier_page_alone);
    suite.add("files_of_others_are_kept", files_of_others_are_kept);
    let shm = cfg!(unix) && std::path::Path::new("/dev/shm").exists();
    suite.add_if(
        shm,
        "a_page_can_be_written_to_another_file_system",
        a_page_can_be_written_to_another_file_system,
    );
    suite.add("a_run_has_a_page", a_run_has_a_page);
    let there = Browser::find().is_some();
    let browser = || Browser::find().expect("it was found before");
    suite.add_if(there, "a_browser_shows_the_page", move || a_browser_shows_the_page(&browser()));
    suite.add_if(there, "a_browser_shows_a_run", move || a_browser_shows_a_run(&browser()));
    suite.run()
}

//! What `striate predict` prints, and where.

use crate::common::{Outcome, Suite, named};
use crate::trained;
use crate::workspace::*;

pub fn add(suite: &mut Suite) {
    suite.add_all(named![
        a_line_per_image_or_several_classes,
        csv_has_a_column_per_value,
        a_file_gets_what_would_be_printed,
    ]);
    // A hardware GPU, if there is one, is what `auto` takes.
    let software = striate::gpu::adapters().first().is_some_and(|adapter| adapter.kind == "software");
    suite.add_if(
        software,
        "a_software_gpu_gets_a_hint_unless_requested",
        a_software_gpu_gets_a_hint_unless_requested,
    );
}

/// What `striate predict` prints, without its first lines.
fn results(dir: &Workspace, flags: &[&str]) -> String {
    let text = printed(&mut dir.striate(&[&["predict", "run", "one.png", "more"], flags].concat()));
    let (about, results) = text.split_once("\n\n").unwrap_or_else(|| panic!("{text}"));
    assert!(about.starts_with("device ") && about.lines().count() == 3, "{text}");
    results.to_owned()
}

fn a_line_per_image_or_several_classes() -> Outcome {
    let dir = trained();
    let json = json(&mut dir.striate(&["predict", "run", "one.png", "more", "--json"]));
    let images = json["pictures"].as_array().unwrap();
    let path = |image: &Value| image["picture"].as_str().unwrap().to_owned();
    let class = |image: &Value, rank: usize| {
        let class = &image["top"][rank];
        format!(
            "{:5.1} %  {}",
            100.0 * class["probability"].as_f64().unwrap(),
            class["name"].as_str().unwrap()
        )
    };
    // Padded to the longest path, more/three.jpg.
    let lines: String = images.iter().map(|i| format!("{:14}  {}\n", path(i), class(i, 0))).collect();
    assert_eq!(results(&dir, &[]), lines);
    assert_eq!(results(&dir, &["--top", "1"]), lines);
    // A path that leaves no room for the class does not move the other lines beyond 80 columns.
    let long = format!("{}.png", "x".repeat(90));
    std::fs::copy(dir.path("one.png"), dir.path(&long)).unwrap();
    let with_long = results(&dir, &[&long]);
    let [one, _, _, last] = with_long.lines().collect::<Vec<_>>()[..] else { panic!("{with_long}") };
    assert!(one.len() == 80 && one.ends_with(&class(&images[0], 0)), "{with_long}");
    assert_eq!(last, format!("{long}  {}", class(&images[0], 0)));
    let paragraph = |i: &Value| format!("{}\n  {}\n  {}\n", path(i), class(i, 0), class(i, 1));
    let paragraphs: Vec<String> = images.iter().map(paragraph).collect();
    assert_eq!(results(&dir, &["--top", "2"]), paragraphs.join("\n"));
    Ok(())
}

fn csv_has_a_column_per_value() -> Outcome {
    let dir = trained();
    let quoted: String = (0..10).map(|i| format!("class {i}, a \"b\"\n")).collect();
    dir.write("names.txt", quoted.as_bytes());
    std::fs::rename(dir.path("one.png"), dir.path("one, \"two\".png")).unwrap();
    let args = ["predict", "run", "one, \"two\".png", "more", "--classes", "names.txt"];
    let json = json(&mut dir.striate(&[&args[..], &["--json"]].concat()));
    for (flags, classes) in
        [(&["--csv"][..], 1), (&["--csv", "--top", "3"], 3), (&["--csv", "--top", "99"], 10)]
    {
        let text = printed(&mut dir.striate(&[&args[..], flags].concat()));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<&str> = reader.headers().unwrap().iter().collect();
        assert_eq!(header[..4], ["path", "class", "name", "probability"]);
        let last = [format!("class_{classes}"), format!("name_{classes}"), format!("probability_{classes}")];
        assert!(
            header.len() == 1 + 3 * classes
                && (classes == 1 || header.ends_with(&last.each_ref().map(|c| &**c))),
            "{header:?}"
        );
        let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
        let images = json["pictures"].as_array().unwrap();
        assert_eq!(records.len(), images.len());
        for (record, image) in records.iter().zip(images) {
            assert_eq!(record[0], *image["picture"].as_str().unwrap());
            for rank in 0..classes.min(5) {
                let (found, want) = (|column: usize| &record[1 + 3 * rank + column], &image["top"][rank]);
                assert_eq!(
                    (found(0), found(1)),
                    (&*want["class"].to_string(), want["name"].as_str().unwrap())
                );
                assert_eq!(found(2).parse::<f64>().unwrap(), want["probability"].as_f64().unwrap());
            }
        }
    }
    Ok(())
}

fn a_file_gets_what_would_be_printed() -> Outcome {
    let dir = trained();
    let args = ["predict", "run", "one.png", "more"];
    for flags in [&[][..], &["--csv"], &["--json"]] {
        let expected = printed(&mut dir.striate(&[&args[..], flags].concat()));
        for out in ["-o", "--out"] {
            dir.write("classes.txt", b"an earlier file");
            let told = printed(&mut dir.striate(&[&args[..], flags, &[out, "classes.txt"]].concat()));
            assert_eq!((&*told, dir.read_text("classes.txt")), ("written  classes.txt\n", expected.clone()));
        }
    }
    let before = dir.read("classes.txt");
    assert_refused(&mut dir.striate(&["predict", "run", "broken.png", "-o", "classes.txt"]), &["broken.png"]);
    assert_eq!(dir.read("classes.txt"), before);
    for (file, words) in
        [("gone/classes.txt", "gone/classes.txt: cannot write"), ("more", "more: is a folder")]
    {
        assert_refused(&mut dir.striate(&["predict", "run", "broken.png", "-o", file]), &[words]);
    }
    let image = dir.read("one.png");
    assert_refused(&mut dir.striate(&[&args[..], &["-o", "./one.png"]].concat()), &["is one of the images"]);
    assert_eq!(dir.read("one.png"), image);
    for flags in [&["--csv", "--json"][..], &["--top", "0"]] {
        let output = dir.striate(&[&args[..], flags].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
    Ok(())
}

/// `auto` takes a software GPU, which is slower than the CPU executor.
fn a_software_gpu_gets_a_hint_unless_requested() -> Outcome {
    let dir = trained();
    let stderr = |device: &[&str]| {
        let mut command = striate(&[&["predict", "run", "one.png"], device].concat());
        let output = command.current_dir(dir.root()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    let hint = stderr(&[]);
    assert!(
        hint.starts_with("hint: ") && hint.lines().count() == 1 && hint.contains("--device cpu"),
        "{hint}"
    );
    for device in ["gpu", "0", "cpu"] {
        assert_eq!(stderr(&["--device", device]), "", "{device}");
    }
    Ok(())
}

//! `--config FILE`.

use crate::workspace::*;
use serde_json::Value;

fn settings(dir: &Workspace, run: &str) -> Value {
    dir.read_json(&format!("{run}/config.json"))["settings"].clone()
}

#[test]
fn flags_come_from_a_file_and_the_command_line_overrides_them() {
    let dir = Workspace::new();
    let toml = "epochs = 2\nlr = 0.05\nmodel = \"resnet8\"\nnesterov = true\nno_decay_1d = false\nseed = 9\n\
                freeze = [\"conv1.*\", \"bn1.*\"]\nno-decay = [\"fc.*\"]\naugment = [\"crop\", \"flip\"]\n\
                schedule = \"steps\"\nmilestones = [1]\n";
    dir.write("recipe.toml", toml.as_bytes());
    let output =
        dir.trained(&["--config", "recipe.toml", "--seed", "3", "--no-decay", "layer1.*", "--epochs", "2"]);
    let chosen = settings(&dir, "run");
    assert_eq!(
        (&chosen["epochs"], &chosen["seed"], &chosen["lr"]),
        (&2.into(), &3.into(), &0.05.into()),
        "{output}"
    );
    assert_eq!((&chosen["nesterov"], &chosen["no_decay_1d"]), (&true.into(), &false.into()));
    assert_eq!(chosen["freeze"], serde_json::json!(["conv1.*", "bn1.*"]));
    assert_eq!((&chosen["augment"], &chosen["milestones"]), (&"crop,flip".into(), &serde_json::json!([1])));
    assert_eq!(chosen["no_decay"], serde_json::json!(["layer1.*"]));
    // Resuming does not need the file.
    std::fs::remove_file(dir.path("recipe.toml")).unwrap();
    assert!(printed(&mut dir.resume(&["--epochs", "3"])).contains("epoch 3/3"));
}

#[test]
fn a_run_can_be_repeated_from_its_config() {
    let dir = Workspace::with_images(40, 10, 8);
    let flags = [
        "--lr",
        "0.03",
        "--milestones",
        "1,2",
        "--schedule",
        "steps",
        "--epochs",
        "3",
        "--weight-decay=1e-3",
    ];
    dir.trained(&flags);
    // From another folder: the data are found where the run found them.
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    let mut again = dir.striate(&["train", "--config", "../run", "--out", "again"]);
    printed(again.current_dir(dir.path("elsewhere")));
    assert!(dir.read("elsewhere/again/model.safetensors") == dir.read("run/model.safetensors"));
    let path = dir.path("data");
    let output = printed(&mut dir.striate(&[
        "train",
        path.to_str().unwrap(),
        "--config",
        "run/config.json",
        "--epochs",
        "3",
        "--out",
        "third",
    ]));
    assert!(!output.contains("found"), "the data set is given: {output}");
    assert!(dir.read("third/model.safetensors") == dir.read("run/model.safetensors"));
}

#[test]
fn bad_files_are_refused() {
    let dir = Workspace::new();
    let cases: [(&[u8], &[&str]); 14] = [
        (b"epoch = 3", &["\"epoch\" is not a flag of striate train", "did you mean epochs"]),
        (b"epochs = ", &["expected TOML"]),
        (b"[schedule]\nepochs = 3", &["\"schedule\" has a value that --schedule does not take"]),
        (b"[training]\nepochs = 3", &["\"training\" is a table", "at the top level"]),
        (b"lr = nan", &["\"lr\" must be finite"]),
        (b"freeze = [['a']]", &["\"freeze\" has a value that --freeze does not take"]),
        (b"no-decay = ['a']\nno_decay = ['b']", &["is there twice", "keep --no-decay once"]),
        (b"resume = 'run'", &["\"resume\" belongs on the command line"]),
        (b"nesterov = true\nanomaly = true\nskip_non_finite = true", &["--anomaly", "--skip-non-finite"]),
        (b"config = 'other.toml'", &["\"config\" belongs on the command line"]),
        (b"epochs = 'many'", &["does not go with these flags", "--epochs", "many"]),
        (b"{}", &["has no settings"]),
        (b"{\"settings\": ", &["expected TOML, or config.json of a run"]),
        (b"\xff\xfe", &["is not text"]),
    ];
    for (bytes, words) in cases {
        dir.write("bad.toml", bytes);
        let mut command = dir.striate(&["train", "--config", "bad.toml", "--out", "run"]);
        assert_refused(&mut command, &[&["error: ", "bad.toml: "], words].concat());
        assert!(!dir.run().exists());
    }
    assert_refused(&mut dir.striate(&["train", "--config", "none.toml"]), &["none.toml"]);
}

//! `steps.csv`.

use crate::workspace::*;

/// Five steps per epoch.
const FLAGS: [&str; 4] = ["--epochs", "3", "--log-every", "2"];

/// Steps, losses and accuracies of the lines in `steps.csv`; `images_per_second` is not reproducible.
fn lines(dir: &Workspace, run: &str) -> Vec<[f64; 3]> {
    let number = |text: &String| text.parse::<f64>().unwrap();
    let rows = table(&dir.path(run).join("steps.csv")).into_iter();
    rows.map(|row| ["step", "loss", "accuracy"].map(|column| number(&row[column]))).collect()
}

#[test]
fn lines_are_means_of_steps() {
    let dir = Workspace::new();
    dir.trained(&FLAGS);
    let header = "step,epoch,lr,loss,accuracy,images_per_second,skipped_steps";
    assert_eq!(dir.read_text("run/steps.csv").lines().next().unwrap(), header);
    let lines = lines(&dir, "run");
    assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), [2., 4., 6., 8., 10., 12., 14., 15.]);
    for (column, at) in [("train_loss", 1), ("train_accuracy", 2)] {
        let epochs: f64 =
            metrics(&dir.run()).iter().map(|row| 5.0 * row[column].parse::<f64>().unwrap()).sum();
        // The last line has one step.
        let steps = lines.iter().map(|line| 2.0 * line[at]).sum::<f64>() - lines[7][at];
        assert!((steps - epochs).abs() < 1e-9, "{column}: {steps} by step, {epochs} by epoch");
    }
    let rows = table(&dir.path("run/steps.csv"));
    assert_eq!((rows[0]["epoch"].as_str(), rows[4]["epoch"].as_str()), ("0.4", "2.0"));
    assert!(rows.iter().all(|row| row["skipped_steps"] == "0"));
    // A short run has a line, too.
    dir.trained(&["--force"]);
    assert_eq!(self::lines(&dir, "run").len(), 1);
}

#[test]
fn lines_after_the_checkpoint_are_written_again() {
    let dir = Workspace::new();
    let flags = [&FLAGS[..], &["--checkpoint-every", "4", "--keep", "9"]].concat();
    dir.trained(&[&flags[..], &["--out", "whole"]].concat());
    dir.trained(&flags);
    let before = lines(&dir, "run");
    assert_eq!(before, lines(&dir, "whole"));
    // As if the run was killed in its first epoch.
    for step in 5..=15 {
        let _ = std::fs::remove_file(dir.path(&format!("run/checkpoints/step-{step:08}.safetensors")));
    }
    printed(&mut dir.resume(&[]));
    assert_eq!(lines(&dir, "run"), before);
    // Runs of earlier versions have no such table.
    std::fs::remove_file(dir.path("run/steps.csv")).unwrap();
    printed(&mut dir.resume(&["--log-every", "5", "--epochs", "4"]));
    assert_eq!(lines(&dir, "run").iter().map(|line| line[0]).collect::<Vec<_>>(), [20.]);
}

#[test]
fn curves_show_steps() {
    let dir = Workspace::new();
    let thin = |flags: &[&str]| {
        dir.trained(&[&["--epochs", "2", "--force"], flags].concat());
        let svg = dir.read_text("run/curves.svg");
        assert_well_formed(&svg);
        let lines: Vec<&str> = svg.split('<').filter(|tag| tag.contains("opacity=\"0.6\"")).collect();
        lines.iter().map(|line| line.matches(',').count()).collect::<Vec<_>>()
    };
    assert_eq!(thin(&["--log-every", "1"]), [10, 10]);
    assert_eq!(thin(&["--log-every", "5"]), [2, 2]);
}

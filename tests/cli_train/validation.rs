//! `--validation`: choices depend on validation images, and the test images are used once.

use crate::workspace::*;

#[test]
fn the_best_epoch_is_chosen_by_validation_and_tested_once() {
    let dir = Workspace::with_images(100, 30, 8);
    let output = dir.trained(&["--validation", "0.2", "--epochs", "3", "--seed", "3"]);
    assert!(output.contains("80 training, 20 validation and 30 test images"), "{output}");
    assert_eq!(output.matches("  validation loss ").count(), 3, "{output}");
    assert!(!output.contains("test loss"), "{output}");

    let rows = metrics(&dir.run());
    let accuracies: Vec<f64> = rows.iter().map(|row| row["validation_accuracy"].parse().unwrap()).collect();
    let tested: Vec<usize> = (0..3).filter(|epoch| !rows[*epoch]["test_accuracy"].is_empty()).collect();
    let [best] = tested[..] else { panic!("{tested:?} were tested") };
    assert!(accuracies.iter().all(|accuracy| *accuracy <= accuracies[best]), "{accuracies:?}");
    let words = |accuracy: f64| format!("{:.2} %", 100.0 * accuracy);
    let test = words(rows[best]["test_accuracy"].parse().unwrap());
    assert!(output.contains(&format!("validation accuracy {}", words(accuracies[best]))), "{output}");
    assert!(output.contains(&format!("\ntest accuracy {test} of those weights: ")), "{output}");

    // Another program finds the same test images and the same accuracy.
    let evaluated = printed(&mut dir.striate(&["eval", "run", "--device", "cpu"]));
    assert!(evaluated.contains(&test) && evaluated.contains("30"), "{evaluated}");

    // More epochs: the test images decide nothing, and one row has them.
    printed(&mut dir.resume(&["--epochs", "5"]));
    let rows = metrics(&dir.run());
    assert_eq!(rows.iter().filter(|row| !row["test_accuracy"].is_empty()).count(), 1, "{rows:?}");
    assert_refused(&mut dir.resume(&["--epochs", "6", "--validation", "0.3"]), &["--validation was 0.2"]);
}

#[test]
fn folders_may_have_validation_images() {
    let dir = Workspace::new();
    for (part, count) in [("train", 6), ("val", 2), ("test", 4)] {
        for (class, i) in [("cat", 0), ("mouse", 100)]
            .iter()
            .flat_map(|class| (0..count).map(move |i| (class.0, class.1 + i)))
        {
            let image = image::RgbImage::from_pixel(40, 40, image::Rgb([i * 2, 40, 90]));
            dir.save(&format!("pets/{part}/{class}/{i}.png"), &image);
        }
    }
    let train = |args: &[&str]| {
        let short = ["--device", "cpu", "--epochs", "1", "--batch", "4", "--out", "run"];
        dir.striate(&[&["train", "pets", "--model", "resnet8"], &short[..], args].concat())
    };
    assert_refused(
        &mut train(&["--validation", "0.5"]),
        &["--validation", "pets has 4 validation images of its own"],
    );
    let output = printed(&mut train(&[]));
    assert!(output.contains("12 training, 4 validation and 8 test images"), "{output}");
    assert!(!output.contains("--validation"), "{output}");
}

#[test]
fn impossible_fractions_are_refused() {
    let dir = Workspace::new();
    for fraction in ["0", "1", "-1", "NaN"] {
        dir.refused(&["--validation", fraction], &["error: --validation: must be above 0 and below 1"]);
    }
    let dir = Workspace::with_images(19, 10, 8);
    dir.refused(&["--validation", "0.1"], &["error: --validation: class 9 has only one training image"]);
}

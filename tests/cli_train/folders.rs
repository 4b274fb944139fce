//! Where a run may write.

use crate::workspace::*;
use std::path::Path;

#[test]
fn an_earlier_run_stays_until_it_is_replaced() {
    let dir = Workspace::new();
    dir.trained(&[]);
    let earlier = contents(&dir.run());
    // All but the folder of checkpoints.
    assert_eq!(earlier.len(), FILES.len() - 1);
    dir.write("short/data_batch_1.bin", b"short");
    let same = |args: &[&str], words: &[&str]| {
        assert_refused(&mut dir.train(args), words);
        assert!(contents(&dir.run()) == earlier, "{args:?} changed the earlier run");
    };
    same(&[], &["run", "contains an earlier run", "--force", "--out"]);
    let failures: [(&[&str], &str); 14] = [
        (&["--model", "alexnot"], "--model"),
        (&["--dataset", "imagenet"], "--dataset"),
        (&["--data", "nowhere"], "nowhere"),
        (&["--dataset", "cifar10", "--data", "short"], "short"),
        (&["--device", "gpu"], "device"),
        (&["--batch", "0"], "--batch"),
        (&["--batch", "21"], "--batch"),
        (&["--lr", "NaN"], "--lr"),
        (&["--epochs", "0"], "--epochs"),
        (&["--threads", "0"], "--threads"),
        (&["--momentum", "-1"], "--momentum"),
        (&["--label-smoothing", "2"], "--label-smoothing"),
        (&["--clip-norm", "0"], "--clip-norm"),
        (&["--image-size", "9x9"], "--image-size"),
    ];
    for (args, word) in failures {
        same(&[args, &["--force"]].concat(), &[word]);
    }
    let usage = dir.train(&["--force", "--optimizer", "magic"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(contents(&dir.run()) == earlier);

    dir.trained(&["--force", "--seed", "2"]);
    assert_eq!(list(&dir.run()), FILES);
    assert!(contents(&dir.run())["model.safetensors"] != earlier["model.safetensors"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = Workspace::new();
    dir.write("file", b"kept");
    for out in ["file", "file/run", "file/runs/1"] {
        dir.refused(&["--out", out], &["file: is a file", "choose another"]);
    }
    assert_eq!(dir.read("file"), b"kept");
    if Path::new("/proc/self").exists() {
        let words = ["/proc/striate: cannot create the folder", "choose another"];
        dir.refused(&["--out", "/proc/striate/run"], &words);
    }
    std::fs::create_dir_all(dir.path("run/model.safetensors")).unwrap();
    assert_refused(&mut dir.train(&[]), &["model.safetensors: is a folder", "another folder"]);
    assert_eq!(list(&dir.run()), ["model.safetensors"]);
}

#[test]
fn foreign_files_are_never_replaced() {
    let dir = Workspace::new();
    dir.write("elsewhere/step-00000005.safetensors", b"mine");
    // Foreign files in the way of a run, even with --force; then beside one.
    for name in ["model.safetensors", "checkpoints/step-00000001.safetensors", "checkpoints/notes"] {
        let dir = Workspace::new();
        dir.write(&format!("run/{name}"), b"mine");
        for flags in [&[][..], &["--force"]] {
            let words = ["striate", "move it away, or choose another folder"];
            assert_refused(&mut dir.train(flags), &words);
            assert_eq!(dir.read(&format!("run/{name}")), b"mine");
            assert_eq!(list(&dir.run()).len(), 1, "{name}");
        }
    }
    std::os::unix::fs::symlink(dir.path("elsewhere"), dir.path("checkpoints")).unwrap();
    std::fs::create_dir(dir.run()).unwrap();
    std::fs::rename(dir.path("checkpoints"), dir.path("run/checkpoints")).unwrap();
    assert_refused(&mut dir.train(&["--force"]), &["run/checkpoints", "symbolic link"]);
    std::fs::remove_file(dir.path("run/checkpoints")).unwrap();
    let mine =
        ["run/notes.txt", "run/model.safetensors.part", "run/checkpoints/step-00000999.safetensors.bak"];
    dir.write(mine[0], b"mine");
    dir.write(mine[1], b"mine");
    dir.trained(&[]);
    dir.write(mine[2], b"mine");
    dir.trained(&["--force", "--seed", "2"]);
    mine.iter().for_each(|name| assert_eq!(dir.read(name), b"mine", "{name}"));
    assert_eq!(list(&dir.path("run/checkpoints")).len(), 2);
    assert_eq!(dir.read("elsewhere/step-00000005.safetensors"), b"mine");
}

/// As written by versions without `.striate.json`.
#[test]
fn a_run_without_a_file_list_can_be_resumed_but_not_replaced() {
    let dir = Workspace::new();
    dir.trained(&[]);
    std::fs::remove_file(dir.path("run/.striate.json")).unwrap();
    let words = ["config.json: exists", "move it away, or choose another folder"];
    assert_refused(&mut dir.train(&["--force"]), &words);
    printed(&mut dir.resume(&[]));
    dir.trained(&["--force"]);
    assert_eq!(list(&dir.run()), FILES);
}

/// The next run would take its folders for classes.
#[test]
fn a_run_is_not_written_among_its_training_images() {
    let dir = Workspace::new();
    for (class, red) in [("cat", 9), ("dog", 200)] {
        for i in 0..4 {
            let image = image::RgbImage::from_pixel(8, 8, image::Rgb([red, i, 3]));
            dir.save(&format!("pets/{class}/{i}.png"), &image);
        }
    }
    let flags = ["--dataset", "folder", "--data", "pets", "--image-size", "8x8", "--batch", "2", "--out"];
    let train = |out: &str| dir.train(&[&flags[..], &[out]].concat());
    std::os::unix::fs::symlink(dir.path("pets"), dir.path("link")).unwrap();
    for out in ["pets/runs/1", "pets", "pets/cat", "link/run"] {
        let words = [out, "is inside pets, the folder of training images; give another --out"];
        assert_refused(&mut train(out), &words);
    }
    assert_eq!(list(&dir.path("pets")), ["cat", "dog"]);
    printed(&mut train("run"));
    // A run folder that is there anyway is not a class.
    std::fs::rename(dir.run(), dir.path("pets/run")).unwrap();
    let again = text(&train("run").output().unwrap().stdout);
    assert!(again.contains(", 2 classes"), "{again}");
}

/// The run remembers `--no-exif-rotation`: EXIF data then make no difference, in training and later.
#[test]
fn exif_rotation_can_be_disabled() {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    let dir = Workspace::new();
    for (folder, exif) in [("plain", None), ("rotated", Some(EXIF_ROTATED.to_vec()))] {
        for (class, step) in [("cat", 3), ("dog", 7)] {
            for i in 0..4u8 {
                let path = dir.path(&format!("{folder}/{class}/{i}.png"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut encoder = PngEncoder::new(std::fs::File::create(path).unwrap());
                exif.iter().for_each(|exif| encoder.set_exif_metadata(exif.clone()).unwrap());
                let pixels: Vec<u8> = (0..192).map(|at: u8| at.wrapping_mul(step).wrapping_add(i)).collect();
                encoder.write_image(&pixels, 8, 8, ExtendedColorType::Rgb8).unwrap();
            }
        }
    }
    let losses = |folder: &str, flags: &[&str]| {
        let data = dir.path(folder);
        let own =
            ["--dataset", "folder", "--data", data.to_str().unwrap(), "--image-size", "8x8", "--batch", "2"];
        dir.trained(&[&own[..], &["--force"], flags].concat());
        let row = metrics(&dir.run()).remove(0);
        let answer = json(&mut dir.striate(&["eval", "run", "--device", "cpu", "--json"]));
        (row["train_loss"].clone(), row["test_loss"].clone(), answer["loss"].to_string())
    };
    let plain = losses("plain", &[]);
    assert_ne!(losses("rotated", &[]), plain);
    assert_eq!(losses("rotated", &["--no-exif-rotation"]), plain);
}

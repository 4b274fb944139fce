//! Where a run may write.

use crate::place::*;
use std::path::Path;

#[test]
fn an_earlier_run_stays_until_it_is_replaced() {
    let place = Place::new();
    place.trained(&[]);
    let earlier = contents(&place.out());
    assert_eq!(earlier.len(), 6);
    place.write("short/data_batch_1.bin", b"short");
    let same = |args: &[&str], words: &[&str]| {
        assert_refused(&place.train(args).output().unwrap(), &format!("{args:?}"), words);
        assert!(contents(&place.out()) == earlier, "{args:?} changed the earlier run");
    };
    same(&[], &["run", "holds an earlier run", "--force", "--out"]);
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
    let mut usage = place.train(&["--force", "--optimizer", "magic"]);
    assert_eq!(usage.output().unwrap().status.code(), Some(2));
    assert!(contents(&place.out()) == earlier);

    place.trained(&["--force", "--seed", "2"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
    assert!(contents(&place.out())["model.safetensors"] != earlier["model.safetensors"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.write("file", b"kept");
    for out in ["file", "file/run", "file/runs/1"] {
        place.refused(&["--out", out], &["file: is a file", "choose another"]);
    }
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"kept");
    if Path::new("/proc/self").exists() {
        let words = ["/proc/striate: cannot create the folder", "choose another"];
        place.refused(&["--out", "/proc/striate/run"], &words);
    }
    std::fs::create_dir_all(place.path("run/model.safetensors")).unwrap();
    let output = place.train(&[]).output().unwrap();
    assert_refused(&output, "a folder", &["model.safetensors: is a folder", "another folder"]);
    assert_eq!(list(&place.out()), ["model.safetensors"]);
}

#[test]
fn files_of_others_are_never_replaced() {
    let place = Place::new();
    place.write("elsewhere/step-00000005.safetensors", b"mine");
    // In the way of a run, with --force too; then beside one.
    for name in ["model.safetensors", "checkpoints/step-00000001.safetensors", "checkpoints/notes"] {
        let place = Place::new();
        place.write(&format!("run/{name}"), b"mine");
        for flags in [&[][..], &["--force"]] {
            let words = ["striate", "move it away, or choose another folder"];
            assert_refused(&place.train(flags).output().unwrap(), name, &words);
            assert_eq!(std::fs::read(place.path(&format!("run/{name}"))).unwrap(), b"mine");
            assert_eq!(list(&place.out()).len(), 1, "{name}");
        }
    }
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("checkpoints")).unwrap();
    std::fs::create_dir(place.out()).unwrap();
    std::fs::rename(place.path("checkpoints"), place.path("run/checkpoints")).unwrap();
    assert_refused(
        &place.train(&["--force"]).output().unwrap(),
        "a link",
        &["run/checkpoints", "symbolic link"],
    );
    std::fs::remove_file(place.path("run/checkpoints")).unwrap();
    let mine =
        ["run/notes.txt", "run/model.safetensors.part", "run/checkpoints/step-00000999.safetensors.bak"];
    place.write(mine[0], b"mine");
    place.write(mine[1], b"mine");
    place.trained(&[]);
    place.write(mine[2], b"mine");
    place.trained(&["--force", "--seed", "2"]);
    mine.iter().for_each(|name| assert_eq!(std::fs::read(place.path(name)).unwrap(), b"mine", "{name}"));
    assert_eq!(list(&place.path("run/checkpoints")).len(), 2);
    assert_eq!(std::fs::read(place.path("elsewhere/step-00000005.safetensors")).unwrap(), b"mine");
}

/// A run of a version that kept no list of what it wrote.
#[test]
fn a_run_without_a_list_goes_on_but_is_not_replaced() {
    let place = Place::new();
    place.trained(&[]);
    std::fs::remove_file(place.path("run/.striate.json")).unwrap();
    let words = ["config.json: exists", "move it away, or choose another folder"];
    assert_refused(&place.train(&["--force"]).output().unwrap(), "no list", &words);
    let mut resume = std::process::Command::new(PROGRAM);
    resume.args(["train", "--resume", "run"]).current_dir(place.dir.path());
    assert!(resume.output().unwrap().status.success());
    place.trained(&["--force"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
}

/// Its folders would be taken for classes by the next one.
#[test]
fn a_run_is_not_written_among_the_images_that_it_learns_from() {
    let place = Place::new();
    for (class, red) in [("cat", 9), ("dog", 200)] {
        for i in 0..4 {
            let path = place.path(&format!("pets/{class}/{i}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(8, 8, image::Rgb([red, i, 3])).save(path).unwrap();
        }
    }
    let flags = ["--dataset", "folder", "--data", "pets", "--image-size", "8x8", "--batch", "2", "--out"];
    let train = |out: &str| place.train(&[&flags[..], &[out]].concat());
    std::os::unix::fs::symlink(place.path("pets"), place.path("link")).unwrap();
    for out in ["pets/runs/1", "pets", "pets/cat", "link/run"] {
        let words = [out, "lies in pets, the folder of the images to learn from; give an --out beside it"];
        assert_refused(&train(out).output().unwrap(), out, &words);
    }
    assert_eq!(list(&place.path("pets")), ["cat", "dog"]);
    assert!(train("run").output().unwrap().status.success());
    // One that is there all the same is no class.
    std::fs::rename(place.out(), place.path("pets/run")).unwrap();
    let again = train("run").output().unwrap();
    assert!(text(&again.stdout).contains(", 2 classes"), "{}", text(&again.stderr));
}

/// The run remembers it: images with and without EXIF data are then the same to it, in training and later.
#[test]
fn images_can_be_left_unturned() {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    let place = Place::new();
    // EXIF: big-endian, one entry, orientation (0x112, one short) 6: turn by 90 degrees clockwise.
    let turned = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    for (folder, exif) in [("plain", None), ("turned", Some(turned.to_vec()))] {
        for (class, step) in [("cat", 3), ("dog", 7)] {
            for i in 0..4u8 {
                let path = place.path(&format!("{folder}/{class}/{i}.png"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut encoder = PngEncoder::new(std::fs::File::create(path).unwrap());
                exif.iter().for_each(|exif| encoder.set_exif_metadata(exif.clone()).unwrap());
                let pixels: Vec<u8> = (0..192).map(|at: u8| at.wrapping_mul(step).wrapping_add(i)).collect();
                encoder.write_image(&pixels, 8, 8, ExtendedColorType::Rgb8).unwrap();
            }
        }
    }
    let losses = |folder: &str, flags: &[&str]| {
        let data = place.path(folder);
        let own =
            ["--dataset", "folder", "--data", data.to_str().unwrap(), "--image-size", "8x8", "--batch", "2"];
        place.trained(&[&own[..], &["--force"], flags].concat());
        let row = metrics(&place.out()).remove(0);
        let mut eval = std::process::Command::new(PROGRAM);
        eval.args(["eval", "run", "--device", "cpu", "--json"]).current_dir(place.dir.path());
        let output = eval.output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        (row["train_loss"].clone(), row["test_loss"].clone(), answer["loss"].to_string())
    };
    let plain = losses("plain", &[]);
    assert_ne!(losses("turned", &[]), plain);
    assert_eq!(losses("turned", &["--no-exif-rotation"]), plain);
}

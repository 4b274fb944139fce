//! `striate fetch`, and `--pretrained` of other commands. What a server may do wrong is tested in `src/cli/common/pretrained/tests/`.

#[path = "common/server.rs"]
mod server;
#[path = "common/workspace.rs"]
mod workspace;

use image::{Rgb, RgbImage};
use server::{Server, respond};
use std::io::{Write, copy};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use striate::infer::Predictor;
use striate::{Device, models, weights};
use workspace::*;

const RESNET18: &str = "cache/weights/resnet18-f37072fd.pth";
const GOOGLENET: &str = "cache/weights/googlenet-1378be20.pth";

/// `striate` with a cache folder of its own and without this machine's proxies.
fn striate(dir: &Workspace, args: &[&str]) -> Command {
    let mut command = dir.striate(args);
    command.env("STRIATE_CACHE", dir.path("cache"));
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command.env_remove("SSL_CERT_FILE").env_remove("STRIATE_MIRROR").stdin(std::process::Stdio::null());
    command
}

/// Stores a network's initial weights as if they were the pretrained ones.
fn store(dir: &Workspace, network: &str, file: &str) {
    let model = models::by_name(network, 3, 1000).unwrap();
    let mut predictor = Predictor::new(&Device::select("cpu").unwrap(), &*model, [64, 64], 1).unwrap();
    predictor.session().initialize(7).unwrap();
    let state = predictor.session().state_dict().unwrap();
    std::fs::create_dir_all(dir.path(file).parent().unwrap()).unwrap();
    weights::write(&dir.path(file), &state, &Default::default()).unwrap();
}

fn paint(dir: &Workspace, name: &str, seed: u32) {
    let pixel = |x: u32, y: u32| Rgb([(x * 3 + seed * 40) as u8, (y * 5) as u8, (x * y + seed) as u8]);
    dir.save(name, &RgbImage::from_fn(90, 80, pixel));
}

fn images(dir: &Workspace) {
    for (class, seed) in [("a", 0), ("b", 1)] {
        for part in ["train", "test"] {
            for i in 0..3 {
                paint(dir, &format!("photos/{part}/{class}/{i}.png"), seed + 2 * i);
            }
        }
    }
}

#[test]
fn fetch_lists_what_there_is() {
    let dir = Workspace::new();
    dir.write(RESNET18, b"");
    let list = printed(&mut striate(&dir, &["fetch"]));
    assert!(list.contains(&format!("folder   {}\n", dir.path("cache/weights").display())), "{list}");
    assert!(list.contains("BSD-3-Clause"), "{list}");
    let stored = |file: &str| list.lines().find(|line| line.contains(file)).unwrap().ends_with("yes");
    assert!(stored("resnet18-f37072fd.pth") && !stored("resnet34-b627a593.pth"), "{list}");
}

#[test]
fn failures_say_where_to_put_the_file() {
    let dir = Workspace::new();
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let address = format!("{closed}/models/resnet18-f37072fd.pth");
    let file = dir.path(RESNET18).display().to_string();
    let words = [&address[..], "refused", "put it at", &file];
    let mirror = format!("{closed}/models/");
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains(&format!("fetching resnet18.IMAGENET1K_V1 (44.7 MiB) from {address}")),
            "{message}"
        );
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
    };
    refused(&mut striate(&dir, &["fetch", "resnet18", "--mirror", &mirror]));
    paint(&dir, "cat.png", 0);
    refused(
        striate(&dir, &["predict", "resnet18", "--pretrained", "cat.png"]).env("STRIATE_MIRROR", &mirror),
    );
    images(&dir);
    let train = [
        "train",
        "--model",
        "resnet18",
        "--pretrained",
        "--dataset",
        "folder",
        "--data",
        "photos",
        "--out",
        "run",
        "--image-size",
        "32x32",
        "--batch",
        "2",
        "--device",
        "cpu",
    ];
    refused(striate(&dir, &train).env("STRIATE_MIRROR", &mirror));
    assert!(!dir.run().exists());
}

#[test]
fn a_file_with_the_wrong_hash_is_refused() {
    let dir = Workspace::new();
    let server = Server::of(b"not the weights");
    let args = ["fetch", "resnet18", "--mirror", &server.address];
    let output = striate(&dir, &args).output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.code() == Some(1) && message.contains("expected f37072fd..."), "{message}");
    assert_eq!(list(&dir.path("cache/weights")), [".lock"]);
    // One put there by hand is checked too, but not deleted.
    dir.write(RESNET18, b"truncated");
    assert_refused(
        &mut striate(&dir, &args),
        &["resnet18-f37072fd.pth: has the SHA-256", "delete it and fetch it again"],
    );
    paint(&dir, "cat.png", 0);
    let words = ["resnet18-f37072fd.pth: is neither a safetensors nor a .pth file"];
    assert_refused(&mut striate(&dir, &["predict", "resnet18", "--pretrained", "cat.png"]), &words);
}

#[test]
fn wrong_names_and_settings_are_refused() {
    let dir = Workspace::new();
    let names = ["resnet20: is not the name of pretrained weights", "alexnet, googlenet, resnet18"];
    assert_refused(&mut striate(&dir, &["fetch", "resnet20"]), &names);
    assert_refused(&mut striate(&dir, &["predict", "resnet20", "--pretrained", "a.png"]), &names);
    assert_refused(&mut dir.train(&["--model", "resnet20", "--pretrained"]), &names);
    assert_refused(
        &mut dir.striate(&["fetch", "resnet18"]),
        &["STRIATE_CACHE", "https://download.pytorch.org/"],
    );
    dir.write("certificates.pem", b"none");
    let mut command = striate(&dir, &["fetch", "resnet18", "--mirror", "http://127.0.0.1:9"]);
    let output = command.env("SSL_CERT_FILE", dir.path("certificates.pem")).output().unwrap();
    assert!(text(&output.stderr).contains("certificates.pem: has no PEM certificates"));
    assert_usage_errors(&[&["train", "--pretrained", "--weights", "model.safetensors"]]);
}

/// A proxy for `CONNECT`.
fn proxy() -> Server {
    Server::start(|request, client| {
        let target = request.line.strip_prefix("CONNECT ").expect("clients of a proxy connect");
        let Ok(mut server) = TcpStream::connect(target) else {
            return respond(client, "502 Bad Gateway", "", b"");
        };
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || copy(&mut from, &mut to));
        let _ = copy(&mut server, client);
    })
}

#[test]
fn proxies_are_used() {
    let dir = Workspace::new();
    for (variable, excluded, through) in
        [("HTTPS_PROXY", "", true), ("ALL_PROXY", "example.org", true), ("ALL_PROXY", "127.0.0.1", false)]
    {
        let (server, proxy) = (Server::of(b"not the weights"), proxy());
        let mut command = striate(&dir, &["fetch", "resnet18", "--mirror", &server.address]);
        command.env(variable, &proxy.address).env("NO_PROXY", excluded);
        assert!(text(&command.output().unwrap().stderr).contains("expected f37072fd..."));
        assert_eq!(
            (server.requests().len(), proxy.requests().len()),
            (1, usize::from(through)),
            "{variable}"
        );
    }
}

fn logits(answer: &Value) -> Vec<f64> {
    let top = answer["pictures"][0]["top"].as_array().unwrap();
    top.iter().map(|class| class["logit"].as_f64().unwrap()).collect()
}

#[test]
fn pretrained_weights_have_their_own_classes_and_preprocessing() {
    let dir = Workspace::new();
    let classes =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data/imagenet/classes.txt").display().to_string();
    for (network, file, mean, resize) in
        [("resnet18", RESNET18, 0.485, 256.0), ("googlenet", GOOGLENET, 0.5, 256.0)]
    {
        store(&dir, network, file);
        paint(&dir, "cat.png", 0);
        let common = ["cat.png", "--json", "--device", "cpu"];
        let found = json(&mut striate(&dir, &[&["predict", network, "--pretrained"], &common[..]].concat()));
        let by_hand = ["predict", network, file, "--classes", &classes];
        let expected = json(&mut striate(&dir, &[&by_hand, &common[..]].concat()));
        assert_eq!((&found["model"], logits(&found)), (&network.into(), logits(&expected)));
        assert_eq!(found["pictures"][0]["top"], expected["pictures"][0]["top"]);
        let preprocessing = &found["preprocessing"];
        assert_eq!(preprocessing["resize"], resize);
        let found = preprocessing["normalization"]["mean"][0].as_f64().unwrap();
        assert!((found - mean).abs() < 1e-6, "{network}: {found}");
    }
    let shown = printed(&mut striate(
        &dir,
        &["predict", "ResNet18_Weights.DEFAULT", "cat.png", "--pretrained", "--device", "cpu"],
    ));
    assert!(shown.contains("(torchvision's for resnet18.IMAGENET1K_V1)"), "{shown}");
    let layers =
        printed(&mut striate(&dir, &["see", "layers", "resnet18", "--pretrained", "--device", "cpu"]));
    assert!(layers.contains("layer4"), "{layers}");
}

#[test]
fn training_starts_from_pretrained_weights() {
    let dir = Workspace::new();
    store(&dir, "resnet18", RESNET18);
    images(&dir);
    let data = ["--dataset", "folder", "--data", "photos", "--image-size", "48x40"];
    let train = |flags: &[&str]| {
        let all = [
            &[
                "train", "--model", "resnet18", "--epochs", "1", "--batch", "3", "--lr", "0.01", "--device",
                "cpu",
            ],
            &data[..],
            flags,
        ];
        printed(&mut striate(&dir, &all.concat()))
    };
    let started = train(&["--out", "run", "--pretrained"]);
    assert!(started.contains("2 for other classes, not loaded (fc.weight, fc.bias)"), "{started}");
    // The same as the file with its preprocessing, which cannot be given to `train` otherwise.
    let model = weights::Weights::read(&dir.path("run/model.safetensors")).unwrap();
    let preprocessing: Value = serde_json::from_str(model.metadata("preprocessing").unwrap()).unwrap();
    assert_eq!(preprocessing["size"], serde_json::json!([48, 40]));
    assert_eq!(preprocessing["normalization"]["mean"], serde_json::json!([0.485, 0.456, 0.406]));
    for args in [
        &["eval", "run", "--json", "--device", "cpu"][..],
        &["predict", "run", "photos", "--json", "--device", "cpu"],
    ] {
        json(&mut striate(&dir, args));
    }
    printed(&mut striate(&dir, &["report", "run", "--device", "cpu"]));
    // A resumed run needs the file no longer.
    std::fs::remove_file(dir.path(RESNET18)).unwrap();
    let resumed = printed(&mut striate(&dir, &["train", "--resume", "run", "--epochs", "2"]));
    assert!(resumed.contains("epoch 2/2"), "{resumed}");
    assert_refused(
        &mut striate(&dir, &["train", "--resume", "run", "--pretrained"]),
        &["omit PATH", "--pretrained"],
    );
}

#[test]
fn a_folder_of_few_images_is_trained_from_pretrained_weights() {
    let dir = Workspace::new();
    images(&dir);
    let train = |flags: &[&str]| {
        let all = [&["train", "photos", "--epochs", "1", "--batch", "3", "--device", "cpu"], flags].concat();
        printed(&mut striate(&dir, &all))
    };
    let scratch = train(&["--out", "scratch"]);
    assert!(scratch.contains("hint     ") && scratch.contains("striate fetch resnet18"), "{scratch}");
    assert!(scratch.contains("model    resnet20:"), "{scratch}");

    store(&dir, "resnet18", RESNET18);
    let tuned = train(&["--out", "tuned"]);
    assert!(
        tuned.contains("--pretrained --model resnet18 --freeze 'conv1.*'") && !tuned.contains("hint"),
        "{tuned}"
    );
    assert!(tuned.contains("2 for other classes, not loaded (fc.weight, fc.bias)"), "{tuned}");
    let [before, after] =
        [RESNET18, "tuned/model.safetensors"].map(|file| weights::Weights::read(&dir.path(file)).unwrap());
    for (name, same) in
        [("conv1.weight", true), ("layer1.0.bn1.running_mean", true), ("layer4.1.conv2.weight", false)]
    {
        assert_eq!(before.get(name).unwrap() == after.get(name).unwrap(), same, "{name}");
    }
    let asked = train(&["--out", "asked", "--pretrained", "--optimizer", "adam"]);
    assert!(asked.contains("--model resnet18") && asked.contains("--lr 0.0003"), "{asked}");
    // Another network has no need of them.
    assert!(!train(&["--out", "own", "--model", "resnet8"]).contains("hint"));
}

//! Trains a small ResNet and saves its weights.
//! `cargo run --release --example train_resnet`
//!
//! The optional argument is the device, as for `--device`: `auto`, `cpu`, or part of the name of a GPU.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use striate::data::{self, Augment};
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::plan::Report;
use striate::train::{Recipe, TrainConfig, Trainer};
use striate::{Device, Result, models};

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let device = Device::select(std::env::args().nth(1).as_deref().unwrap_or("auto"))?;
    println!("on {}", device.describe());

    // 6,000 training and 1,000 test images of clothes, built into the library.
    let split = data::open("fashion-mnist", None, None)?;
    let [channels, ..] = split.train.shape();
    let model = models::by_name("resnet8", channels, split.train.classes().len())?;

    let optimizer = Optimizer::Sgd(SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: true });
    let config = TrainConfig {
        epochs: 3,
        batch: 64,
        lr: 0.1,
        warmup_epochs: 0.5,
        decay: Decay::Cosine { eta_min: 0.0 },
        recipe: Recipe { optimizer, ..Default::default() },
        augment: Some(Augment { crop_padding: 3, flip: true, ..Default::default() }),
        ..Default::default()
    };

    // Plans the steps, allocates all memory and compiles every kernel.
    let mut trainer = Trainer::new(&device, &*model, split, config)?;
    println!("{} parameters; {}", trainer.parameters(), Report::new(trainer.plan()).memory);

    while trainer.epochs_left() > 0 {
        // The closure is called for every step, in order and a few steps late. `Break` pauses the training.
        let report = trainer.epoch(&mut |progress| {
            if progress.step % 20 == 0 {
                println!("  step {}/{}: loss {:.3}", progress.step, progress.steps, progress.score.loss);
            }
            ControlFlow::Continue(())
        })?;
        println!("epoch {}: training loss {:.3}", report.epoch, report.train.loss);
    }
    println!("test accuracy {:.2} %", 100.0 * trainer.test()?.accuracy);

    // Parameters and running statistics with torchvision's names, in a file that PyTorch can load.
    let weights = trainer.session().state_dict()?;
    let path = Path::new("resnet8.safetensors");
    striate::weights::write(path, &weights, &BTreeMap::from([("model".to_owned(), model.name())]))?;
    println!("{} tensors written to {}", weights.len(), path.display());
    Ok(())
}

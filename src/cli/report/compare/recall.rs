//! The recall of each class, of runs with the same test images.

use super::super::page::percent;
use super::super::{Args, LastSplit, Trained};
use super::run::Run;
use crate::cli::html::list;
use crate::cli::network::file;
use crate::cli::numbers::bounds;
use crate::cli::text;
use serde_json::{Value, json};
use std::path::Path;
use striate::infer::Evaluation;
use striate::{Device, Error, Result};

/// The results of a run on its own test images.
pub struct Tested {
    evaluation: Evaluation,
    /// Data set, size of its images, and classes.
    dataset: String,
    classes: Vec<String>,
    /// Of the images and their labels.
    fingerprint: u32,
}

impl Tested {
    pub fn evaluate(args: &Args, run: &Path, device: &Device, last: &mut LastSplit) -> Result<Self> {
        if file(run).is_err() {
            return Err(Error::data(run, "has no weights; a run writes them after its first epoch"));
        }
        let Trained { network, test, dataset, .. } = args.open(run, last)?;
        let [channels, height, width] = test.data.shape();
        let model = network.model(channels, test.names.len())?;
        let batch = args.batch.min(test.data.len());
        let mut predictor = network.predictor(device, &*model, &args.network, [height, width], batch)?;
        let evaluation = predictor.evaluate(&test.data, &test.preprocessing.normalization)?;
        let images = text::grouped(test.data.len() as u64);
        Ok(Self {
            evaluation,
            dataset: format!("{dataset}, {images} test images of {channels}x{height}x{width}"),
            classes: test.names,
            fingerprint: test.data.fingerprint(),
        })
    }

    fn has_images_of(&self, other: &Self) -> bool {
        (self.fingerprint, &self.classes) == (other.fingerprint, &other.classes)
    }
}

/// Runs with the same test images and classes, by their places.
pub type Group<'a> = Vec<(usize, &'a Tested)>;

/// The groups of at least two runs, and notes on the runs that are in none.
pub fn groups<'a>(runs: &[Run], tested: &'a [Result<Tested>]) -> (Vec<Group<'a>>, Vec<String>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut notes = Vec::new();
    let left_out = |index: usize, why: &str| {
        let name = &runs[index].name;
        format!("{name} is left out of the recall by class: {}", text::name(why))
    };
    for (index, tested) in tested.iter().enumerate() {
        match tested {
            Err(error) => notes.push(left_out(index, &error.to_string())),
            Ok(tested) => match groups.iter_mut().find(|group| group[0].1.has_images_of(tested)) {
                Some(group) => group.push((index, tested)),
                None => groups.push(vec![(index, tested)]),
            },
        }
    }
    groups.retain(|group| match group[..] {
        [(index, tested)] => {
            notes.push(left_out(
                index,
                &format!("no other run was tested on its images ({})", tested.dataset),
            ));
            false
        }
        _ => true,
    });
    (groups, notes)
}

/// Most classes shown at once.
const SHOWN: usize = 20;

/// The recall of each class and run, the class with the largest difference first.
pub fn table(runs: &[Run], group: &Group) -> Value {
    let first = group[0].1;
    let mut rows: Vec<(f64, Value)> =
        (0..first.classes.len()).filter_map(|class| row(&first.classes[class], class, group)).collect();
    // A stable sort: classes with equal differences stay in their order.
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rest = rows.split_off(rows.len().min(SHOWN));
    let values = |rows: Vec<(f64, Value)>| list(rows.into_iter().map(|(_, row)| row));
    json!({
        "about": first.dataset,
        "runs": group.iter().map(|(index, _)| &runs[*index].name).collect::<Vec<_>>(),
        "rows": values(rows),
        "rest": values(rest),
    })
}

/// The difference between the largest and smallest recall of a class, and its row; `None` without images of the class.
fn row(name: &str, class: usize, group: &Group) -> Option<(f64, Value)> {
    let recalls = group.iter().map(|(_, tested)| tested.evaluation.recall(class));
    let recalls = recalls.collect::<Option<Vec<f64>>>()?;
    let (low, high) = bounds(recalls.iter().copied());
    let cell = |recall: &f64| json!({ "text": percent(*recall), "best": *recall == high && low < high });
    let row = json!({
        "class": name,
        "images": text::grouped(group[0].1.evaluation.images_of(class)),
        "recalls": list(recalls.iter().map(cell)),
        "difference": format!("{:.2}", 100.0 * (high - low)),
    });
    Some((high - low, row))
}

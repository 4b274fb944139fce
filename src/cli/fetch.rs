//! `striate fetch`: downloads pretrained weights, or lists them.

use super::output::print;
use super::pretrained::{ALL, LICENSE, Pretrained, folder};
use super::text;
use std::fmt::Write;
use striate::Result;

/// Downloads pretrained weights, or lists them if no name is given.
///
/// `predict`, `eval`, `see` and `train` fetch them too, with --pretrained. A download that broke off is continued. A file
/// downloaded by other means is used if it is put into the folder that the list names. HTTPS_PROXY, ALL_PROXY and NO_PROXY
/// are respected.
#[derive(clap::Args)]
pub struct Args {
    /// resnet50 for torchvision's default weights, or with their name: resnet50.IMAGENET1K_V1
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Download from this address, followed by the file's name, instead of torchvision's: https, or http on this machine
    /// [default: STRIATE_MIRROR, if set]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    if args.names.is_empty() {
        return print(&list());
    }
    let all = args.names.iter().map(|name| Pretrained::named(name)).collect::<Result<Vec<_>>>()?;
    let mirror = args.mirror.or_else(|| std::env::var("STRIATE_MIRROR").ok());
    for weights in all {
        let path = weights.fetch(mirror.as_deref())?;
        print(&format!("{:27} {}\n", weights.name(), text::name(&path.display().to_string())))?;
    }
    print(&format!("license  {LICENSE}\n"))
}

fn list() -> String {
    let place = match folder() {
        Some(folder) => text::name(&folder.display().to_string()).into_owned(),
        None => "none: there is no cache folder, or STRIATE_CACHE is off".to_owned(),
    };
    let mut list = format!("folder   {place}\nlicense  {LICENSE}\n\n");
    let mut line =
        |line: String| writeln!(list, "{}", line.trim_end()).expect("writing to a string cannot fail");
    line(format!(
        "{:24} {:>10} {:>9} {:>9} {:>9}  {:27} stored",
        "name", "parameters", "size", "top-1", "top-5", "file"
    ));
    for weights in &ALL {
        let stored = weights.path().is_ok_and(|path| path.exists());
        line(format!(
            "{:24} {:10} {:5.1} MiB {:7.3} % {:7.3} %  {:27} {}",
            weights.name(),
            weights.parameters,
            weights.mib,
            weights.top1,
            weights.top5,
            weights.file(),
            if stored { "yes" } else { "no" }
        ));
    }
    let defaults = ALL.iter().filter(|weights| weights.is_default());
    let versions =
        defaults.filter(|weights| weights.version != "IMAGENET1K_V1").map(|weights| weights.network);
    line(format!(
        "\nA network's name alone means its last weights here: IMAGENET1K_V2 of {}, else V1.",
        versions.collect::<Vec<_>>().join(", ")
    ));
    list
}

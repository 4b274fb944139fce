//! `striate see layers`: lists the names that other views take.

use super::flags::LensFlags;
use crate::cli::output::print;
use std::fmt::Write;
use striate::Result;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
}

pub fn run(args: &Args) -> Result<()> {
    let lens = args.lens.open()?.lens;
    let width = lens.layers().iter().map(|layer| layer.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for layer in lens.layers() {
        let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        let filters =
            layer.filters.as_deref().and_then(|name| lens.weight(name)).map_or_else(String::new, |w| {
                let [_, channels, height, width] = w.shape() else { return String::new() };
                format!("  filters of {channels} x {height} x {width}")
            });
        writeln!(text, "{:width$}  {:14}{filters}", layer.name, shape.join(" x "))
            .expect("writing to a string cannot fail");
    }
    print(&text)
}

//! `striate see`: what a network learned, as pictures and the numbers behind them. One file a view.

mod flags;
mod layers;

use striate::Result;

/// Draws what a network learned.
///
/// Each view writes its files and a record of them, VIEW.json, to --out. A picture that cannot be read is named and passed over, and
/// the exit code is then 3.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    view: View,
}

#[derive(clap::Subcommand)]
enum View {
    /// List the names of the layers, which other views take, and the shapes of what they give.
    Layers(layers::Args),
}

pub fn run(args: Args) -> Result<i32> {
    match args.view {
        View::Layers(args) => layers::run(&args).map(|()| 0),
    }
}

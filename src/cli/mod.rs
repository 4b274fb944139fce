//! The `striate` program: one file a command.

mod devices;
mod plan;
mod train;

use clap::{Parser, Subcommand};
use striate::Result;

/// Train and understand convolutional networks on any GPU.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a small ResNet and print its test accuracy.
    Train(train::Args),
    /// Print what a training step does, layer by layer, without touching a device.
    Plan(plan::Args),
    /// List the adapters that can be trained on.
    Devices(devices::Args),
}

/// Runs a command; the result is the exit code.
pub fn run(cli: Cli) -> Result<i32> {
    match cli.command {
        Command::Train(args) => train::run(args),
        Command::Plan(args) => plan::run(args).map(|()| 0),
        Command::Devices(args) => devices::run(args).map(|()| 0),
    }
}

//! The `striate` program: one file a command, and what they share in `common`.

mod bench;
mod common;
mod devices;
mod eval;
mod kernels;
mod plan;
mod predict;
mod profile;
mod report;
mod see;
mod source;
mod summary;
mod train;
mod tune;

use clap::{Parser, Subcommand};
pub use common::terminal;
use common::{choices, flags, html, images, json, memory, network, output, text};
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
    /// Train a small network and print its test accuracy.
    Train(Box<train::Args>),
    /// Tell the classes of images.
    Predict(predict::Args),
    /// Measure how good a network is on a data set's test images.
    Eval(eval::Args),
    /// Print what a training step does, layer by layer, without touching a device.
    Plan(plan::Args),
    /// Print a network's layers: shapes, parameters, multiply-adds, receptive fields and memory.
    Summary(summary::Args),
    /// Time a fixed piece of work, for comparison with other engines.
    ///
    /// Its numbers are made up by rule, so that any engine can be given the same. A step ends when its loss has
    /// been read, where it has one, and the device has nothing left to do. The last line is JSON.
    Bench(bench::Args),
    /// Time every layer and kernel of a training step, beside what the device can do.
    Profile(profile::Args),
    /// Measure which kernels are the fastest here for a network's convolutions and matrix products, and keep that.
    ///
    /// Later plans for this adapter and driver use them, unless STRIATE_CACHE is `off`.
    Tune(tune::Args),
    /// Draw how a run of `train` went: curves, mistakes, timings, settings.
    Report(Box<report::Args>),
    /// Draw what a network learned: a page of all views, or one of them.
    See(Box<see::Args>),
    /// List the kernels, or print the text of one.
    Kernels(kernels::Args),
    /// List the adapters that can be trained on.
    Devices(devices::Args),
}

/// Runs a command; the result is the exit code.
pub fn run(cli: Cli) -> Result<i32> {
    match cli.command {
        Command::Train(args) => train::run(*args),
        Command::Predict(args) => predict::run(args),
        Command::Eval(args) => eval::run(args).map(|()| 0),
        Command::Plan(args) => plan::run(args).map(|()| 0),
        Command::Summary(args) => summary::run(args).map(|()| 0),
        Command::Bench(args) => bench::run(args).map(|()| 0),
        Command::Profile(args) => profile::run(args).map(|()| 0),
        Command::Tune(args) => tune::run(args).map(|()| 0),
        Command::Report(args) => report::run(*args).map(|()| 0),
        Command::See(args) => see::run(*args),
        Command::Kernels(args) => kernels::run(args).map(|()| 0),
        Command::Devices(args) => devices::run(args).map(|()| 0),
    }
}

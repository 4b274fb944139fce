//! `striate completions`: what shells and `man` need to know about the commands.

use super::Cli;
use super::output::print;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::PathBuf;
use striate::{Error, Result};

/// Prints a completion script for a shell, or writes manual pages.
///
/// For bash: striate completions bash > ~/.local/share/bash-completion/completions/striate
#[derive(clap::Args)]
pub struct Args {
    /// The shell
    #[arg(required_unless_present = "man")]
    shell: Option<Shell>,
    /// Write a manual page per command to this existing folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    man: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let mut command = Cli::command();
    if let Some(shell) = args.shell {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "striate", &mut script);
        print(&String::from_utf8_lossy(&script))?;
    }
    match &args.man {
        Some(dir) => clap_mangen::generate_to(command, dir)
            .map(|_| ())
            .map_err(Error::io(dir, "write manual pages to")),
        None => Ok(()),
    }
}

//! When `striate` colors its output: as <https://no-color.org> and <https://bixense.com/clicolors/> say.

#![cfg(unix)]

#[path = "common/terminal.rs"]
mod terminal;
#[path = "common/workspace.rs"]
mod workspace;

use std::process::Command;
use terminal::Terminal;
use workspace::*;

/// What the environment says about colors.
type Environment = &'static [(&'static str, &'static str)];

/// On a terminal; then elsewhere, such as in a file or a pipe.
const COLORED: [&[Environment]; 2] = [
    &[&[], &[("NO_COLOR", "")], &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")]],
    &[&[("CLICOLOR_FORCE", "1")], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]],
];
const PLAIN: [&[Environment]; 2] = [
    &[
        &[("NO_COLOR", "1")],
        &[("NO_COLOR", "0")],
        &[("CLICOLOR", "0")],
        &[("TERM", "dumb")],
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
    ],
    &[&[], &[("CLICOLOR", "1")], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]],
];

/// Commands whose output has colors: help, an error of the flags, and a warning in the log.
fn commands(dir: &Workspace) -> [Command; 3] {
    // Standard output cannot be written, of which training warns.
    let mut log = Command::new("sh");
    log.args(["-c", "exec \"$0\" \"$@\" > /dev/full", PROGRAM]).current_dir(dir.root());
    log.args(dir.train(&["--force"]).get_args());
    [dir.striate(&["train", "--help"]), dir.striate(&["train", "--no-such-flag"]), log]
}

/// Whether the output of a command is colored.
fn is_colored(mut command: Command, on_terminal: bool, environment: Environment) -> bool {
    for name in ["CI", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR", "RUST_LOG_STYLE"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    if !on_terminal {
        let output = command.output().unwrap();
        assert!(!(output.stdout.is_empty() && output.stderr.is_empty()), "{command:?}");
        return (text(&output.stdout) + &text(&output.stderr)).contains('\u{1b}');
    }
    let (mut terminal, mut child) = Terminal::start([400, 80], command);
    assert!(!terminal.read_to_end().is_empty());
    wait(&mut child);
    terminal.is_styled()
}

#[test]
fn the_environment_decides_about_colors() {
    let dir = Workspace::new();
    for (expected, environments) in [(true, COLORED), (false, PLAIN)] {
        for (on_terminal, environments) in [true, false].into_iter().zip(environments) {
            for environment in environments {
                for command in commands(&dir) {
                    let case = format!("{command:?} with {environment:?}, terminal: {on_terminal}");
                    assert_eq!(is_colored(command, on_terminal, environment), expected, "{case}");
                }
            }
        }
    }
}

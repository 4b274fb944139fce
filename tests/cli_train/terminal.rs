//! Output on terminals of several widths.

use crate::screen::Terminal;
use crate::workspace::*;
use std::process::{Child, Command};

/// Enough rows that nothing scrolls away.
const ROWS: u16 = 400;

fn start(columns: u16, command: Command) -> (Terminal, Child) {
    Terminal::start([ROWS, columns], command)
}

const WIDTHS: [u16; 4] = [24, 60, 80, 200];

#[test]
fn results_stay_on_the_terminal_and_the_progress_bar_does_not() {
    let dir = Workspace::new();
    for columns in WIDTHS {
        let mut command = dir.train(&["--epochs", "3", "--force"]);
        command.arg("--seed").arg(columns.to_string());
        let (mut terminal, mut child) = start(columns, command);
        let lines = terminal.read_to_end();
        assert!(wait(&mut child).success(), "{columns}: {lines:#?}");
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        for start in ["device   ", "data     ", "model    ", "test accuracy ", "written  "] {
            assert_eq!(count(start), 1, "{start} at {columns} columns: {lines:#?}");
        }
        for epoch in 1..=3 {
            assert_eq!(count(&format!("epoch {epoch}/3  train loss ")), 1, "{columns}: {lines:#?}");
        }
        assert_eq!(lines.len(), 8, "at {columns} columns: {lines:#?}");
    }
}

/// They are printed while the progress bar is shown.
#[test]
fn warnings_stay_on_the_terminal() {
    let dir = Workspace::new();
    // Files are limited to 400 KiB: checkpoints are larger, weights alone are not.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 800; exec \"$0\" \"$@\"", PROGRAM]).current_dir(dir.root());
    shell.args(dir.train(&["--epochs", "3"]).get_args());
    let (mut terminal, mut child) = start(80, shell);
    let lines = terminal.read_to_end();
    assert!(wait(&mut child).success(), "{lines:#?}");
    let warnings =
        lines.iter().filter(|line| line.ends_with("training continues, but cannot be resumed yet"));
    assert_eq!(warnings.count(), 3, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.ends_with(" left")), "{lines:#?}");
}

/// Ctrl-C is typed while the progress bar is shown.
#[test]
fn an_interrupted_run_says_so_on_the_terminal() {
    let dir = Workspace::new();
    for columns in WIDTHS {
        let command = dir.train(&["--epochs", "1000000", "--force"]);
        let (mut terminal, mut child) = start(columns, command);
        terminal.until("epoch 2/1000000  train loss").until("/1000000  step");
        terminal.press("\x03");
        let lines = terminal.read_to_end();
        assert_eq!(wait(&mut child).code(), Some(130), "{columns}: {lines:#?}");
        let [.., epoch, interrupted, written, go_on] = &lines[..] else { panic!("{lines:#?}") };
        assert!(epoch.contains(" train loss "), "{columns}: {lines:#?}");
        assert_eq!(interrupted, "interrupted; writing the results so far");
        assert!(written.starts_with("written  "), "{columns}: {lines:#?}");
        assert!(go_on.starts_with("resume   striate train --resume "), "{columns}: {lines:#?}");
        let bars = lines.iter().filter(|line| line.contains("/1000000  step") || line.ends_with(" left"));
        assert_eq!(bars.count(), 0, "{columns}: {lines:#?}");
    }
}

/// A terminal that cannot move its cursor gets plain lines, like a file.
#[test]
fn a_dumb_terminal_gets_no_progress_bar() {
    let dir = Workspace::new();
    let mut shell = Command::new("sh");
    let command = dir.train(&[]);
    shell.args(["-c", "TERM=dumb exec \"$0\" \"$@\"", PROGRAM]).args(command.get_args());
    let (mut terminal, mut child) = start(80, shell);
    let lines = terminal.read_to_end();
    assert!(wait(&mut child).success());
    assert!(lines.iter().any(|line| line.starts_with("test accuracy ")), "{lines:#?}");
}

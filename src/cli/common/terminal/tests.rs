//! The terminal after a panic.

#[path = "../../../../tests/common/terminal.rs"]
mod pseudo_terminal;

use super::{FullScreen, note};
use pseudo_terminal::Terminal;
use std::process::Command;

#[test]
#[ignore = "run by the next test, in a terminal of its own"]
fn panics_with_the_whole_terminal() {
    let _screen = FullScreen::open().expect("there is a terminal");
    note("noted before");
    panic!("panicked on purpose");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--nocapture", "--exact"]);
    command.arg("cli::common::terminal::tests::panics_with_the_whole_terminal");
    let (mut terminal, mut child) = Terminal::start([100, 80], command);
    let lines = terminal.read_to_end();
    assert!(!child.wait().unwrap().success());
    // On the alternate screen, they would have disappeared with it.
    for text in ["noted before", "panicked on purpose"] {
        assert!(lines.iter().any(|line| line.contains(text)), "no {text:?} in {lines:#?}");
    }
    assert!(!terminal.screen.screen().alternate_screen(), "{lines:#?}");
}

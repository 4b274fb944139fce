//! Output on terminals of several widths.

use crate::workspace::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Enough rows that nothing scrolls away.
const ROWS: u16 = 400;

/// A pseudo-terminal and its screen.
struct Terminal {
    master: File,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts a program that uses it as its controlling terminal.
    fn start(columns: u16, mut command: Command) -> (Self, Child) {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let take_terminal = || {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(take_terminal) };
        let child = command
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        (Self { master: master.into(), screen: vt100::Parser::new(ROWS, columns, 0) }, child)
    }

    /// Types Ctrl-C, which the terminal echoes as `^C`.
    fn interrupt(&mut self) {
        self.master.write_all(b"\x03").unwrap();
    }

    /// Reads until a line contains some text, or until the program has closed the terminal.
    fn until(&mut self, text: &str) -> &mut Self {
        let mut bytes = [0; 4096];
        while !self.lines().iter().any(|line| line.contains(text)) {
            // On Linux, reading fails once the other side is closed.
            let Ok(count @ 1..) = self.master.read(&mut bytes) else { break };
            self.screen.process(&bytes[..count]);
        }
        self
    }

    fn read_to_end(&mut self) -> Vec<String> {
        self.until("\0").lines()
    }

    /// The lines of the screen; wrapped lines count as one.
    fn lines(&self) -> Vec<String> {
        self.screen.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

const WIDTHS: [u16; 4] = [24, 60, 80, 200];

#[test]
fn results_stay_on_the_terminal_and_the_progress_bar_does_not() {
    let dir = Workspace::new();
    for columns in WIDTHS {
        let mut command = dir.train(&["--epochs", "3", "--force"]);
        command.arg("--seed").arg(columns.to_string());
        let (mut terminal, mut child) = Terminal::start(columns, command);
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
    let (mut terminal, mut child) = Terminal::start(80, shell);
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
        let (mut terminal, mut child) = Terminal::start(columns, command);
        terminal.until("epoch 2/1000000  train loss").until("/1000000  step");
        terminal.interrupt();
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
    let (mut terminal, mut child) = Terminal::start(80, shell);
    let lines = terminal.read_to_end();
    assert!(wait(&mut child).success());
    assert!(lines.iter().any(|line| line.starts_with("test accuracy ")), "{lines:#?}");
}

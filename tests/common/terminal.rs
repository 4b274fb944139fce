//! Programs on a pseudo-terminal.

#![allow(dead_code, reason = "no test program uses everything")]

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
pub struct Terminal {
    master: File,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts a program that uses it as its controlling terminal.
    pub fn start(columns: u16, mut command: Command) -> (Self, Child) {
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
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let child = command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        (Self { master: master.into(), screen: vt100::Parser::new(ROWS, columns, 0) }, child)
    }

    /// Types Ctrl-C, which the terminal echoes as `^C`.
    pub fn interrupt(&mut self) {
        self.master.write_all(b"\x03").unwrap();
    }

    /// Reads until a line contains some text, or until the program has closed the terminal.
    pub fn until(&mut self, text: &str) -> &mut Self {
        let mut bytes = [0; 4096];
        while !self.lines().iter().any(|line| line.contains(text)) {
            // On Linux, reading fails once the other side is closed.
            let Ok(count @ 1..) = self.master.read(&mut bytes) else { break };
            self.screen.process(&bytes[..count]);
        }
        self
    }

    pub fn read_to_end(&mut self) -> Vec<String> {
        self.until("\0").lines()
    }

    /// The lines of the screen; wrapped lines count as one.
    pub fn lines(&self) -> Vec<String> {
        self.screen.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect()
    }
    /// Whether a character is colored, bold or underlined.
    pub fn is_styled(&self) -> bool {
        let screen = self.screen.screen();
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).filter_map(move |column| screen.cell(row, column)));
        cells.into_iter().any(|c| c.fgcolor() != vt100::Color::Default || c.bold() || c.underline())
    }
}

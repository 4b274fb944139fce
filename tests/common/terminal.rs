//! Programs on a pseudo-terminal.

#![allow(dead_code, reason = "no test program uses everything")]

use rustix::pty::{grantpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A pseudo-terminal and its screen.
pub struct Terminal {
    master: File,
    pub screen: vt100::Parser,
}

impl Terminal {
    /// Starts a program that uses a terminal of some rows and columns as its controlling terminal.
    pub fn start([rows, columns]: [u16; 2], mut command: Command) -> (Self, Child) {
        // Unlike `openpt`, this does not leave the terminal open in programs that other tests start.
        let master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let mut terminal = Self { master, screen: vt100::Parser::default() };
        terminal.resize([rows, columns]);
        let take_terminal = || {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(take_terminal) };
        // Unless the test sets them.
        for (name, value) in [("TERM", Some("xterm-256color")), ("COLORTERM", None), ("NO_COLOR", None)] {
            match value {
                _ if command.get_envs().any(|(set, _)| set == name) => {}
                Some(value) => drop(command.env(name, value)),
                None => drop(command.env_remove(name)),
            }
        }
        let child = command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        (terminal, child)
    }

    pub fn resize(&mut self, [rows, columns]: [u16; 2]) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
        self.screen.screen_mut().set_size(rows, columns);
    }

    /// Types keys. Unless the program has disabled it, the terminal echoes Ctrl-C as `^C`.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until a line contains some text, or until the program has closed the terminal.
    pub fn until(&mut self, text: &str) -> &mut Self {
        let start = Instant::now();
        let mut bytes = [0; 4096];
        while !self.lines().iter().any(|line| line.contains(text)) {
            assert!(start.elapsed() < Duration::from_secs(120), "no {text:?} in {:#?}", self.lines());
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

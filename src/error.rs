//! Everything that can go wrong, as values.

use std::path::{Path, PathBuf};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Each message is one sentence that names the thing, says what was expected and
/// found, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation was given values whose shapes, types or parameters do not fit together.
    #[error("{op}{}: {problem}", at(scope))]
    Shape {
        /// The operation's name, `conv2d` for example.
        op: String,
        /// The scope of the network it was built in, `layer1.0.conv1` for example; empty at the top.
        scope: String,
        /// What was expected and what was found.
        problem: String,
    },

    /// An argument or setting is not acceptable, whatever the data.
    #[error("{name}: {problem}")]
    Argument {
        /// The argument as the user knows it.
        name: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },

    /// A file was read, but is not what it should be.
    #[error("{}: {problem}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What was expected, what was found, what to do.
        problem: String,
    },

    /// The operating system refused to read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: `read`, `write`, `create the folder`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },

    /// There is no such device, or it does not work.
    #[error("device: {0}")]
    Device(String),

    /// The device stopped working in the middle of a computation; its memory is gone.
    #[error(
        "the device was lost: {0}; start the program again, from the last saved weights if there are any"
    )]
    DeviceLost(String),

    /// The work does not fit the device's limits or memory. Limits are looked at before anything is allocated; memory that runs
    /// out is found while it is.
    #[error("too large for the device: {0}")]
    TooLarge(String),
}

fn at(scope: &str) -> String {
    if scope.is_empty() { String::new() } else { format!(" in {scope}") }
}

impl Error {
    /// An [`Error::Argument`].
    pub fn argument(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Argument { name: name.into(), problem: problem.into() }
    }

    /// An [`Error::Data`].
    pub fn data(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_owned(), problem: problem.into() }
    }

    /// An [`Error::Io`], for `map_err`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, action, source }
    }
}

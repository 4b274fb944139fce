//! The error type.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error. Its message is one line that names the operation, argument or file, says what was expected and found, and
/// suggests a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shapes, types or parameters of an operation's inputs do not match.
    #[error("{op}{}: {problem}", at(scope))]
    Shape {
        /// The operation's name, `conv2d` for example.
        op: String,
        /// The scope it was built in, `layer1.0.conv1` for example; empty at the top level.
        scope: String,
        /// What was expected and what was found.
        problem: String,
    },

    /// An argument or setting is invalid.
    #[error("{name}: {problem}")]
    Argument {
        /// The argument's name.
        name: String,
        /// What is wrong with it, and what is valid.
        problem: String,
    },

    /// The content of a file or folder is invalid.
    #[error("{}: {problem}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What was expected and found, and what to do.
        problem: String,
    },

    /// The operating system could not read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The failed action: `read`, `write`, `create the folder`.
        action: &'static str,
        /// The system's error.
        source: std::io::Error,
    },

    /// The device does not exist or does not work.
    #[error("device: {0}")]
    Device(String),

    /// The device was lost during a computation, along with its memory.
    #[error(
        "the device was lost: {0}; start the program again, from the last saved weights if there are any"
    )]
    DeviceLost(String),

    /// The work exceeds the device's limits or memory. Limits are checked before anything is allocated; running out of
    /// memory is detected during allocation.
    #[error("too large for the device: {0}")]
    TooLarge(String),

    /// The processes that train together ([`distributed`](crate::distributed)) do not fit together or lost each other.
    #[error("{0}")]
    Rank(String),
}

/// Fails with an [`Error::Argument`] unless a setting is `valid`.
pub(crate) fn require(name: &str, valid: bool, expected: impl Display, found: impl Display) -> Result<()> {
    match valid {
        true => Ok(()),
        false => Err(Error::argument(name, format!("must be {expected}, got {found}"))),
    }
}

fn at(scope: &str) -> String {
    if scope.is_empty() { String::new() } else { format!(" in {scope}") }
}

impl Error {
    /// Creates an [`Error::Argument`].
    pub fn argument(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Argument { name: name.into(), problem: problem.into() }
    }

    /// Creates an [`Error::Data`].
    pub fn data(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_owned(), problem: problem.into() }
    }

    /// Creates an [`Error::Io`], for `map_err`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, action, source }
    }
}

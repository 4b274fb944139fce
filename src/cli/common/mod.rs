//! Shared by all commands: flags, the networks and images they name, and output.

pub mod choices;
pub mod device;
pub mod flags;
pub mod html;
pub mod images;
pub mod json;
pub mod memory;
pub mod mistakes;
pub mod network;
pub mod numbers;
pub mod output;
pub mod pretrained;
pub mod ranks;
pub mod shell;
pub mod svg;
pub mod terminal;
pub mod text;

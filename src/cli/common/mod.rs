//! What commands share: flags, networks and images that these name, and text for people.

pub mod choices;
pub mod flags;
pub mod html;
pub mod images;
pub mod json;
pub mod memory;
pub mod network;
pub mod output;
pub mod terminal;
pub mod text;

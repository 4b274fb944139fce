//! Commands that repeat the views of the page.

use super::Args;
use crate::cli::shell::quoted;
use clap::parser::ValueSource;
use std::path::Path;

/// Flags of the page, or of the images, that commands of views have on their own.
const PAGE: [&str; 6] = ["begin_with", "examples", "layer", "units", "out", "images"];
const IMAGES: [&str; 2] = ["data", "dataset"];

/// Words of this program's command line that its views take too, quoted for a shell: the network, the device and, if a view
/// needs them, the number of `images` and those to `begin_with`.
pub fn shared_words(images: usize, begin_with: &[usize]) -> String {
    let command = <Args as clap::Args>::augment_args(clap::Command::new("see").no_binary_name(true));
    // The command line was parsed before, after the names of program and command.
    let Ok(matches) = command.clone().try_get_matches_from(std::env::args_os().skip(2)) else {
        return String::new();
    };
    let given = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        matches.value_source(id) == Some(ValueSource::CommandLine)
            && !PAGE.contains(&id)
            && (images > 0 || !IMAGES.contains(&id))
    };
    let mut words: Vec<String> = Vec::new();
    for arg in command.get_arguments().filter(given) {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let values = values.map(|value| quoted(Path::new(value)));
        match arg.get_long() {
            None => words.splice(0..0, values).for_each(drop),
            Some(flag) if arg.get_action().takes_values() => {
                words.extend(values.map(|value| format!("--{flag}={value}")));
            }
            Some(flag) => words.push(format!("--{flag}")),
        }
    }
    if images > 0 {
        words.push(format!("--images={images}"));
        if !begin_with.is_empty() {
            let numbers: Vec<String> = begin_with.iter().take(images).map(usize::to_string).collect();
            words.push(format!("--begin-with={}", numbers.join(",")));
        }
    }
    words.join(" ")
}

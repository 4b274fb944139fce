//! The `striate` program.

mod cli;

use clap::Parser;

fn main() {
    quiet_loader();
    // wgpu_hal warns of every driver that is not there; what matters of it comes as an error.
    let style = if cli::terminal::coloured() { "always" } else { "never" };
    let filter =
        env_logger::Env::default().default_filter_or("warn,wgpu_hal=off").default_write_style_or(style);
    // Through a pipe of ours, since a message must not end up in a progress bar.
    let messages = env_logger::Target::Pipe(Box::new(cli::terminal::Messages));
    env_logger::Builder::from_env(filter).target(messages).init();
    let code = cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        cli::terminal::note(&format!("error: {}", one_line(&error.to_string())));
        1
    });
    std::process::exit(code);
}

/// A message as one line, also where a driver has put in more of them.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Mesa's device-select layer, which striate does not need, complains on standard error where there is no
/// desktop session.
fn quiet_loader() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing the program does; no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

//! The `striate` program.

mod cli;

use clap::Parser;

fn main() {
    quiet_loader();
    // wgpu_hal warns about every missing driver; problems that matter also surface as errors.
    let style = if cli::terminal::colored() { "always" } else { "never" };
    let filter =
        env_logger::Env::default().default_filter_or("warn,wgpu_hal=off").default_write_style_or(style);
    // `Messages` keeps log lines from breaking into a progress bar.
    let messages = env_logger::Target::Pipe(Box::new(cli::terminal::Messages));
    env_logger::Builder::from_env(filter).target(messages).init();
    let code = cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        cli::terminal::note(&format!("error: {}", one_line(&error.to_string())));
        1
    });
    std::process::exit(code);
}

/// Joins the lines of a message: errors from drivers can have several.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Disables Mesa's device-select layer, which prints errors if there is no desktop session. Striate does not need it.
fn quiet_loader() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing the program does; no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

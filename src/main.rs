//! The `striate` program.

mod cli;

use clap::Parser;

fn main() {
    quiet_loader();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let code = cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        1
    });
    std::process::exit(code);
}

/// Mesa's device-select layer, which striate does not need, complains on standard error where there is no
/// desktop session.
fn quiet_loader() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing the program does; no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

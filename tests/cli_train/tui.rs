//! `--tui`: the interface on a terminal.

use crate::screen::Terminal;
use crate::workspace::*;
use std::process::{Child, Command};

const USUAL: [u16; 2] = [24, 80];
const LONG: [&str; 3] = ["--tui", "--epochs", "1000000"];

/// Starts a shell that runs a command, and then prints the terminal's settings.
fn start_in_shell(command: &Command) -> (Terminal, Child) {
    let mut shell = Command::new("sh");
    let script = "trap : TERM; \"$0\" \"$@\"; code=$?; stty -a; exit $code";
    shell.args(["-c", script, PROGRAM]).args(command.get_args());
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    Terminal::start(USUAL, shell)
}

/// Asserts that the terminal is as it was before; returns its lines.
#[track_caller]
fn assert_given_back(terminal: &mut Terminal) -> Vec<String> {
    let lines = terminal.read_to_end();
    let screen = terminal.screen.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{lines:#?}");
    let settings = lines.join(" ");
    for setting in ["icanon", "echo", "isig", "icrnl", "opost"] {
        assert!(settings.contains(&format!(" {setting}")), "{setting} is not set: {lines:#?}");
    }
    lines
}

fn has(lines: &[String], start: &str) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

/// The files of a run that do not depend on time, and `metrics.csv` without its times.
fn results(dir: &Workspace) -> (Vec<Vec<u8>>, Vec<String>) {
    let weights = ["run/model.safetensors", "run/best.safetensors"].map(|name| dir.read(name));
    let rows = metrics(&dir.run()).into_iter().map(|mut row| {
        row.retain(|name, _| !name.contains("second"));
        format!("{row:?}")
    });
    (weights.to_vec(), rows.collect())
}

#[test]
fn the_interface_and_its_keys_change_no_result() {
    let dir = Workspace::with_images(1200, 20, 8);
    let plain = dir.trained(&["--epochs", "2"]);
    let expected = results(&dir);
    let (mut terminal, mut child) = start_in_shell(&dir.train(&["--epochs", "2", "--force", "--tui"]));
    terminal.until("epoch 1/2  step").press("?");
    terminal.until("save a checkpoint now").press("s");
    terminal.until("checkpoint after step ");
    assert!(terminal.screen.screen().alternate_screen());
    assert!(terminal.lines()[1].starts_with("epoch 1/2"), "{:#?}", terminal.lines());
    let lines = assert_given_back(&mut terminal);
    assert!(wait(&mut child).success(), "{lines:#?}");
    assert_eq!(results(&dir), expected);
    // The lines that stay are the same, except for the speed.
    let lasting = |line: &&str| {
        ["device ", "data ", "model ", "test accuracy ", "written "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    for line in plain.lines().filter(lasting) {
        assert!(lines.iter().any(|other| other == line), "no {line:?} in {lines:#?}");
    }
    assert!(has(&lines, "epoch 1/2  train loss ") && has(&lines, "epoch 2/2  train loss "), "{lines:#?}");
}

#[test]
fn the_terminal_is_given_back_however_a_run_stops() {
    for how in ["q", "\x03", "\x03\x03", "TERM"] {
        let dir = Workspace::new();
        let (mut terminal, mut child) = start_in_shell(&dir.train(&LONG));
        terminal.until("best ");
        match how {
            "TERM" => {
                let group = format!("-{}", child.id());
                assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
            }
            keys => terminal.press(keys),
        }
        let lines = assert_given_back(&mut terminal);
        assert_eq!(wait(&mut child).code(), Some(130), "{how:?}: {lines:#?}");
        if how != "\x03\x03" {
            for start in
                ["interrupted; writing the results so far", "written  ", "resume   striate train --resume "]
            {
                assert!(has(&lines, start), "{how:?}: no {start:?} in {lines:#?}");
            }
            assert_eq!(list(&dir.run()), FILES);
        }
    }
}

#[test]
fn errors_and_warnings_are_printed_after_the_interface() {
    let dir = Workspace::new();
    let (mut terminal, mut child) = start_in_shell(&dir.train(&["--tui", "--lr", "1e30"]));
    let lines = assert_given_back(&mut terminal);
    assert_eq!(wait(&mut child).code(), Some(1), "{lines:#?}");
    assert!(has(&lines, "error: --lr: ") && has(&lines, "resume   "), "{lines:#?}");
    // As in `terminal.rs`: checkpoints cannot be written.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 800; exec \"$0\" \"$@\"", PROGRAM]).current_dir(dir.root());
    shell.args(dir.train(&["--tui", "--force"]).get_args());
    let (mut terminal, mut child) = Terminal::start([50, 200], shell);
    let lines = terminal.read_to_end();
    assert!(wait(&mut child).success(), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.ends_with("training continues, but cannot be resumed yet")),
        "{lines:#?}"
    );
}

#[test]
fn the_interface_follows_the_size_of_the_terminal() {
    let dir = Workspace::new();
    let (mut terminal, mut child) = Terminal::start([50, 200], dir.train(&LONG));
    terminal.until("Accuracy %").until("Filters").until("Predictions");
    terminal.resize([5, 20]);
    terminal.until("q stop   s save a ch");
    assert!(!terminal.until(" left").lines().concat().contains("Filters"));
    terminal.resize(USUAL);
    terminal.until("Accuracy %").until("Predictions").press("q");
    terminal.read_to_end();
    assert_eq!(wait(&mut child).code(), Some(130));
}

/// Colors of characters on the screen while training.
fn colors_of(mut command: Command) -> Vec<vt100::Color> {
    let dir = Workspace::new();
    command.args(dir.train(&LONG).get_args()).current_dir(dir.root());
    let (mut terminal, mut child) = Terminal::start(USUAL, command);
    // The help comes with a later frame, so the one with the pictures is complete.
    terminal.until("best ").press("?");
    let screen = terminal.until("hide this").screen.screen();
    let cells = (0..USUAL[0]).flat_map(|y| (0..USUAL[1]).filter_map(move |x| screen.cell(y, x)));
    let colors = cells.flat_map(|cell| [cell.fgcolor(), cell.bgcolor()]).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    colors
}

#[test]
fn colors_are_those_of_the_terminal() {
    let with = |setting: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{setting} exec \"$0\" \"$@\""), PROGRAM]);
        colors_of(shell)
    };
    let has_rgb = |colors: &[vt100::Color]| colors.iter().any(|color| matches!(color, vt100::Color::Rgb(..)));
    assert!(has_rgb(&with("COLORTERM=truecolor")));
    let indexed = with("");
    assert!(!has_rgb(&indexed) && indexed.iter().any(|color| matches!(color, vt100::Color::Idx(16..))));
    let none = with("NO_COLOR=1");
    assert!(none.iter().all(|color| *color == vt100::Color::Default));
}

/// Both training and the thread of the interface must notice.
#[test]
fn a_closed_terminal_stops_the_run() {
    let dir = Workspace::new();
    let (mut terminal, mut child) = Terminal::start(USUAL, dir.train(&LONG));
    terminal.until("best ");
    drop(terminal);
    assert_eq!(wait(&mut child).code(), Some(130));
    assert_eq!(list(&dir.run()), FILES);
}

#[test]
fn without_a_terminal_lines_are_printed() {
    let dir = Workspace::new();
    let expected = dir.trained(&[]);
    let output = dir.train(&["--tui", "--force"]).output().unwrap();
    assert!(output.status.success());
    let message = text(&output.stderr);
    assert!(message.starts_with("note: --tui needs a terminal") && message.lines().count() == 1, "{message}");
    let printed = text(&output.stdout);
    assert_eq!(printed.lines().count(), expected.lines().count(), "{printed}");
    assert!(!printed.contains('\x1b'), "{printed}");
}

#[test]
fn a_resumed_run_shows_its_earlier_epochs() {
    let dir = Workspace::with_images(4000, 10, 8);
    dir.trained(&["--batch", "32"]);
    let (mut terminal, mut child) = Terminal::start(USUAL, dir.resume(&["--epochs", "1000000", "--tui"]));
    let lines = terminal.until("best ").lines();
    // Later, it would be the best of the epochs since then.
    assert!(lines.iter().any(|line| line.contains("after epoch 1")), "{lines:#?}");
    terminal.press("q");
    let lines = terminal.read_to_end();
    assert_eq!(wait(&mut child).code(), Some(130), "{lines:#?}");
}

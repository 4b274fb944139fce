//! The interface on terminals of several sizes.

use super::colors::Colors;
use super::draw::{View, draw};
use super::gallery::{Guess, Look};
use super::state::{Now, State};
use image::{Rgb, RgbImage};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use std::time::Duration;
use striate::train::{EpochReport, Progress, Score};

/// A run in its third epoch.
fn state() -> State {
    let guess = |index: u8| Guess {
        image: RgbImage::from_pixel(28, 28, Rgb([index * 20; 3])),
        class: format!("guess{index}"),
        probability: 0.75,
        instead_of: (index == 1).then(|| "truth1".to_owned()),
    };
    let look = Look {
        filters: vec![RgbImage::from_pixel(3, 3, Rgb([200, 0, 0])); 16],
        guesses: (0..8).map(guess).collect(),
    };
    let title = "resnet8 on shoes".into();
    let mut state = State { title, held_out: "test", memory: 3 << 20, epochs: 4, look, ..State::default() };
    for epoch in 1..=3 {
        for step in 1..=10 {
            let batch = Score { loss: 1.0 / (epoch * step) as f64, accuracy: 0.5, images: 32 };
            let score = Score { loss: 0.75, accuracy: 0.625, images: 32 * step };
            let progress = Progress { epoch, step, steps: 20, lr: 0.0625, score, batch, skipped: false };
            state.step(Now { progress, images_per_second: 1234.0, left: Duration::from_secs(83) });
        }
        if epoch < 3 {
            state.epoch(&EpochReport {
                validation: None,
                epoch,
                lr: 0.0625,
                train: Score { loss: 0.75, accuracy: 0.5, images: 640 },
                skipped: 0,
                test: Some(Score { loss: 0.5, accuracy: 0.25 * epoch as f64, images: 100 }),
                train_time: Duration::from_secs(1),
                test_time: Duration::from_secs(1),
            });
        }
    }
    state.checkpoint = Some(40);
    state
}

fn view(colors: Colors) -> View {
    View { colors, messages: vec!["an older line".into(), "a warning".into()], help: false, stopping: false }
}

fn drawn(size: (u16, u16), state: &State, view: &View) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, state, view)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
}

#[track_caller]
fn assert_has(lines: &[String], words: &[&str]) {
    for word in words {
        assert!(lines.iter().any(|line| line.contains(word)), "no {word:?} in {lines:#?}");
    }
}

/// On a terminal of any usual size.
const EVERYTHING: [&str; 18] = [
    "resnet8 on shoes",
    "epoch 3/4  step 10/20 ",
    "loss 0.7500",
    "accuracy 62.50 %",
    "learning rate 0.0625",
    "1234 images/s",
    "1:23 left",
    "3.00 MiB on the device",
    "best 50.00 % after epoch 2",
    "checkpoint after step 40",
    "Loss  ⠒ train 0.03",
    "• test 0.50",
    "Accuracy %  ⠒ train 50.0  • test 50.0",
    "Filters, first layer",
    "✓ guess0",
    "✗ guess1",
    "is truth1",
    "a warning",
];

#[test]
fn a_usual_terminal_shows_everything() {
    for size in [(80, 24), (200, 50), (120, 30), (100, 40)] {
        let lines = lines(&drawn(size, &state(), &view(Colors::True)));
        assert_has(&lines, &EVERYTHING);
        assert_has(&lines, &["q stop"]);
    }
    assert_has(&lines(&drawn((200, 50), &state(), &view(Colors::True))), &["an older line"]);
}

#[test]
fn small_terminals_show_the_most_important() {
    let tiny = lines(&drawn((20, 5), &state(), &view(Colors::True)));
    assert_has(&tiny, &["3/4 10/20", "loss 0.7500", "accuracy 62.50 %", "1:23 left", "q stop"]);
    // Pictures are the first to go.
    let low = lines(&drawn((80, 16), &state(), &view(Colors::True)));
    assert_has(&low, &["Loss", "Accuracy %", "a warning"]);
    assert!(!low.concat().contains("Filters"), "{low:#?}");
    let narrow = lines(&drawn((40, 24), &state(), &view(Colors::True)));
    assert_has(&narrow, &["Loss", "Filters 6/16"]);
    assert!(!narrow.concat().contains("Accuracy %"), "{narrow:#?}");
}

#[test]
fn every_size_and_state_can_be_drawn() {
    let mut unusual = state();
    unusual.look.filters = vec![RgbImage::new(11, 11); 96];
    unusual.look.guesses.iter_mut().for_each(|guess| guess.image = RgbImage::new(300, 2));
    for state in [State { epochs: 1, ..State::default() }, state(), unusual] {
        for width in (1..210).step_by(7) {
            for height in (1..60).step_by(3) {
                let view = View { help: height % 2 == 0, stopping: width % 2 == 0, ..view(Colors::Indexed) };
                drawn((width, height), &state, &view);
            }
        }
    }
}

#[test]
fn without_colors_nothing_is_colored() {
    let buffer = drawn((80, 24), &state(), &view(Colors::None));
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert_has(&lines(&buffer), &EVERYTHING);
    let colored = drawn((80, 24), &state(), &view(Colors::True));
    assert!(colored.content().iter().any(|cell| cell.fg == Color::Rgb(200, 0, 0)));
}

#[test]
fn help_and_a_requested_stop_are_shown() {
    let help = View { help: true, ..view(Colors::True) };
    assert_has(&lines(&drawn((80, 24), &state(), &help)), &["s          save a checkpoint now"]);
    let stopping = View { stopping: true, ..view(Colors::True) };
    assert_has(&lines(&drawn((80, 24), &state(), &stopping)), &["stopping after this step"]);
}

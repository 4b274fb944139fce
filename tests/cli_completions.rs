//! `striate completions`.

#![cfg(unix)]

#[path = "common/workspace.rs"]
mod workspace;

use std::io::Write;
use std::process::{Command, Stdio};
use workspace::*;

#[test]
fn bash_completes_commands_and_flags() {
    let dir = Workspace::new();
    let script = printed(&mut dir.striate(&["completions", "bash"]));
    for (words, wanted) in [("striate pre", "predict"), ("striate train --label-sm", "--label-smoothing")] {
        let last = words.split(' ').count() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}\n_striate striate \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        let Ok(mut bash) = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            return;
        };
        bash.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert!(text(&output.stdout).lines().any(|line| line == wanted), "{words}: {output:?}");
    }
    for shell in ["zsh", "fish"] {
        assert!(printed(&mut dir.striate(&["completions", shell])).contains("label-smoothing"));
    }
}

#[test]
fn manual_pages_have_all_commands() {
    let dir = Workspace::new();
    std::fs::create_dir(dir.path("man")).unwrap();
    printed(&mut dir.striate(&["completions", "--man", "man"]));
    let page = dir.read_text("man/striate-train.1");
    assert!(page.contains(".TH") && page.contains("label\\-smoothing"), "{page}");
    assert!(dir.path("man/striate.1").exists() && dir.path("man/striate-see-filters.1").exists());
    assert_refused(&mut dir.striate(&["completions", "--man", "nowhere"]), &["nowhere", "manual pages"]);
}

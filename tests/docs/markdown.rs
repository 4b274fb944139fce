//! The parts of Markdown that the pages use.

use crate::common::Outcome;
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Clone)]
pub struct Page {
    /// The path from the root, with slashes.
    pub name: String,
    pub text: String,
}

/// A fenced block: language, lines, and the line number of its fence.
pub struct Block<'a> {
    pub language: &'a str,
    pub lines: Vec<&'a str>,
    pub at: usize,
    /// Only blank lines separate it from the previous block.
    pub follows: bool,
}

/// README.md, ARCHITECTURE.md and docs/*.md.
pub fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/ exists").map(|entry| entry.unwrap().path());
    let mut docs: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    docs.sort();
    let names = docs.iter().map(|path| format!("docs/{}", path.file_name().unwrap().to_str().unwrap()));
    let names = ["README.md".into(), "ARCHITECTURE.md".into()].into_iter().chain(names);
    names
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            Page { name, text }
        })
        .collect()
}

impl Page {
    pub fn folder(&self) -> PathBuf {
        root().join(&self.name).parent().expect("a page is in a folder").to_owned()
    }

    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        let mut follows = false;
        for (at, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if open => (open, follows) = (false, true),
                Some(language) => {
                    open = true;
                    blocks.push(Block { language, lines: Vec::new(), at: at + 1, follows });
                }
                None if open => blocks.last_mut().expect("a block is open").lines.push(line),
                None => follows &= line.trim().is_empty(),
            }
        }
        blocks
    }

    /// The lines outside of fenced blocks.
    pub fn prose(&self) -> impl Iterator<Item = &str> {
        let mut open = false;
        self.text.lines().filter(move |line| {
            let fence = line.starts_with("```");
            open ^= fence;
            !open && !fence
        })
    }

    /// Inline code in the prose.
    pub fn code_spans(&self) -> impl Iterator<Item = &str> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// Commands of `sh` blocks, without comments, as words.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let shell = self.blocks().into_iter().filter(|block| block.language == "sh");
        let lines = shell.flat_map(|block| block.lines);
        lines.map(words).filter(|words| !words.is_empty()).collect()
    }

    /// Headings as GitHub names them in links.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().filter(|line| line.starts_with('#'));
        headings
            .map(|line| {
                let text = line.trim_start_matches('#').trim().to_lowercase();
                let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }
}

/// Splits a command line as a shell would; the pages use only single quotes.
pub fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().expect("split yields at least one part");
    line.split_whitespace().map(|word| word.replace('\'', "")).collect()
}

/// Code is in fenced blocks of a known language, and quoted output follows the single command that printed it.
pub fn known_blocks(pages: &[Page]) -> Outcome {
    for page in pages {
        let mut commands = 0;
        for block in page.blocks() {
            let location = format!("{}:{}", page.name, block.at);
            match block.language {
                "sh" => commands = block.lines.len(),
                "text" if !block.follows || commands != 1 => {
                    return Err(format!(
                        "{location}: quoted output must follow the single command that prints it"
                    )
                    .into());
                }
                "text" => commands = 0,
                "rust" | "rust,no_run" | "python" | "toml" | "bash" => {}
                // ARCHITECTURE.md has drawings.
                "" if page.name == "ARCHITECTURE.md" => {}
                language => return Err(format!("{location}: blocks of {language:?} are not checked").into()),
            }
        }
        if let Some(line) = page.prose().find(|line| line.starts_with("    ")) {
            return Err(format!("{}: {line:?} is indented; code goes into a fenced block", page.name).into());
        }
    }
    Ok(())
}

//! The README's own commands, so that what it promises is what is run.

use std::fs;

use anyhow::{Context, Result};

use crate::process::root;

/// The commands in the README's fenced `sh` blocks, in their order. A line that goes on with `\`
/// is one command; comments are left out.
pub(crate) fn commands() -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join("README.md")).context("failed to read README.md")?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    let mut pending = String::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => {
                if let Some(part) = command.strip_suffix('\\') {
                    pending.push_str(part);
                } else {
                    commands.push(std::mem::take(&mut pending) + command);
                }
            }
            _ => {}
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_sh_blocks_hold_commands() {
        let text = "```sh\n# a comment\ncargo test\n```\n\n```text\nnot a command\n```\n";
        assert_eq!(parse(text), ["cargo test"]);
    }

    #[test]
    fn a_backslash_goes_on() {
        assert_eq!(parse("```sh\na \\\n  b\n```\n"), ["a b"]);
    }
}

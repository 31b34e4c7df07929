//! What `nft` says is in the kernel.

use std::process::Command;

use enforcer::nft::NftBinary;
use libtest_mimic::Failed;
use serde_json::Value;

/// The whole ruleset of the calling thread's network namespace.
pub(crate) struct Listing {
    /// When it was made.
    step: String,
    /// As people read it.
    pub(crate) text: String,
    /// Without handles, everything sorted.
    meaning: Vec<String>,
}

impl Listing {
    pub(crate) fn of_ruleset(step: &str) -> Result<Self, Failed> {
        let json: Value = serde_json::from_str(&nft(&["-j", "list", "ruleset"])?)?;
        let objects = json["nftables"].as_array().cloned().unwrap_or_default();
        Ok(Self {
            step: step.to_owned(),
            text: nft(&["list", "ruleset"])?,
            meaning: normal(objects),
        })
    }

    /// Every character is the same.
    pub(crate) fn must_read_as(&self, other: &Self) -> Result<(), Failed> {
        same(&self.step, &self.text, &other.text)
    }

    /// The same things are there, in whatever order they were made.
    pub(crate) fn must_mean(&self, other: &Self) -> Result<(), Failed> {
        same(
            &self.step,
            &self.meaning.join("\n"),
            &other.meaning.join("\n"),
        )
    }
}

fn same(step: &str, left: &str, right: &str) -> Result<(), Failed> {
    if left == right {
        return Ok(());
    }
    let differing = left
        .lines()
        .zip(right.lines())
        .find(|(left, right)| left != right);
    Err(format!("{step}: {differing:?}\n--- one\n{left}\n--- other\n{right}").into())
}

/// Objects without handles, sorted; rules stay in the order of their chain.
fn normal(objects: Vec<Value>) -> Vec<String> {
    let mut position = 0;
    let mut lines: Vec<_> = objects
        .into_iter()
        .filter(|object| object.get("metainfo").is_none())
        .map(|mut object| {
            for (_, content) in object.as_object_mut().into_iter().flatten() {
                if let Some(content) = content.as_object_mut() {
                    content.remove("handle");
                }
                if let Some(elements) = content["elem"].as_array_mut() {
                    elements.sort_by_key(ToString::to_string);
                }
            }
            match object["rule"]["chain"].as_str() {
                Some(chain) => {
                    position += 1;
                    format!("rule of {chain} {position:06}: {object}")
                }
                None => object.to_string(),
            }
        })
        .collect();
    lines.sort();
    // The position only kept rules in order.
    for line in &mut lines {
        if let Some((chain, rule)) = line.split_once(": ")
            && chain.starts_with("rule of ")
        {
            *line = rule.to_owned();
        }
    }
    lines
}

/// A table of somebody else, with an interval set and a verdict map.
pub(crate) fn foreign_table() -> Result<(), Failed> {
    let ruleset = "
        table inet somebody {
            set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
            map verdicts { type ipv4_addr : verdict; elements = { 10.0.0.1 : drop } }
            chain forward {
                type filter hook forward priority -20; policy accept;
                ip saddr @ranges counter accept
                ip daddr vmap @verdicts
            }
        }";
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), ruleset)?;
    nft(&["-f", &file.path().to_string_lossy()])?;
    Ok(())
}

/// What a command of a person says.
pub(crate) fn nft(arguments: &[&str]) -> Result<String, Failed> {
    let command = NftBinary::find()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "reading the kernel's state is for tests only, so it is not in the crate"
    )]
    let output = Command::new(command.path()).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

//! The run for people: Markdown and HTML of the same content.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{Subject, topic::Topic};
use crate::report::{
    Conclusion, Counts, RunReport, ScenarioReport, escape,
    human::{self, Style},
};

/// Nothing but the system's own fonts and colours, by day and by night.
const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
pre{overflow-x:auto;padding:.75rem;background:color-mix(in srgb,currentColor 8%,transparent)}
summary{cursor:pointer}
.good{color:light-dark(#116329,#4ac26b)}.bad{color:light-dark(#b3261e,#ff8f87)}.skip{opacity:.7}";

/// The page that a folder on GitHub shows.
pub(super) fn markdown(report: &RunReport, topics: &[Topic<'_>], subject: Subject<'_>) -> String {
    let mut text = String::new();
    write_markdown(&mut text, report, topics, subject).expect("a String takes everything");
    text
}

fn write_markdown(
    text: &mut String,
    report: &RunReport,
    topics: &[Topic<'_>],
    subject: Subject<'_>,
) -> fmt::Result {
    writeln!(text, "# {}\n", in_markdown(&title(subject)))?;
    writeln!(text, "{}\n", verdict(report))?;
    writeln!(
        text,
        "| topic | passed | of | failed | skipped | connections |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|")?;
    for topic in topics {
        let counts = topic.counts();
        writeln!(
            text,
            "| {} {} | {} |",
            mark(counts),
            topic.name,
            cells(counts).join(" | ")
        )?;
    }
    let all = report.counts();
    writeln!(text, "| **all** | {} |", cells(all).join(" | "))?;
    let bad: Vec<_> = report
        .scenarios
        .iter()
        .filter(|s| s.conclusion.is_bad())
        .collect();
    if !bad.is_empty() {
        writeln!(text, "\n## What did not pass")?;
    }
    for scenario in bad {
        let block = human::block(scenario).replace("```", "'''");
        let label = scenario.conclusion.label();
        writeln!(
            text,
            "\n<details><summary>{label} {}</summary>\n\n```text\n{block}```\n\n</details>",
            escape(&scenario.id)
        )?;
    }
    let reasons = skipped(report);
    if !reasons.is_empty() {
        writeln!(text, "\n## What was not played\n")?;
        for (reason, count) in reasons {
            writeln!(text, "- {count} because {}", in_markdown(reason))?;
        }
    }
    writeln!(text, "\n## Reproduce\n\n```sh\n{}\n```\n", subject.command)?;
    writeln!(text, "{}", conditions(report))
}

/// The page for a browser.
pub(super) fn html(report: &RunReport, topics: &[Topic<'_>], subject: Subject<'_>) -> String {
    let mut text = String::new();
    write_html(&mut text, report, topics, subject).expect("a String takes everything");
    text
}

fn write_html(
    text: &mut String,
    report: &RunReport,
    topics: &[Topic<'_>],
    subject: Subject<'_>,
) -> fmt::Result {
    let title = escape(&title(subject));
    writeln!(
        text,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">"
    )?;
    writeln!(
        text,
        "<meta name=\"viewport\" content=\"width=device-width\">"
    )?;
    writeln!(text, "<title>{title}</title>\n<style>\n{STYLE}\n</style>")?;
    writeln!(
        text,
        "<h1>{title}</h1>\n<p>{}</p>",
        escape(&verdict(report))
    )?;
    let url = &subject.implementation.url;
    if url.starts_with("https://") || url.starts_with("http://") {
        let url = escape(url);
        writeln!(text, "<p><a href=\"{url}\">{url}</a></p>")?;
    }
    let head = ["passed", "of", "failed", "skipped", "connections"];
    let head: String = head
        .iter()
        .map(|name| format!("<th class=\"n\">{name}"))
        .collect();
    writeln!(text, "<table>\n<tr><th>topic{head}")?;
    let row = |text: &mut String, name: &str, counts: Counts| {
        let cells = cells(counts);
        let cells: String = cells
            .iter()
            .map(|cell| format!("<td class=\"n\">{cell}"))
            .collect();
        writeln!(text, "<tr><td>{name}{cells}")
    };
    for topic in topics {
        let name = escape(topic.name);
        let name = format!("{} <a href=\"#{name}\">{name}</a>", mark(topic.counts()));
        row(text, &name, topic.counts())?;
    }
    row(text, "<b>all</b>", report.counts())?;
    writeln!(text, "</table>")?;
    for topic in topics {
        let name = escape(topic.name);
        writeln!(text, "<h2 id=\"{name}\">{name}</h2>")?;
        for scenario in &topic.scenarios {
            write_scenario(text, scenario)?;
        }
    }
    writeln!(
        text,
        "<h2>Reproduce</h2>\n<pre>{}</pre>",
        escape(subject.command)
    )?;
    writeln!(text, "<p>{}</p>", escape(&conditions(report)))
}

fn write_scenario(text: &mut String, scenario: &ScenarioReport) -> fmt::Result {
    let class = match scenario.conclusion {
        Conclusion::Passed => "good",
        Conclusion::Skipped { .. } => "skip",
        _ => "bad",
    };
    let head = format!(
        "<span class=\"{class}\">{}</span> {}",
        scenario.conclusion.label(),
        escape(&name(scenario))
    );
    if scenario.conclusion.is_bad() {
        let block = escape(&human::block(scenario));
        return writeln!(
            text,
            "<details><summary>{head}</summary><pre>{block}</pre></details>"
        );
    }
    match scenario.conclusion.reason() {
        Some(reason) => writeln!(text, "<div>{head}: {}</div>", escape(reason)),
        None => writeln!(text, "<div>{head}</div>"),
    }
}

/// The name and what it shows.
fn name(scenario: &ScenarioReport) -> String {
    match scenario.title.as_str() {
        "" => scenario.id.clone(),
        title => format!("{} – {title}", scenario.id),
    }
}

fn title(subject: Subject<'_>) -> String {
    let implementation = subject.implementation;
    let words = [&implementation.project, &implementation.version];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => "NetworkPolicy conformance".to_owned(),
        words => format!(
            "NetworkPolicy conformance of {}",
            words
                .iter()
                .map(|word| word.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        ),
    }
}

fn verdict(report: &RunReport) -> String {
    let verdict = human::summary(report, Style::default());
    let verdict = verdict.trim().trim_start_matches("Summary").trim_start();
    verdict.to_owned()
}

/// Passed, all that were played, failed, skipped, connections.
fn cells(counts: Counts) -> [String; 5] {
    let played = counts.passed + counts.bad();
    [
        counts.passed,
        played,
        counts.bad(),
        counts.skipped,
        counts.checks,
    ]
    .map(|n| n.to_string())
}

fn mark(counts: Counts) -> &'static str {
    match (counts.bad(), counts.passed) {
        (0, 0) => "–",
        (0, _) => "✅",
        _ => "❌",
    }
}

/// The reasons for which scenarios were skipped, and how many for each.
fn skipped(report: &RunReport) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for scenario in &report.scenarios {
        if let Conclusion::Skipped { reason } = &scenario.conclusion {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    reasons
}

/// What the result can depend on beside the scenarios.
fn conditions(report: &RunReport) -> String {
    let environment = &report.environment;
    format!(
        "Portcullis {}, back end {}, kernel {} where the program ran, begun {}.",
        environment.version, environment.backend, environment.kernel, report.started
    )
}

/// Text that Markdown leaves as it is.
fn in_markdown(text: &str) -> String {
    escape(text).replace('|', "\\|").replace('\n', " ")
}

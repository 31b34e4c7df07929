//! From a document to scenarios: parameters put in, names looked up, connections spelled out.
//!
//! | module | reads |
//! |---|---|
//! | [`expand`] | `forEach` and `permute`: one file, several plays |
//! | [`cluster`], [`pod`], [`manifests`] | `spec.cluster`: the world before the first step |
//! | [`policies`], [`repeat`] | `spec.policies` and everything that is applied |
//! | [`step`], [`admission`], [`change`], [`pods`], [`apply`], [`agents`] | `spec.steps`: how the world changes |
//! | [`flows`], [`traffic`] | long-lived connections and background traffic |
//! | [`expectation`], [`coverage`], [`endpoints`], [`claim`], [`probe`] | `expect`: which connections, and what comes of each |
//! | [`decisive`], [`requires`] | the file as a whole: whether it could fail, what it needs |
//!
//! Every problem goes into [`Reader::problems`], with its place; reading goes on where it can, so
//! that one run shows as many mistakes as possible.

mod admission;
mod agents;
mod apply;
mod change;
mod claim;
mod cluster;
mod coverage;
mod decisive;
mod endpoints;
mod expand;
mod expectation;
mod flows;
mod imagined;
mod manifests;
mod place;
mod pod;
mod pods;
mod policies;
mod probe;
mod repeat;
mod requires;
mod service;
mod step;
mod traffic;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use enforcer::{
    diagnostic::{Diagnostic, Diagnostics, nearest},
    yaml::{Document, FieldPath, Location},
};

use super::{
    Options,
    model::{OptionsOverlay, Scenario},
    text::SyntaxError,
    written::{File, cluster::Families},
};
use crate::{cell::Family, semantics};

/// All plays of a scenario document. `folder` is where its paths start.
pub(super) fn read(
    document: &Document,
    folder: &Path,
    options: &Options,
) -> Result<Vec<Scenario>, Diagnostics> {
    let expansions = expand::expansions(document)?;
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for expansion in &expansions {
        let mut reader = Reader {
            original: document.clone(),
            document: expansion.document.clone(),
            parameters: expansion.labels(),
            folder: folder.to_owned(),
            problems: Vec::new(),
        };
        match reader.document.decode::<File>() {
            Ok(file) => scenarios.extend(play(&mut reader, &file, expansion, options)),
            Err(errors) => reader.problems.extend(errors.0.into_iter().map(no_sleeps)),
        }
        problems.append(&mut reader.problems);
    }
    if problems.is_empty() {
        problems.extend(decisive::check(&scenarios));
        problems.extend(requires::check(document, &scenarios));
    }
    // Plays of one file repeat its mistakes.
    let mut different: Vec<Diagnostic> = Vec::new();
    for problem in problems {
        let same = |other: &Diagnostic| {
            other.code == problem.code
                && other.primary.as_ref().map(|l| &l.location)
                    == problem.primary.as_ref().map(|l| &l.location)
        };
        if !different.iter().any(same) {
            different.push(problem);
        }
    }
    // In the order of the file; those of other files come where they were found.
    let place = |problem: &Diagnostic| {
        let location = problem.primary.as_ref().map(|label| &label.location)?;
        (location.source == *document.source()).then_some(location.span.start)
    };
    different.sort_by_key(place);
    Diagnostics::check(different)?;
    Ok(scenarios)
}

/// The plays of one combination of parameters: one, or one for each order of `permute`.
fn play(
    reader: &mut Reader,
    file: &File,
    expansion: &expand::Expansion,
    options: &Options,
) -> Vec<Scenario> {
    let base = &file.metadata.name;
    let name_path = FieldPath::root().key("metadata").key("name");
    reader.check_label_name(&name_path, base);
    check_covers(reader, file);
    let start = cluster::read(reader, &file.spec.cluster);
    let families = start.families.or(match expansion.family {
        Some(Family::Ipv4) => Some(Families::Ipv4),
        Some(Family::Ipv6) => Some(Families::Ipv6),
        None => options.families,
    });
    let families = families.unwrap_or(Families::Dual);
    check_parameters(reader, file, expansion);
    let frame = Frame {
        options: expansion.options,
        families,
        family: expansion.family.or(match families {
            Families::Ipv4 => Some(Family::Ipv4),
            Families::Ipv6 => Some(Family::Ipv6),
            Families::Dual => None,
        }),
    };
    let catalog = policies::read(reader, &file.spec, frame.family);
    let orders = expand::orders(reader, file);
    let plays = orders.iter().map(|order| {
        let story = step::read(reader, file, &start, &catalog, &frame, *order);
        let labels: Vec<String> = reader
            .parameters
            .iter()
            .map(|(_, value)| value.clone())
            .chain(order.map(|order| format!("order={}", order + 1)))
            .collect();
        Scenario {
            name: if labels.is_empty() {
                base.clone()
            } else {
                format!("{base}[{}]", labels.join(","))
            },
            base: base.clone(),
            parameters: reader.parameters.clone(),
            title: file.metadata.title.clone(),
            description: file.metadata.description.clone(),
            tags: file.metadata.tags.clone(),
            covers: file.metadata.covers.clone(),
            requires: file.spec.requires.clone(),
            expect_failure: story.expect_failure,
            families,
            family: frame.family.filter(|_| families == Families::Dual),
            fabric: expansion.fabric.or(file.spec.cluster.fabric),
            options: expansion.options,
            control: story.control,
            final_control: story.final_control,
            initial_policies: story.initial_policies,
            steps: story.steps,
            world: start.world.clone(),
            location: reader.document.location(&name_path),
        }
    });
    plays.collect()
}

/// Reports numbers of lines that the semantics list does not have.
fn check_covers(reader: &mut Reader, file: &File) {
    let path = FieldPath::root().key("metadata").key("covers");
    for (index, &number) in file.metadata.covers.iter().enumerate() {
        if semantics::line(number).is_none() {
            let message = format!("the semantics list has no line {number}");
            let place = reader.at(&path.index(index));
            reader.report(
                Diagnostic::new("scenario/unknown", message)
                    .at(place, "")
                    .help("`portcullis coverage` prints all lines"),
            );
        }
    }
}

/// Reports `families` and `fabric` of the cluster that a parameter contradicts.
fn check_parameters(reader: &mut Reader, file: &File, expansion: &expand::Expansion) {
    let cluster = &file.spec.cluster;
    let path = FieldPath::root().key("spec").key("cluster");
    let families = matches!(
        (cluster.families, expansion.family),
        (Some(Families::Ipv4), Some(Family::Ipv6)) | (Some(Families::Ipv6), Some(Family::Ipv4))
    );
    let fabric =
        cluster.fabric.is_some() && expansion.fabric.is_some_and(|f| Some(f) != cluster.fabric);
    for (is_wrong, key) in [(families, "families"), (fabric, "fabric")] {
        if is_wrong {
            let problem = Diagnostic::new(
                "scenario/contradiction",
                format!(
                    "`{key}` contradicts forEach: this play has {}",
                    reader.values()
                ),
            )
            .at(reader.at(&path.key(key)), "leave it out");
            reader.report(problem);
        }
    }
}

/// A key that would be a pause is explained.
fn no_sleeps(error: Diagnostic) -> Diagnostic {
    const SLEEPS: [&str; 6] = ["sleep", "wait", "pause", "delay", "timeout", "after"];
    let place = error.primary.as_ref().map(|label| label.location.clone());
    match place {
        Some(place)
            if error.code == "yaml/unknown-field"
                && SLEEPS.iter().any(|it| place.text().starts_with(it)) =>
        {
            Diagnostic::new("scenario/sleep", "there are no pauses in a scenario")
                .at(place, "")
                .help("`within: 5s` in an expectation waits until it is true, and no longer; `for: 1s` looks whether it stays true")
        }
        _ => error,
    }
}

/// What holds for a whole play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The choices of the enforcer that the play makes.
    pub(super) options: OptionsOverlay,
    /// Families pods have addresses of.
    pub(super) families: Families,
    /// The one family that is probed, and that templates mean.
    pub(super) family: Option<Family>,
}

impl Frame {
    /// The families that are probed.
    fn probed(&self) -> Vec<Family> {
        match (self.family, self.families) {
            (Some(family), _) => vec![family],
            (None, _) => vec![Family::Ipv4, Family::Ipv6],
        }
    }

    /// Whether pods have addresses of a family.
    fn has(&self, family: Family) -> bool {
        matches!(
            (self.families, family),
            (Families::Dual, _) | (Families::Ipv4, Family::Ipv4) | (Families::Ipv6, Family::Ipv6)
        )
    }
}

/// One combination of parameters being read, and what is wrong with it.
pub(super) struct Reader {
    /// The file as written.
    original: Document,
    /// The file with its parameters put in; the same paths.
    document: Document,
    /// The parameters that were put in, and their values.
    parameters: Vec<(String, String)>,
    /// Where relative paths start.
    folder: PathBuf,
    /// What is wrong.
    problems: Vec<Diagnostic>,
}

impl Reader {
    /// Where the value at a path is written.
    fn at(&self, path: &FieldPath) -> Location {
        self.document.location(path)
    }

    /// Where the key of a mapping entry is written.
    fn at_key(&self, path: &FieldPath) -> Location {
        self.document.key_location(path)
    }

    /// Where a part of the string at a path is written; the whole string where parameters were put
    /// into it.
    fn in_text(&self, path: &FieldPath, span: Range<usize>) -> Location {
        let location = self.at(path);
        match text_at(&self.document, path) {
            Some(text) if !self.is_filled(path) => {
                place::within(&location, &text, span).unwrap_or(location)
            }
            _ => location,
        }
    }

    /// The path of the text of a value that has a short form: itself, or the entry of its long form
    /// that says the same.
    fn short_or(&self, path: &FieldPath, key: &str) -> FieldPath {
        match text_at(&self.document, path) {
            Some(_) => path.clone(),
            None => path.key(key),
        }
    }

    /// Whether parameters were put into the value at a path.
    fn is_filled(&self, path: &FieldPath) -> bool {
        text_at(&self.document, path) != text_at(&self.original, path)
    }

    fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// A problem with a part of the string at a path.
    fn problem_in(
        &self,
        path: &FieldPath,
        span: Range<usize>,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        let problem = Diagnostic::new(code, message).at(self.in_text(path, span), label);
        if !self.is_filled(path) {
            return problem;
        }
        let text = text_at(&self.document, path).unwrap_or_default();
        problem.note(format!(
            "this is `{}` with {}",
            text.trim_end(),
            self.values()
        ))
    }

    /// The values of the parameters in words.
    fn values(&self) -> String {
        let values: Vec<_> = self
            .parameters
            .iter()
            .map(|(k, v)| format!("{k} = {v}"))
            .collect();
        values.join(", ")
    }

    /// Reports a text that is not in its language.
    fn report_syntax(&mut self, path: &FieldPath, code: &'static str, error: SyntaxError) {
        let mut problem = self.problem_in(path, error.span, code, error.message, "");
        problem.help.extend(error.help);
        self.report(problem);
    }

    /// A name that means nothing, with the nearest that does.
    fn unknown<'a>(
        &self,
        location: Location,
        code: &'static str,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Diagnostic {
        let known: Vec<&str> = known.into_iter().collect();
        let label = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => String::new(),
        };
        let problem = Diagnostic::new(code, message).at(location, label.clone());
        match known.len() {
            0 => problem,
            1..=12 => problem.note(format!("known: {}", known.join(", "))),
            more => problem.note(format!("{more} are known")),
        }
    }

    /// Reports a name that Kubernetes would not take as a DNS label.
    fn check_label_name(&mut self, path: &FieldPath, name: &str) {
        let location = self.at(path);
        self.check_name_at(location, name, 63, false);
    }

    /// Reports a name that the API server would refuse; dots are for names of pods.
    fn check_name_at(&mut self, location: Location, name: &str, longest: usize, dots: bool) {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        let is_name = if dots {
            name.split('.').all(is_part)
        } else {
            is_part(name)
        };
        if !is_name || name.len() > longest {
            let problem = Diagnostic::new(
                "scenario/name",
                format!("`{name}` cannot be the name of a Kubernetes object"),
            )
            .at(location, "")
            .help(format!(
                "names are made of a-z, 0-9 and `-`, begin and end with a letter or digit, and \
                 have at most {longest} characters"
            ));
            self.report(problem);
        }
    }
}

/// The string at a path.
fn text_at(document: &Document, path: &FieldPath) -> Option<String> {
    Some(document.at(path)?.value().as_str()?.to_owned())
}

//! `forEach` and `permute`: one file, several plays.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use enforcer::{
    diagnostic::{Diagnostic, Diagnostics},
    options::{Deny, Established, Unprogrammed},
    yaml::{Document, FieldPath, Segment},
};
use serde_json::Value;

use super::Reader;
use crate::{
    cell::Family,
    scenario::{
        model::OptionsOverlay,
        text::template::{self, Piece, WORDS},
        written::{File, Permute, Scalar, cluster::Fabric},
    },
};

/// More plays of one file than this are a mistake.
const MOST_PLAYS: usize = 200;
/// More policies in one `apply` than this have too many orders.
const MOST_PERMUTED: usize = 4;

/// One combination of the values of `forEach`.
#[derive(Clone, Debug)]
pub(super) struct Expansion {
    /// Parameters in the order of the file.
    pub(super) parameters: Vec<(String, Scalar)>,
    /// The file with the parameters put in.
    pub(super) document: Document,
    /// The value of the parameter `family`.
    pub(super) family: Option<Family>,
    /// The value of the parameter `fabric`.
    pub(super) fabric: Option<Fabric>,
    /// The values of the parameters `established`, `deny` and `unprogrammed`.
    pub(super) options: OptionsOverlay,
}

/// Parameters that choose something by themselves, with the values they can have.
const SPECIAL: [(&str, &[&str]); 5] = [
    ("family", &["ipv4", "ipv6"]),
    ("fabric", &["bridge", "routed"]),
    ("established", Established::NAMES),
    ("deny", Deny::NAMES),
    ("unprogrammed", Unprogrammed::NAMES),
];

/// What stands in the manifest of a repeated policy for its number.
pub(super) const NUMBER: &str = "n";

impl Expansion {
    /// The parameters as they are printed.
    pub(super) fn labels(&self) -> Vec<(String, String)> {
        let labels = self
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()));
        labels.collect()
    }
}

/// Every combination of the parameters of a file; one without parameters if it has none.
pub(super) fn expansions(document: &Document) -> Result<Vec<Expansion>, Diagnostics> {
    let mut problems = Vec::new();
    let parameters = parameters(document, &mut problems)?;
    let used = used_names(document, &parameters, &mut problems);
    let path = for_each_path();
    for (name, _) in &parameters {
        if !used.contains(name) && !SPECIAL.iter().any(|(special, _)| special == name) {
            problems.push(
                Diagnostic::new("scenario/parameter", format!("nothing uses ${{{name}}}"))
                    .at(document.key_location(&path.key(name)), "")
                    .note("every combination of parameters is played, so this would repeat plays"),
            );
        }
    }
    Diagnostics::check(problems)?;
    let mut combinations: Vec<Vec<(String, Scalar)>> = vec![Vec::new()];
    for (name, values) in &parameters {
        combinations = combinations
            .iter()
            .flat_map(|combination| {
                values.iter().map(move |value| {
                    let mut longer = combination.clone();
                    longer.push((name.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    if combinations.len() > MOST_PLAYS {
        return Err(Diagnostic::new(
            "scenario/parameter",
            format!("{} combinations of parameters", combinations.len()),
        )
        .at(
            document.key_location(&path),
            format!("at most {MOST_PLAYS} are played"),
        )
        .into());
    }
    Ok(combinations
        .into_iter()
        .map(|parameters| Expansion {
            document: document.with_value(put_in(document.value(), &parameters)),
            family: special(&parameters, "family").and_then(|name| match name {
                "ipv4" => Some(Family::Ipv4),
                "ipv6" => Some(Family::Ipv6),
                _ => None,
            }),
            fabric: special(&parameters, "fabric").and_then(|name| match name {
                "bridge" => Some(Fabric::Bridge),
                "routed" => Some(Fabric::Routed),
                _ => None,
            }),
            options: OptionsOverlay {
                established: chosen(&parameters, "established"),
                deny: chosen(&parameters, "deny"),
                unprogrammed: chosen(&parameters, "unprogrammed"),
            },
            parameters,
        })
        .collect())
}

fn special<'a>(parameters: &'a [(String, Scalar)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(n, _)| n == name)?.1.0.as_str()
}

/// The choice of the enforcer that a parameter makes.
fn chosen<T: FromStr>(parameters: &[(String, Scalar)], name: &str) -> Option<T> {
    special(parameters, name)?.parse().ok()
}

fn for_each_path() -> FieldPath {
    FieldPath::root().key("spec").key("forEach")
}

/// `forEach`, in the order of the file.
fn parameters(
    document: &Document,
    problems: &mut Vec<Diagnostic>,
) -> Result<Vec<(String, Vec<Scalar>)>, Diagnostics> {
    let path = for_each_path();
    let Some(part) = document.at(&path) else {
        return Ok(Vec::new());
    };
    let mut written = part.decode::<BTreeMap<String, Vec<Scalar>>>()?;
    let mut parameters = Vec::new();
    for name in part.keys(&FieldPath::root()) {
        let values = written.remove(name).unwrap_or_default();
        let key = document.key_location(&path.key(name));
        if !is_parameter_name(name) {
            problems.push(
                Diagnostic::new("scenario/parameter", format!("`{name}` cannot name a parameter"))
                    .at(key.clone(), "")
                    .help("names are made of letters and digits, begin with a letter, and are neither n nor those of address templates"),
            );
        }
        if values.is_empty() {
            problems.push(
                Diagnostic::new("scenario/parameter", format!("`{name}` has no values"))
                    .at(key, "the scenario would not be played at all"),
            );
        }
        for (index, value) in values.iter().enumerate() {
            let location = document.location(&path.key(name).index(index));
            let special = SPECIAL.iter().find(|(special, _)| *special == name);
            let known: &[&str] = special.map_or(&[], |(_, values)| values);
            if !matches!(
                value.0,
                Value::String(_) | Value::Number(_) | Value::Bool(_)
            ) {
                problems.push(
                    Diagnostic::new(
                        "scenario/parameter",
                        "a parameter is a string, a number or true or false",
                    )
                    .at(location, ""),
                );
            } else if !known.is_empty() && !known.contains(&value.to_string().as_str()) {
                problems.push(
                    Diagnostic::new(
                        "scenario/parameter",
                        format!("`{value}` is no value of `{name}`"),
                    )
                    .at(location, format!("expected one of {}", known.join(", "))),
                );
            } else if values[..index].contains(value) {
                problems.push(
                    Diagnostic::new(
                        "scenario/duplicate",
                        format!("`{name}` has the value {value} twice"),
                    )
                    .at(location, ""),
                );
            }
        }
        parameters.push((name.to_owned(), values));
    }
    Ok(parameters)
}

fn is_parameter_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && !template::is_address(name)
        && name != NUMBER
}

/// The parameters that some template of the file names. Reports templates that nobody knows, and
/// those in keys, where nothing is put in.
fn used_names(
    document: &Document,
    parameters: &[(String, Vec<Scalar>)],
    problems: &mut Vec<Diagnostic>,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut visit = |path: &FieldPath, text: &str, is_key: bool| {
        let place = |span| {
            let location = if is_key {
                document.key_location(path)
            } else {
                document.location(path)
            };
            super::place::within(&location, text, span).unwrap_or(location)
        };
        let pieces = match template::split(text) {
            Ok(pieces) => pieces,
            Err(error) => {
                problems.push(
                    Diagnostic::new("scenario/template", error.message.clone())
                        .at(place(error.span), ""),
                );
                return;
            }
        };
        for piece in pieces {
            let Piece::Template(inner, span) = piece else {
                continue;
            };
            if is_key {
                problems.push(
                    Diagnostic::new("scenario/template", "templates are not put into keys")
                        .at(place(span), ""),
                );
            } else if inner == NUMBER && is_repeated(document, path) {
                // Put in where the policy is read.
            } else if parameters.iter().any(|(name, _)| name == inner) {
                used.insert(inner.to_owned());
            } else if !is_in_a_policy(path) {
                let problem = if template::is_address(inner) {
                    Diagnostic::new(
                        "scenario/template",
                        "addresses can only be put into policies",
                    )
                    .help("elsewhere an endpoint is named, as in x/a")
                } else {
                    unknown(inner, parameters)
                };
                problems.push(problem.at(place(span), ""));
            } else if let Err(error) = template::parse(inner) {
                let problem = if template::is_address(inner) {
                    let mut problem = Diagnostic::new("scenario/template", error.message);
                    problem.help.extend(error.help);
                    problem
                } else {
                    unknown(inner, parameters)
                };
                problems.push(problem.at(place(span), ""));
            }
        }
    };
    for part in ["metadata", "spec"] {
        let path = FieldPath::root().key(part);
        if let Some(value) = document.value().get(part) {
            walk(value, &path, &mut visit);
        }
    }
    used
}

/// A template that is neither a parameter nor an address.
fn unknown(inner: &str, parameters: &[(String, Vec<Scalar>)]) -> Diagnostic {
    let problem = Diagnostic::new(
        "scenario/template",
        format!("there is no template `${{{inner}}}`"),
    );
    let stem = inner.split(':').next().unwrap_or_default();
    let words = WORDS.iter().map(|(word, _)| *word);
    let names = parameters.iter().map(|(name, _)| name.as_str());
    match enforcer::diagnostic::nearest(stem, names.chain(words)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(
            "templates are the parameters of forEach, and in policies ip:NAMESPACE/POD, \
             formerip:NAMESPACE/POD, podCIDR, serviceCIDR, hostBits, nodeip:NODE, cidr:node/NODE, \
             ext:NAME, svc:NAMESPACE/NAME (each with 4 or 6 for one family), and n for the number of \
             a repeated policy",
        ),
    }
}

/// Whether address templates belong at this path: in `policies` and in manifests of steps.
fn is_in_a_policy(path: &FieldPath) -> bool {
    let text = path.to_string();
    text.starts_with("spec.policies")
        || (text.starts_with("spec.steps[")
            && (text.contains("].apply[")
                || text.contains("].accept[")
                || text.contains("].store[")
                || text.contains("].refuse[")))
}

/// Whether a path is inside an entry of `policies` that stands for many.
fn is_repeated(document: &Document, path: &FieldPath) -> bool {
    let [
        Segment::Key(spec),
        Segment::Key(policies),
        Segment::Key(entry),
        ..,
    ] = path.segments()
    else {
        return false;
    };
    (spec.as_str(), policies.as_str()) == ("spec", "policies")
        && !document.value()["spec"]["policies"][entry]["repeat"].is_null()
}

fn walk(value: &Value, path: &FieldPath, visit: &mut impl FnMut(&FieldPath, &str, bool)) {
    match value {
        Value::String(text) => visit(path, text, false),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &path.index(index), visit);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = path.key(key);
                if path != for_each_path() {
                    visit(&path, key, true);
                    walk(value, &path, visit);
                }
            }
        }
        _ => {}
    }
}

/// The value with parameters in place of their templates. A string that is nothing but one
/// template becomes the value itself, so that a number stays a number.
pub(super) fn put_in(value: &Value, parameters: &[(String, Scalar)]) -> Value {
    let find = |inner: &str| {
        parameters
            .iter()
            .find(|(name, _)| name == inner)
            .map(|(_, v)| v)
    };
    match value {
        Value::String(text) => {
            let Ok(pieces) = template::split(text) else {
                return value.clone();
            };
            if let [Piece::Template(inner, _)] = pieces[..]
                && let Some(scalar) = find(inner)
            {
                return scalar.0.clone();
            }
            let filled = pieces.iter().map(|piece| match piece {
                Piece::Literal(literal) => (*literal).to_owned(),
                Piece::Template(inner, _) => match find(inner) {
                    Some(scalar) => scalar.to_string(),
                    None => format!("${{{inner}}}"),
                },
            });
            Value::String(filled.collect())
        }
        Value::Array(items) => items.iter().map(|item| put_in(item, parameters)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), put_in(value, parameters)))
            .collect(),
        _ => value.clone(),
    }
}

/// The orders in which the scenario is played: nothing for the order of the file.
pub(super) fn orders(reader: &mut Reader, file: &File) -> Vec<Option<usize>> {
    if file.spec.permute != Some(Permute::Policies) {
        return vec![None];
    }
    let mut most = 1;
    for (index, step) in file.spec.steps.iter().enumerate() {
        let count = step.apply.len();
        most = most.max(count);
        if count > MOST_PERMUTED {
            let path = FieldPath::root()
                .key("spec")
                .key("steps")
                .index(index)
                .key("apply");
            let problem = Diagnostic::new(
                "scenario/permute",
                format!("{count} policies have too many orders"),
            )
            .at(
                reader.at_key(&path),
                format!("at most {MOST_PERMUTED} are permuted"),
            );
            reader.report(problem);
        }
    }
    if most < 2 {
        let path = FieldPath::root().key("spec").key("permute");
        let problem = Diagnostic::new("scenario/permute", "no step applies several policies")
            .at(reader.at_key(&path), "there is nothing to permute");
        reader.report(problem);
        return vec![None];
    }
    (0..factorial(most.min(MOST_PERMUTED))).map(Some).collect()
}

fn factorial(n: usize) -> usize {
    (1..=n).product()
}

/// The `order`-th permutation of `0..count`, counted round; 0 is the order of the file.
pub(super) fn permutation(count: usize, order: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..count).collect();
    let mut code = order % factorial(count);
    let mut permutation = Vec::with_capacity(count);
    for left in (1..=count).rev() {
        let block = factorial(left - 1);
        permutation.push(rest.remove(code / block));
        code %= block;
    }
    permutation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_all_different_and_begin_with_the_order_of_the_file() {
        let all: BTreeSet<_> = (0..6).map(|order| permutation(3, order)).collect();
        assert_eq!(all.len(), 6);
        assert_eq!(permutation(3, 0), [0, 1, 2]);
        assert_eq!(permutation(2, 5), permutation(2, 1));
    }
}

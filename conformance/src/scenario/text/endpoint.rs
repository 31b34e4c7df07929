//! Endpoint selectors: `ns/pod`, `ns/*`, `*/a`, `*`, `ns{app=db}`, `node/n1`, `ext/internet`,
//! `svc/ns/name`, `localhost`.
//!
//! A `*` stands for any run of characters. A selector without one, and without labels, is *exact*:
//! it means one object, and a connection written with two of them is a statement about just that
//! connection.

use std::fmt;

use super::SyntaxError;

/// First words that are no namespaces in selectors.
pub const RESERVED: [&str; 4] = ["ext", "namespace", "node", "svc"];

const FORMS: &str = "write NAMESPACE/POD, NAMESPACE{label=value}, node/NAME, ext/NAME or \
                     svc/NAMESPACE/NAME, with * for any name, or * for every pod";

/// A name in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Whether it can only ever match one name.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.len() >= last.len() && rest.ends_with(last)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which endpoints are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Pods by namespace and name (of the pod, or of the workload that made it); `*` is every pod.
    Pods {
        /// Their namespace.
        namespace: Pattern,
        /// Their name, or their Deployment's.
        name: Pattern,
    },
    /// `ns{app=db}`: pods of a namespace that have all these labels.
    Labelled {
        /// Their namespace.
        namespace: Pattern,
        /// Key and value; never empty.
        labels: Vec<(String, String)>,
    },
    /// `node/n1`.
    Node(Pattern),
    /// `ext/internet`.
    External(Pattern),
    /// `svc/ns/name`.
    Service {
        /// Its namespace.
        namespace: Pattern,
        /// Its name.
        name: Pattern,
    },
    /// `localhost`: whoever the source is, by its loopback address.
    Localhost,
}

impl Selector {
    /// Whether it means one object by its full name.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Pods { namespace, name } | Self::Service { namespace, name } => {
                namespace.is_exact() && name.is_exact()
            }
            Self::Labelled { .. } => false,
            Self::Localhost => true,
            Self::Node(name) | Self::External(name) => name.is_exact(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespace, name } if namespace.0 == "*" && name.0 == "*" => {
                f.write_str("*")
            }
            Self::Pods { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Labelled { namespace, labels } => {
                let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "{namespace}{{{}}}", labels.join(","))
            }
            Self::Node(name) => write!(f, "node/{name}"),
            Self::External(name) => write!(f, "ext/{name}"),
            Self::Service { namespace, name } => write!(f, "svc/{namespace}/{name}"),
            Self::Localhost => f.write_str("localhost"),
        }
    }
}

/// Reads a selector; the text has no blanks around it.
pub fn parse(text: &str) -> Result<Selector, SyntaxError> {
    let all = 0..text.len();
    if text.is_empty() {
        return Err(SyntaxError::new(all, "an endpoint is missing here").help(FORMS));
    }
    if let Some(open) = text.find('{') {
        return labelled(text, open);
    }
    if text == "*" {
        return Ok(Selector::Pods {
            namespace: "*".into(),
            name: "*".into(),
        });
    }
    if text == "localhost" {
        return Ok(Selector::Localhost);
    }
    let parts: Vec<&str> = text.split('/').collect();
    let mut offset = 0;
    for part in &parts {
        name_pattern(part, offset)?;
        offset += part.len() + 1;
    }
    match parts[..] {
        ["node", name] => Ok(Selector::Node(name.into())),
        ["ext", name] => Ok(Selector::External(name.into())),
        ["svc", namespace, name] => Ok(Selector::Service {
            namespace: namespace.into(),
            name: name.into(),
        }),
        ["svc", _] => Err(SyntaxError::new(all, format!("`{text}` names no Service"))
            .help("a Service is written svc/NAMESPACE/NAME")),
        ["namespace", _] => Err(SyntaxError::new(
            all,
            "a namespace cannot open or accept a connection",
        )
        .help(format!("write {}/* for all its pods", &text[10..]))),
        [namespace, name] => Ok(Selector::Pods {
            namespace: namespace.into(),
            name: name.into(),
        }),
        _ => Err(SyntaxError::new(all, format!("`{text}` is not an endpoint")).help(FORMS)),
    }
}

fn labelled(text: &str, open: usize) -> Result<Selector, SyntaxError> {
    let namespace = &text[..open];
    name_pattern(namespace, 0)?;
    let Some(inner) = text[open + 1..].strip_suffix('}') else {
        return Err(SyntaxError::new(
            open..text.len(),
            "the labels do not end with `}`",
        ));
    };
    let mut labels = Vec::new();
    let mut offset = open + 1;
    for label in inner.split(',') {
        let span = super::trimmed(text, offset..offset + label.len());
        let Some((key, value)) = text[span.clone()].split_once('=') else {
            return Err(SyntaxError::new(
                span.start..span.end.max(span.start + 1),
                "a label is written key=value",
            ));
        };
        labels.push((key.trim().to_owned(), value.trim().to_owned()));
        offset += label.len() + 1;
    }
    Ok(Selector::Labelled {
        namespace: namespace.into(),
        labels,
    })
}

/// Whether `text` can be (a pattern of) a name of a namespace, pod, node or Service.
fn name_pattern(text: &str, offset: usize) -> Result<(), SyntaxError> {
    if text.is_empty() {
        return Err(SyntaxError::new(offset..offset + 1, "a name is missing here").help(FORMS));
    }
    match text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*".contains(*c)))
    {
        Some((at, c)) => Err(SyntaxError::new(
            offset + at..offset + at + c.len_utf8(),
            format!("`{c}` cannot be part of a name"),
        )
        .help("names are made of a-z, 0-9, `-` and `.`, with `*` for any run of them")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::pod("x/a", true)]
    #[case::all_pods_of_a_namespace("x/*", false)]
    #[case::a_name_in_every_namespace("*/a", false)]
    #[case::every_pod("*", false)]
    #[case::part_of_a_name("shop/web-*", false)]
    #[case::labels("db{app=db,tier=back}", false)]
    #[case::labels_everywhere("*{app=db}", false)]
    #[case::a_prefixed_label("x{app.kubernetes.io/name=web}", false)]
    #[case::an_empty_label_value("x{flag=}", false)]
    #[case::node("node/n1", true)]
    #[case::nodes("node/*", false)]
    #[case::external("ext/internet", true)]
    #[case::service("svc/x/web", true)]
    #[case::loopback("localhost", true)]
    fn reads_and_prints(#[case] text: &str, #[case] exact: bool) {
        let selector = parse(text).unwrap();
        assert_eq!(selector.to_string(), text);
        assert_eq!(selector.is_exact(), exact);
    }

    #[rstest]
    #[case::nothing("", 0..0, "an endpoint is missing here")]
    #[case::a_bare_word("internet", 0..8, "`internet` is not an endpoint")]
    #[case::three_parts("a/b/c", 0..5, "`a/b/c` is not an endpoint")]
    #[case::no_pod("x/", 2..3, "a name is missing here")]
    #[case::upper_case("x/Web", 2..3, "`W` cannot be part of a name")]
    #[case::underscore("x_y/a", 1..2, "`_` cannot be part of a name")]
    #[case::service_without_namespace("svc/web", 0..7, "`svc/web` names no Service")]
    #[case::namespace("namespace/x", 0..11, "a namespace cannot open or accept a connection")]
    #[case::open_brace("x{app=db", 1..8, "the labels do not end with `}`")]
    #[case::label_without_value("x{app}", 2..5, "a label is written key=value")]
    #[case::no_label("x{}", 2..3, "a label is written key=value")]
    fn refuses(#[case] text: &str, #[case] span: Range<usize>, #[case] message: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (span, message));
    }

    #[rstest]
    #[case("web-*", "web-1", true)]
    #[case("web-*", "web-", true)]
    #[case("web-*", "web", false)]
    #[case("*-1", "web-1", true)]
    #[case("*-1", "web-11", false)]
    #[case("w*b*", "web-1", true)]
    #[case("*", "", true)]
    #[case("aa*aa", "aaa", false)]
    #[case("web", "web", true)]
    #[case("web", "webs", false)]
    fn stars_match_any_run(#[case] pattern: &str, #[case] name: &str, #[case] matches: bool) {
        assert_eq!(Pattern::from(pattern).matches(name), matches);
    }
}

//! Templates: `${name}` for a parameter of `forEach`, `${ip:x/a}` and the like for addresses.
//!
//! Parameters are put in when the file is read, addresses when an object is applied: only then the
//! cluster has them. Every address template takes the family of the scenario; a `4` or `6` after
//! its word chooses one.

use std::{fmt, ops::Range};

use super::SyntaxError;
use crate::cell::Family;

/// The words of address templates, with what they need after a colon.
pub const WORDS: [(&str, Option<&str>); 9] = [
    ("ip", Some("NAMESPACE/POD")),
    ("formerip", Some("NAMESPACE/POD")),
    ("podCIDR", None),
    ("serviceCIDR", None),
    ("hostBits", None),
    ("nodeip", Some("NODE")),
    ("cidr", Some("node/NODE")),
    ("ext", Some("NAME")),
    ("svc", Some("NAMESPACE/NAME")),
];

/// What a template stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// `${ip:x/a}`: the address of a pod.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
    /// `${formerip:x/a}`: the address that a pod of this name had before the one it has.
    FormerPod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
    /// `${podCIDR}`: the range all pods of the cluster lie in.
    PodCidr,
    /// `${serviceCIDR}`: the range all ClusterIPs lie in.
    ServiceCidr,
    /// `${hostBits}`: 32 or 128.
    HostBits,
    /// `${nodeip:n1}`: the address of a node.
    Node(String),
    /// `${cidr:node/n1}`: the range the pods of a node lie in.
    NodePodCidr(String),
    /// `${ext:internet}`: the address of a machine outside the cluster.
    External(String),
    /// `${svc:x/web}`: the ClusterIP of a Service.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
    },
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "the address of {namespace}/{name}"),
            Self::FormerPod { namespace, name } => {
                write!(f, "the former address of {namespace}/{name}")
            }
            Self::PodCidr => f.write_str("the pod range of the cluster"),
            Self::ServiceCidr => f.write_str("the Service range of the cluster"),
            Self::HostBits => f.write_str("the prefix length of one address"),
            Self::Node(name) => write!(f, "the address of node {name}"),
            Self::NodePodCidr(name) => write!(f, "the pod range of node {name}"),
            Self::External(name) => write!(f, "the address of ext/{name}"),
            Self::Service { namespace, name } => write!(f, "the ClusterIP of {namespace}/{name}"),
        }
    }
}

/// An address template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it stands for.
    pub wanted: Wanted,
    /// The family its word chooses; else the scenario's.
    pub family: Option<Family>,
}

/// A piece of a text with templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Taken as it is.
    Literal(&'a str),
    /// What stands between `${` and `}`, and where (braces included).
    Template(&'a str, Range<usize>),
}

/// Cuts a text into literals and templates.
pub fn split(text: &str) -> Result<Vec<Piece<'_>>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        if at > from {
            pieces.push(Piece::Literal(&text[from..at]));
        }
        let Some(end) = text[at..].find('}').map(|end| at + end) else {
            return Err(SyntaxError::new(
                at..text.len(),
                "the template does not end with `}`",
            ));
        };
        pieces.push(Piece::Template(&text[at + 2..end], at..end + 1));
        from = end + 1;
    }
    if from < text.len() {
        pieces.push(Piece::Literal(&text[from..]));
    }
    Ok(pieces)
}

/// Whether a template begins with the word of an address template, complete or not.
pub fn is_address(inner: &str) -> bool {
    let (stem, _) = stem(inner);
    WORDS.iter().any(|(word, _)| *word == stem)
}

/// The word of a template without the family at its end, and that family.
fn stem(inner: &str) -> (&str, Option<Family>) {
    let word = inner.split(':').next().unwrap_or_default();
    let families = [('4', Family::Ipv4), ('6', Family::Ipv6)];
    let found = families
        .into_iter()
        .find_map(|(digit, family)| Some((word.strip_suffix(digit)?, Some(family))));
    found.unwrap_or((word, None))
}

/// Reads what stands between `${` and `}` of an address template. The span of an error is that of
/// `inner`.
pub fn parse(inner: &str) -> Result<Template, SyntaxError> {
    let all = 0..inner.len();
    let (word, argument) = match inner.split_once(':') {
        Some((word, argument)) => (word, Some(argument)),
        None => (inner, None),
    };
    let (stem, family) = stem(inner);
    let Some((_, needs)) = WORDS.iter().find(|(w, _)| *w == stem) else {
        let words: Vec<_> = WORDS.iter().map(|(w, _)| *w).collect();
        let error = SyntaxError::new(all, format!("there is no template `${{{inner}}}`"));
        return Err(match enforcer::diagnostic::nearest(stem, words) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(
                "templates are ip:NAMESPACE/POD, formerip:NAMESPACE/POD, podCIDR, serviceCIDR, hostBits, nodeip:NODE, \
                 cidr:node/NODE, ext:NAME, svc:NAMESPACE/NAME (each with 4 or 6 for a family), \
                 and the parameters of forEach",
            ),
        });
    };
    let form = |what: &str| {
        SyntaxError::new(0..inner.len(), format!("`${{{inner}}}` is not complete"))
            .help(format!("write ${{{word}:{what}}}"))
    };
    let wanted = match (stem, needs, argument) {
        (_, None, Some(_)) => {
            return Err(
                SyntaxError::new(all, format!("`{word}` takes nothing after a colon"))
                    .help(format!("write ${{{word}}}")),
            );
        }
        (_, Some(what), None | Some("")) => return Err(form(what)),
        ("podCIDR", ..) => Wanted::PodCidr,
        ("serviceCIDR", ..) => Wanted::ServiceCidr,
        ("hostBits", ..) => Wanted::HostBits,
        ("nodeip", _, Some(name)) => Wanted::Node(name.to_owned()),
        ("ext", _, Some(name)) => Wanted::External(name.to_owned()),
        ("cidr", Some(what), Some(name)) => match name.strip_prefix("node/") {
            Some(name) if !name.is_empty() => Wanted::NodePodCidr(name.to_owned()),
            _ => return Err(form(what)),
        },
        (_, Some(what), Some(argument)) => match argument.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                match stem {
                    "svc" => Wanted::Service { namespace, name },
                    "formerip" => Wanted::FormerPod { namespace, name },
                    _ => Wanted::Pod { namespace, name },
                }
            }
            _ => return Err(form(what)),
        },
        (_, None, None) => return Err(SyntaxError::new(all, "this template is not known")),
    };
    Ok(Template { wanted, family })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ip:x/a", "the address of x/a", None)]
    #[case("ip4:x/a", "the address of x/a", Some(Family::Ipv4))]
    #[case("ip6:x/a", "the address of x/a", Some(Family::Ipv6))]
    #[case("formerip6:x/a", "the former address of x/a", Some(Family::Ipv6))]
    #[case("podCIDR", "the pod range of the cluster", None)]
    #[case("podCIDR6", "the pod range of the cluster", Some(Family::Ipv6))]
    #[case("serviceCIDR", "the Service range of the cluster", None)]
    #[case("hostBits", "the prefix length of one address", None)]
    #[case("nodeip:n1", "the address of node n1", None)]
    #[case("cidr:node/n1", "the pod range of node n1", None)]
    #[case("ext:internet", "the address of ext/internet", None)]
    #[case("svc4:x/web", "the ClusterIP of x/web", Some(Family::Ipv4))]
    fn reads(#[case] inner: &str, #[case] wanted: &str, #[case] family: Option<Family>) {
        let template = parse(inner).unwrap();
        assert_eq!(
            (template.wanted.to_string().as_str(), template.family),
            (wanted, family)
        );
    }

    #[rstest]
    #[case("ipp:x/a", "there is no template `${ipp:x/a}`", "did you mean `ip`?")]
    #[case(
        "podcidr",
        "there is no template `${podcidr}`",
        "did you mean `podCIDR`?"
    )]
    #[case("ip", "`${ip}` is not complete", "write ${ip:NAMESPACE/POD}")]
    #[case("ip:a", "`${ip:a}` is not complete", "write ${ip:NAMESPACE/POD}")]
    #[case("cidr:n1", "`${cidr:n1}` is not complete", "write ${cidr:node/NODE}")]
    #[case(
        "podCIDR:x",
        "`podCIDR` takes nothing after a colon",
        "write ${podCIDR}"
    )]
    fn refuses(#[case] inner: &str, #[case] message: &str, #[case] help: &str) {
        let error = parse(inner).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.help.as_deref()),
            (message, Some(help))
        );
    }

    #[test]
    fn cuts_texts() {
        assert_eq!(
            split("${ip:x/a}/${hostBits}").unwrap(),
            [
                Piece::Template("ip:x/a", 0..9),
                Piece::Literal("/"),
                Piece::Template("hostBits", 10..21),
            ]
        );
        assert_eq!(split("plain $5").unwrap(), [Piece::Literal("plain $5")]);
        assert_eq!(split("a${b").unwrap_err().span, 1..4);
    }
}

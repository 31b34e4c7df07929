//! `expect`: who reaches whom.

use std::{fmt, str::FromStr};

use enforcer::options::{Deny, Established, NotAChoice, Unprogrammed};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::short::{OneOrMany, Short};
use crate::{cell::Family, scenario::text::duration::WrittenDuration};

/// Who reaches whom. Of two entries about one connection the narrower one holds, wherever it
/// stands; two entries of which neither is narrower must agree.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Expect {
    /// What holds for every connection that nothing else speaks of: from every pod to every pod,
    /// on every port it listens on. Needed unless there is a matrix.
    pub(crate) default: Option<Default_>,
    /// Flows that pass.
    #[serde(default)]
    pub(crate) allow: OneOrMany<String>,
    /// Flows that are denied the way the enforcer denies: silently, or with a reset or an ICMP error
    /// where it rejects. Somebody must listen, or a step before must say that it is `refused`.
    #[serde(default)]
    pub(crate) deny: OneOrMany<String>,
    /// Flows that the destination itself refuses, because nobody listens.
    #[serde(default)]
    pub(crate) refused: OneOrMany<String>,
    /// Flows for which the network says that there is no way.
    #[serde(default)]
    pub(crate) unreachable: OneOrMany<String>,
    /// Flows that are probed and may come out any way.
    #[serde(default)]
    pub(crate) either: OneOrMany<String>,
    /// Tables with sources as rows and destinations as columns: `.` allowed, `X` denied,
    /// `R` refused, `-` not probed, `?` either. The corner names a port, or is `*` for every one.
    pub(crate) matrix: Option<String>,
    /// The only ports this is about, as in 80/tcp, 80, udp or a name.
    #[serde(default)]
    pub(crate) ports: Vec<PortText>,
    /// The only family this is about.
    pub(crate) family: Option<Family>,
    /// How long it may take to become true; the back end's own bound if this is left out.
    pub(crate) within: Option<WrittenDuration>,
    /// How long it must stay true once it is.
    pub(crate) r#for: Option<WrittenDuration>,
    /// Which policies decide.
    #[serde(default)]
    pub(crate) because: OneOrMany<Because>,
    /// Which source address the server sees.
    #[serde(default)]
    pub(crate) source_seen: OneOrMany<SourceSeen>,
    /// Which pods answer for a Service.
    #[serde(default)]
    pub(crate) served_by: OneOrMany<ServedBy>,
    /// What must not happen once to background traffic, from before the first change of the step
    /// until after its last look.
    pub(crate) never: Option<Never>,
    /// The port that all probes come from.
    #[schemars(range(min = 1))]
    pub(crate) source_port: Option<u16>,
    /// How many bytes each probe sends: over UDP as one datagram, over TCP as a stream that must
    /// arrive whole.
    #[schemars(range(min = 1))]
    pub(crate) payload: Option<usize>,
    /// Only where the enforcer has made this choice.
    pub(crate) when: Option<When>,
}

/// What must not happen to background traffic.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Never {
    /// Traffic of which not one connection may pass, by the names that `start` gave.
    #[serde(default)]
    pub(crate) allow: OneOrMany<String>,
    /// Traffic of which not one connection may be denied.
    #[serde(default)]
    pub(crate) deny: OneOrMany<String>,
}

/// What holds for every connection that nothing else speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Default")]
pub(crate) enum Default_ {
    /// It passes.
    Allow,
    /// It is dropped; except between a pod and itself, and between a node and its own pods.
    Deny,
    /// It is not probed.
    Unprobed,
}

impl Short for Expect {
    const EXPECTED: &'static str = "allow, deny, or a mapping with default, allow, deny and so on";
    const SHORT: &'static str = "allow or deny: what holds for every connection.";

    fn from_text(text: &str) -> Result<Self, String> {
        let default = match text {
            "allow" => Default_::Allow,
            "deny" => Default_::Deny,
            _ => return Err(format!("`{text}` is not allow or deny")),
        };
        Ok(Self {
            default: Some(default),
            ..Self::default()
        })
    }

    fn short_schema() -> schemars::Schema {
        schemars::json_schema!({ "enum": ["allow", "deny"], "description": Self::SHORT })
    }
}

/// A port as it stands in a flow; a plain number is a number in YAML.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PortText(pub(crate) String);

impl<'de> Deserialize<'de> for PortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = PortText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 80/tcp, 80, udp or a name")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PortText, E> {
                Ok(PortText(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<PortText, E> {
                Ok(PortText(number.to_string()))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for PortText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "80/tcp, 80, udp, icmp or the name of a port.",
            "type": ["string", "integer"],
        })
    }
}

/// Which policies decide about a connection.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Because {
    /// The connections.
    pub(crate) flow: String,
    /// All policies that isolate the side that denies, as `namespace/name`.
    #[serde(default)]
    pub(crate) isolated_by: Vec<String>,
    /// Policies that allow it, as `namespace/name`, or their rules, as in
    /// `x/allow spec.ingress[0].from[1]`. All are needed; there may be more.
    #[serde(default)]
    pub(crate) allowed_by: Vec<String>,
    /// The rule that comes nearest to allowing it, though it does not.
    pub(crate) nearest: Option<String>,
}

/// Which source address a server sees.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SourceSeen {
    /// The connections.
    pub(crate) flow: String,
    /// Whose address it is: an endpoint such as `x/a` or `node/n1`, or `node/*` for any node.
    pub(crate) r#as: String,
}

/// Which pods answer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServedBy {
    /// The connections.
    pub(crate) flow: String,
    /// The endpoints that may answer, as in `x/a` or `x/*`.
    #[schemars(length(min = 1))]
    pub(crate) by: OneOrMany<String>,
}

/// Choices that the specification leaves to the enforcer; all that are named must be so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct When {
    /// What happens to an accepted connection that a new policy no longer allows: it goes on, or it
    /// is cut.
    pub(crate) established: Option<Choice<Established>>,
    /// How a connection is denied: silently, or with a reset or an ICMP error.
    pub(crate) deny: Option<Choice<Deny>>,
    /// What happens to traffic of a pod before its rules are in force: it is held, or it passes.
    pub(crate) unprogrammed: Option<Choice<Unprogrammed>>,
}

/// A value of one of the enforcer's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice<T>(pub(crate) T);

impl<'de, T: FromStr<Err = NotAChoice>> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error: NotAChoice| {
            let expected = error.expected.join(" or ");
            D::Error::custom(format!("`{}` is not {expected}", error.found))
        })
    }
}

/// The words of a choice, for the schema.
trait Words {
    const WORDS: &'static [&'static str];
}

impl Words for Established {
    const WORDS: &'static [&'static str] = Self::NAMES;
}

impl Words for Deny {
    const WORDS: &'static [&'static str] = Self::NAMES;
}

impl Words for Unprogrammed {
    const WORDS: &'static [&'static str] = Self::NAMES;
}

impl<T: Words> JsonSchema for Choice<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::WORDS.join("-or-").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": T::WORDS })
    }
}

//! The choices of the enforcer, on command lines.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use enforcer::options::{Deny, Established, Options, Unprogrammed};

/// What the enforcers do where the specification leaves it open.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Choices of the enforcer, where the scenario makes none")]
pub(super) struct Choices {
    /// Whether accepted connections go on when a policy no longer allows them.
    #[arg(long, value_name = "CHOICE", value_parser = established(), default_value_t, env = "PORTCULLIS_ESTABLISHED")]
    established: Established,
    /// Whether addresses of the node's pod range wait until their pod is programmed.
    #[arg(long, value_name = "CHOICE", value_parser = unprogrammed(), default_value_t, env = "PORTCULLIS_UNPROGRAMMED")]
    unprogrammed: Unprogrammed,
    /// How a connection is denied.
    #[arg(long, value_name = "CHOICE", value_parser = deny(), default_value_t, env = "PORTCULLIS_DENY")]
    deny: Deny,
}

impl Choices {
    /// As the enforcer takes them.
    pub(super) fn options(self) -> Options {
        Options {
            established: self.established,
            unprogrammed: self.unprogrammed,
            deny: self.deny,
        }
    }

    /// As another command line of ours takes them.
    pub(super) fn arguments(self) -> [String; 3] {
        [
            format!("--established={}", self.established),
            format!("--unprogrammed={}", self.unprogrammed),
            format!("--deny={}", self.deny),
        ]
    }
}

fn established() -> impl TypedValueParser<Value = Established> {
    PossibleValuesParser::new(Established::NAMES).try_map(|name| name.parse::<Established>())
}

fn unprogrammed() -> impl TypedValueParser<Value = Unprogrammed> {
    PossibleValuesParser::new(Unprogrammed::NAMES).try_map(|name| name.parse::<Unprogrammed>())
}

fn deny() -> impl TypedValueParser<Value = Deny> {
    PossibleValuesParser::new(Deny::NAMES).try_map(|name| name.parse::<Deny>())
}

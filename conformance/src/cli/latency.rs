//! `portcullis latency`.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::Context;

use super::{Failure, choices::Choices, enter_sandbox, paint_of_stdout, print};
use crate::{
    backend::sim::{DataplaneKind, missing_for, usual_fabric},
    cell::Family,
    latency::{self, Settings},
    report::Exit,
    scenario::Fabric,
};

/// Back to the first column, and delete the line.
const CLEAR: &str = "\r\x1b[2K";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each change is made in a simulated cluster while new connections are begun all the time. A delay is
from handing the object to the agents until the last connection was begun that came out as before.
Other connections, which no change is about, must come out the same way all the time, also while
agents are restarted, killed, refused by their kernel and cut off from the API server.

Exit code 1 if one of those was dropped or leaked.

Examples:
  portcullis latency                              a small cluster, half a minute
  portcullis latency --pods 10000 --policies 1000 --rounds 200
  portcullis latency --json > latency.json")]
pub(super) struct Arguments {
    /// How often each change is made.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many pods the cluster has. Those that no connection is about exist in the API alone.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = number(1_000_000))]
    pods: u64,
    /// How many policies the cluster has besides those that change.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = number(100_000))]
    policies: u64,
    /// Between two connections, from 200us to 100ms: the resolution.
    #[arg(long, default_value = "500us", value_name = "TIME", value_parser = interval)]
    every: Duration,
    /// How pods hang on their node. [default: bridge, or routed where the kernel has no br_netfilter]
    #[arg(long, env = "PORTCULLIS_TEST_FABRIC")]
    fabric: Option<FabricChoice>,
    /// Over which addresses connections go.
    #[arg(long, default_value = "ipv4")]
    family: FamilyChoice,
    /// How rules reach the kernel.
    #[arg(long, default_value = "netlink", env = "PORTCULLIS_TEST_DATAPLANE")]
    dataplane: DataplaneKind,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choices: Choices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FabricChoice {
    /// Ports of one bridge per node.
    Bridge,
    /// A route per pod.
    Routed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FamilyChoice {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

fn number(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=most)
}

fn interval(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let micros = number.parse::<u64>().ok().and_then(|number| match unit {
        "us" => Some(number),
        "ms" => number.checked_mul(1_000),
        _ => None,
    });
    match micros {
        Some(micros @ 200..=100_000) => Ok(Duration::from_micros(micros)),
        Some(_) => Err("it is from 200us to 100ms".to_owned()),
        None => Err("a whole number with us or ms, as in 500us".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let fabric = match arguments.fabric {
        None => usual_fabric(),
        Some(FabricChoice::Bridge) => Fabric::Bridge,
        Some(FabricChoice::Routed) => Fabric::Routed,
    };
    let _sandbox = enter_sandbox()?;
    if let Some(missing) = missing_for(fabric) {
        return Err(Failure::Environment(anyhow::anyhow!(missing)));
    }
    let settings = Settings {
        rounds: arguments.rounds,
        every: arguments.every,
        pods: usize::try_from(arguments.pods).unwrap_or(usize::MAX),
        policies: usize::try_from(arguments.policies).unwrap_or(usize::MAX),
        fabric,
        family: match arguments.family {
            FamilyChoice::Ipv4 => Family::Ipv4,
            FamilyChoice::Ipv6 => Family::Ipv6,
        },
        dataplane: arguments.dataplane,
        options: arguments.choices.options(),
    };
    let is_live = io::stderr().is_terminal();
    // Nobody is told if the terminal is gone.
    let show = |text: &str| drop(write!(io::stderr(), "{CLEAR}{text}"));
    let measured = latency::measure(&settings, &mut |doing| {
        if is_live {
            show(doing);
        }
    });
    if is_live {
        show("");
    }
    let report = measured
        .map_err(anyhow::Error::from)
        .context("failed to measure")?;
    print(&if arguments.json {
        let text = serde_json::to_string_pretty(&report)
            .expect("the model has only string keys and serialisable values");
        text + "\n"
    } else {
        report.render(paint_of_stdout())
    });
    Ok(if report.is_good() {
        Exit::Yes
    } else {
        Exit::No
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("500us", Some(500))]
    #[case("200us", Some(200))]
    #[case("100ms", Some(100_000))]
    #[case("199us", None)]
    #[case("101ms", None)]
    #[case("1s", None)]
    #[case("500", None)]
    #[case("us", None)]
    #[case("", None)]
    fn an_interval_is_a_number_with_a_unit(#[case] text: &str, #[case] micros: Option<u64>) {
        assert_eq!(interval(text).ok(), micros.map(Duration::from_micros));
    }
}

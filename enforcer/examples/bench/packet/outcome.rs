//! What is made of the turns: rates, ratios, a table, figures, the plot.

use netsim::Fabric;

use super::{contender::Contender, exchange::Batch, shape::Shape};
use crate::{
    plot::{Line, Plot, Scale},
    report::{Report, Table, or_dash, time},
    sample::{Sample, number},
};

/// What was measured of one contender, a value for each turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    pub(super) connections: Vec<Batch>,
    pub(super) requests: Vec<Batch>,
    /// Bytes a second over one stream, and over many.
    pub(super) one_stream: Vec<f64>,
    pub(super) many_streams: Vec<f64>,
}

pub(super) type Results = Vec<(Contender, Turns)>;

/// A rate in each turn.
fn rates(turns: &Turns) -> [(&'static str, &'static str, Vec<f64>); 4] {
    let rates = |batches: &[Batch]| batches.iter().map(Batch::rate).collect();
    let in_gigabits = |bytes: &[f64]| bytes.iter().map(|b| b * 8.0 / 1e9).collect();
    [
        ("tcp", "1/s", rates(&turns.connections)),
        ("udp", "1/s", rates(&turns.requests)),
        ("stream", "Gbit/s", in_gigabits(&turns.one_stream)),
        ("streams", "Gbit/s", in_gigabits(&turns.many_streams)),
    ]
}

/// Of new TCP connections, in milliseconds.
fn latencies(turns: &Turns) -> Sample {
    let each = turns.connections.iter().flat_map(|batch| &batch.latencies);
    each.collect()
}

pub(super) fn tell(fabric: Fabric, shape: Shape, results: &Results, report: &mut Report) {
    let fabric = word(fabric);
    let mut table = Table::new(
        format!("{shape}, {fabric} fabric"),
        &[
            "",
            "TCP new/s",
            "ratio",
            "p50",
            "p90",
            "p99",
            "UDP new/s",
            "ratio",
            "1 stream",
            "ratio",
            "64 streams",
            "ratio",
        ],
    );
    let Some((_, measure)) = results.iter().find(|(c, _)| *c == Contender::Shortcut) else {
        return;
    };
    let (measure, least) = (rates(measure), latencies(measure));
    for (contender, turns) in results {
        let mut row = vec![contender.title().to_owned()];
        let name = format!("packet.{fabric}.{}.{}", shape.name(), contender.name());
        for ((what, unit, rates), (_, _, measure)) in rates(turns).into_iter().zip(&measure) {
            let ratio: Sample = rates
                .iter()
                .zip(measure)
                .map(|(rate, one)| rate / one)
                .collect();
            let rate: Sample = rates.into_iter().collect();
            row.push(or_dash(rate.median(), |rate| match unit {
                "1/s" => format!("{rate:.0}"),
                _ => format!("{rate:.1} {unit}"),
            }));
            row.push(or_dash(ratio.median(), |median| {
                let (low, high) = ratio.quartiles().unwrap_or((median, median));
                format!("{median:.3} [{low:.2} {high:.2}]")
            }));
            report.figure_if(format!("{name}.{what}"), rate.median(), unit);
            report.figure_if(format!("{name}.{what}.ratio"), ratio.median(), "");
            if what == "tcp" {
                let latencies = latencies(turns);
                let ratio = least
                    .median()
                    .zip(latencies.median())
                    .map(|(one, it)| one / it);
                report.figure_if(format!("{name}.latency.ratio"), ratio, "");
                for percent in [50, 90, 99] {
                    let latency = latencies.percentile(percent);
                    row.push(or_dash(latency, time));
                    let in_micros = latency.map(|latency| latency * 1_000.0);
                    report.figure_if(format!("{name}.latency.p{percent}"), in_micros, "us");
                }
            }
        }
        table.row(row);
    }
    report.table(&table);
}

pub(super) fn plot(fabric: Fabric, measured: &[(Shape, Results)]) -> Plot {
    let line = |contender: Contender| Line {
        name: contender.title().to_owned(),
        points: measured
            .iter()
            .filter(|(shape, _)| shape.is_plain() && shape.policies > 0)
            .filter_map(|(shape, results)| {
                let (_, turns) = results.iter().find(|(c, _)| *c == contender)?;
                let rate: Sample = turns.connections.iter().map(Batch::rate).collect();
                Some((number(shape.policies), rate.median()?))
            })
            .collect(),
    };
    Plot {
        title: "New TCP connections a second, against policies".into(),
        x: (
            format!("policies that select the pod ({} fabric)", word(fabric)),
            Scale::Logarithmic,
        ),
        y: ("connections/s".into(), Scale::Linear),
        lines: [
            Contender::Portcullis,
            Contender::Iptables,
            Contender::Nft,
            Contender::Queue,
            Contender::Nothing,
            Contender::Shortcut,
        ]
        .map(line)
        .into(),
    }
}

pub(super) fn word(fabric: Fabric) -> &'static str {
    match fabric {
        Fabric::Bridge => "bridge",
        Fabric::Routed => "routed",
    }
}

//! Figures, for people and programs.

use std::{fmt::Write, time::Duration};

use serde::{Serialize, Serializer};

use crate::paint::{Ink, Paint};

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where.
    pub settings: Settings,
    /// How long each change took to reach the packets.
    pub transitions: Vec<Transition>,
    /// The connections that none of these changes is about, meanwhile.
    pub meanwhile: Steady,
    /// The same connections while agents were in trouble.
    pub troubles: Vec<Trouble>,
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// How often each change was made.
    pub rounds: u32,
    /// Between two connections, in milliseconds: a figure may be so much larger in truth.
    #[serde(rename = "resolutionMs", serialize_with = "milliseconds")]
    pub every: Duration,
    /// Pods in the cluster.
    pub pods: usize,
    /// Policies in the cluster, without those that change.
    pub policies: usize,
    /// How pods hang on their node.
    pub fabric: String,
    /// Over which addresses connections went.
    pub family: String,
    /// Whether addresses of pods that are not programmed yet are held.
    #[serde(skip)]
    is_hold: bool,
}

/// How long a change took to reach the packets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// What was changed.
    pub change: String,
    /// Until the last connection that passed and should not have; nothing if the change forbids none.
    #[serde(rename = "wronglyAllowedMs")]
    pub wrongly_allowed: Option<Delays>,
    /// Until the last connection that did not pass and should have; nothing if the change permits none.
    #[serde(rename = "wronglyDeniedMs")]
    pub wrongly_denied: Option<Delays>,
}

/// From a change until the last wrong connection after it was begun, once a round; 0 if there was
/// none.
#[derive(Clone, Debug, Default)]
pub struct Delays(Vec<Duration>);

/// Connections that must come out the same way all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Steady {
    /// How many had to pass.
    pub to_pass: usize,
    /// How many of these did not.
    pub dropped: usize,
    /// How many had to be denied.
    pub to_deny: usize,
    /// How many of these passed.
    pub leaked: usize,
}

/// What became of connections while agents were in trouble.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What happened to the agents.
    pub what: String,
    /// How often.
    pub rounds: u32,
    /// The connections.
    #[serde(flatten)]
    pub seen: Steady,
}

impl Settings {
    pub(super) fn of(settings: &super::Settings, pods: usize) -> Self {
        Self {
            rounds: settings.rounds,
            every: settings.every,
            pods,
            policies: settings.policies,
            fabric: format!("{:?}", settings.fabric).to_lowercase(),
            family: settings.family.to_string(),
            is_hold: settings.options.unprogrammed == enforcer::options::Unprogrammed::Hold,
        }
    }
}

impl Steady {
    /// Whether all came out as they must.
    pub fn is_good(&self) -> bool {
        self.dropped == 0 && self.leaked == 0
    }
}

impl Delays {
    /// Counts one in.
    pub fn add(&mut self, delay: Duration) {
        let at = self.0.partition_point(|one| *one <= delay);
        self.0.insert(at, delay);
    }

    /// The delay that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn most(&self) -> Duration {
        self.percentile(100)
    }
}

impl Serialize for Delays {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(3))?;
        for (name, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
            map.serialize_entry(name, &as_milliseconds(self.percentile(percent)))?;
        }
        map.end()
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(as_milliseconds(*duration))
}

/// Three digits after the point are more than there is to know.
fn as_milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    /// Whether no connection was dropped or leaked that no change was about, and no new pod was open
    /// before its rules were there, if that is what the enforcers promise.
    pub fn is_good(&self) -> bool {
        let troubles = self.troubles.iter().map(|trouble| &trouble.seen);
        let mut steady = troubles.chain([&self.meanwhile]);
        steady.all(Steady::is_good) && self.open_pods().is_none()
    }

    /// How long a new pod was open before its rules were there, though it must not be.
    fn open_pods(&self) -> Option<Duration> {
        let mut transitions = self.transitions.iter();
        let created = transitions.find(|it| it.change == "pod created")?;
        let most = created.wrongly_allowed.as_ref()?.most();
        (self.settings.is_hold && !most.is_zero()).then_some(most)
    }

    /// As a table.
    pub fn render(&self, paint: Paint) -> String {
        let mut text = self.heading();
        text += &self.transitions(paint);
        text += "\n";
        text += &self.steady(paint);
        if let Some(open) = self.open_pods() {
            let line = format!(
                "A new pod was open for {} before its rules were there.\n",
                shown(open)
            );
            text += &paint.ink(Ink::Bad, &line);
        }
        text
    }

    fn heading(&self) -> String {
        let Settings {
            rounds,
            pods,
            policies,
            fabric,
            family,
            ..
        } = &self.settings;
        let times = if *rounds == 1 { "round" } else { "rounds" };
        format!(
            "{pods} pods and {policies} policies on the {fabric} fabric, over {family}; {rounds} {times}.\n\
             A new connection every {}: a delay may be so much longer in truth.\n\n",
            shown(self.settings.every)
        )
    }

    fn transitions(&self, paint: Paint) -> String {
        let mut text = String::new();
        let heading = format!(
            "{:<36}{:>27}{:>27}\n{:<36}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
            "From the change until",
            "the last wrongly allowed",
            "the last wrongly denied",
            "connection was begun",
            "p50",
            "p99",
            "max",
            "p50",
            "p99",
            "max"
        );
        text += &paint.ink(Ink::Strong, &heading);
        for transition in &self.transitions {
            let _infallible = write!(text, "{:<36}", transition.change);
            for delays in [&transition.wrongly_allowed, &transition.wrongly_denied] {
                for percent in [50, 99, 100] {
                    let figure = delays.as_ref().map(|delays| delays.percentile(percent));
                    let figure = figure.map_or("-".into(), |delay| self.figure(delay));
                    let _infallible = write!(text, "{figure:>9}");
                }
            }
            text.push('\n');
        }
        text
    }

    /// Nothing is shown as shorter than what can be told apart.
    fn figure(&self, delay: Duration) -> String {
        match delay.is_zero() {
            true => "none".to_owned(),
            false => shown(delay),
        }
    }

    fn steady(&self, paint: Paint) -> String {
        let heading = format!(
            "{:<36}{:>11}{:>10}{:>17}{:>9}\n",
            "Connections that", "must pass", "dropped", "must be denied", "leaked"
        );
        let mut text = paint.ink(Ink::Strong, &heading);
        let troubles = self.troubles.iter().map(|trouble| {
            let what = format!("{} ({}x)", trouble.what, trouble.rounds);
            (what, trouble.seen)
        });
        let meanwhile = [("during the changes above".to_owned(), self.meanwhile)];
        for (what, seen) in meanwhile.into_iter().chain(troubles) {
            let line = format!(
                "{what:<36}{:>11}{:>10}{:>17}{:>9}",
                seen.to_pass, seen.dropped, seen.to_deny, seen.leaked
            );
            let ink = if seen.is_good() { None } else { Some(Ink::Bad) };
            text += &ink.map_or(line.clone(), |ink| paint.ink(ink, &line));
            text.push('\n');
        }
        text
    }
}

fn shown(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.2} ms"),
        10.0..100.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{milliseconds:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(micros: impl IntoIterator<Item = u64>) -> Delays {
        let mut delays = Delays::default();
        micros
            .into_iter()
            .for_each(|one| delays.add(Duration::from_micros(one)));
        delays
    }

    fn report(leaked: usize, open: u64) -> Report {
        let seen = Steady {
            to_pass: 4_000,
            dropped: 0,
            to_deny: 2_000,
            leaked,
        };
        let transition =
            |change: &str, allowed: Option<Delays>, denied: Option<Delays>| Transition {
                change: change.to_owned(),
                wrongly_allowed: allowed,
                wrongly_denied: denied,
            };
        Report {
            settings: Settings {
                rounds: 100,
                every: Duration::from_micros(500),
                pods: 1_000,
                policies: 50,
                fabric: "bridge".to_owned(),
                family: "IPv4".to_owned(),
                is_hold: true,
            },
            transitions: vec![
                transition(
                    "policy created",
                    Some(delays((1..=100).map(|one| one * 100))),
                    None,
                ),
                transition("policy deleted", None, Some(delays([12_345; 3]))),
                transition(
                    "pod created",
                    Some(delays([open])),
                    Some(delays([1_234_567])),
                ),
            ],
            meanwhile: seen,
            troubles: vec![Trouble {
                what: "agents restarted".to_owned(),
                rounds: 10,
                seen: Steady { leaked: 0, ..seen },
            }],
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_delays() {
        let delays = delays((1..=200).rev());
        let micros = |percent| delays.percentile(percent).as_micros();
        assert_eq!((micros(50), micros(99), micros(100)), (100, 198, 200));
        assert_eq!(Delays::default().percentile(50), Duration::ZERO);
    }

    #[test]
    fn people_read_a_table() {
        insta::assert_snapshot!(report(0, 0).render(Paint::Plain));
    }

    #[test]
    fn what_must_not_be_is_said() {
        insta::assert_snapshot!(report(2, 300).render(Paint::Plain));
    }

    #[test]
    fn programs_read_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report(0, 0)).unwrap());
    }

    #[test]
    fn any_connection_that_leaks_is_bad() {
        assert!(report(0, 0).is_good());
        assert!(!report(1, 0).is_good());
        assert!(!report(0, 1).is_good());
        let mut open = report(0, 1);
        open.settings.is_hold = false;
        assert!(open.is_good());
    }
}

//! `portcullis fuzz`.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;

use super::{Failure, enter_sandbox, say};
use crate::{
    fuzz::{
        plan::honest,
        run::{Counts, Found, Mode, Outcome, Run},
        scenario::{Note, text},
    },
    report::Exit,
    scenario,
};

/// How long it takes if nobody says.
const USUAL_TIME: Duration = Duration::from_secs(30);
/// One case in so many is looked at for `--features`.
const SAMPLE: u64 = 16;
/// After so many failures there is no point in looking for more.
const MOST_FAILURES: usize = 5;
/// How often the status line is written.
const EVERY: Duration = Duration::from_millis(100);
/// Back to the first column, and delete the line.
const CLEAR: &str = "\r\x1b[2K";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis fuzz                              30 seconds of everything
  portcullis fuzz --mode plan --cases 1000000  a million worlds without a packet
  portcullis fuzz --seed 7 --case 1234 --mode kernel
                                               one case again

A failure is boiled down to a scenario file, which `portcullis test FILE` replays.")]
pub(super) struct Arguments {
    /// What everything follows from; the same seed gives the same cases everywhere. [default: from
    /// the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How many cases in each mode.
    #[arg(long, value_name = "N", conflicts_with = "case")]
    cases: Option<u64>,
    /// Only the case with this number.
    #[arg(long, value_name = "N")]
    case: Option<u64>,
    /// How long to go on in all, such as 30s or 5m. [default: 30s, unless there is a number of cases]
    #[arg(long, value_parser = duration)]
    time: Option<Duration>,
    /// What is held against what.
    #[arg(long, default_value = "all")]
    mode: Choice,
    /// How many threads [default: one per processor, and eight per processor where packets are
    /// waited for].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Where to write the scenarios of failures.
    #[arg(long, default_value = ".", value_name = "DIR")]
    out: PathBuf,
    /// Also print what the policies made use of, and how often it decided.
    #[arg(long)]
    features: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    /// Each of the others, one after the other.
    All,
    /// Oracle, compiled Plan and explanation; no packet is sent.
    Plan,
    /// Oracle and Plan against real packets.
    Kernel,
    /// An enforcer after many edits against one that starts anew, down to the kernel's table.
    Edits,
}

impl Choice {
    fn modes(self) -> &'static [Mode] {
        match self {
            Self::All => &[Mode::Plan, Mode::Edits, Mode::Kernel],
            Self::Plan => &[Mode::Plan],
            Self::Kernel => &[Mode::Kernel],
            Self::Edits => &[Mode::Edits],
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    scenario::text::duration::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let seed = arguments.seed.unwrap_or_else(seed_of_the_clock);
    say(&format!("seed {seed}"));
    let modes = arguments.mode.modes();
    let _sandbox = (modes != [Mode::Plan]).then(enter_sandbox).transpose()?;
    let mut is_good = true;
    let begun = Instant::now();
    for (index, mode) in modes.iter().enumerate() {
        let run = plan(arguments, *mode, seed, begun, (modes.len() - index) as u32);
        let counts = Counts::default();
        let started = Instant::now();
        let outcome = watched(&run, &counts);
        say(&summary(*mode, &counts, started.elapsed()));
        if arguments.features && outcome.coverage.cases > 0 {
            super::print(&outcome.coverage.to_string());
        }
        is_good &= outcome.found.is_empty();
        tell(&outcome, &arguments.out)?;
        if let Some(trouble) = outcome.trouble {
            return if is_good {
                Err(trouble.into())
            } else {
                say(&format!("error: {trouble:#}"));
                Ok(Exit::JudgesDisagree)
            };
        }
    }
    Ok(if is_good {
        Exit::Yes
    } else {
        Exit::JudgesDisagree
    })
}

/// What to do in one mode; those that are left share the time that is left.
fn plan(arguments: &Arguments, mode: Mode, seed: u64, begun: Instant, left: u32) -> Run {
    let cases = match (arguments.case, arguments.cases) {
        (Some(case), _) => case..case + 1,
        (None, Some(cases)) => 0..cases,
        (None, None) => 0..u64::MAX / 2,
    };
    let is_counted = arguments.case.is_some() || arguments.cases.is_some();
    let time = arguments.time.or((!is_counted).then_some(USUAL_TIME));
    let deadline = time.map(|time| {
        let rest = time.saturating_sub(begun.elapsed());
        Instant::now() + rest / left
    });
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let usual = match mode {
        Mode::Plan | Mode::Edits => processors,
        Mode::Kernel => processors * 8,
    };
    Run {
        mode,
        seed,
        cases,
        deadline,
        jobs: arguments.jobs.map_or(usual, NonZero::get),
        most_failures: MOST_FAILURES,
        has_namespaces: true,
        sample: arguments.features.then_some(SAMPLE),
        ear: honest,
    }
}

/// Runs, with a status line on a terminal.
fn watched(run: &Run, counts: &Counts) -> Outcome {
    let begun = Instant::now();
    let is_live = io::stderr().is_terminal();
    let last = Mutex::new(begun);
    let watch = || {
        let Ok(mut last) = last.try_lock() else {
            return;
        };
        if is_live && last.elapsed() >= EVERY {
            *last = Instant::now();
            let line = summary(run.mode, counts, begun.elapsed());
            // Nobody is told if the terminal is gone.
            let _ = write!(io::stderr(), "{CLEAR}{}", shortened(&line));
        }
    };
    let outcome = run.go(counts, &watch);
    if is_live {
        let _ = write!(io::stderr(), "{CLEAR}");
    }
    outcome
}

/// A status line must never wrap.
fn shortened(line: &str) -> String {
    line.chars().take(79).collect()
}

fn summary(mode: Mode, counts: &Counts, elapsed: Duration) -> String {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (cases, connections) = (read(&counts.cases), read(&counts.connections));
    let seconds = elapsed.as_secs_f64();
    let denied = 100.0 * read(&counts.denied) as f64 / connections.max(1) as f64;
    let mut text = format!(
        "{:<6} {cases} cases, {connections} connections ({denied:.0}% denied)",
        mode.name()
    );
    if mode == Mode::Edits {
        text += &format!(
            ", {} edits, {} tables compared in the kernel",
            read(&counts.edits),
            read(&counts.tables)
        );
    }
    if mode == Mode::Kernel && read(&counts.slow) > 0 {
        text += &format!(", {} slow answers", read(&counts.slow));
    }
    let rate = cases as f64 / seconds.max(0.001);
    let disagreements = counts.disagreements.load(Ordering::Relaxed);
    text + &format!(" in {seconds:.1} s ({rate:.0}/s): {disagreements} disagreements")
}

/// Writes the scenarios of failures and says where.
fn tell(outcome: &Outcome, folder: &Path) -> Result<(), Failure> {
    for found in &outcome.found {
        say(&format!(
            "\ncase {} of seed {} ({}): {}",
            found.case,
            found.seed,
            found.mode.name(),
            found.what
        ));
        let file = folder.join(format!("{}.yaml", name(found)));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, scenario_of(found)))
            .with_context(|| format!("failed to write {}", file.display()))?;
        say(&format!(
            "  = replay it: portcullis test {}",
            file.display()
        ));
        if let Err(diagnostics) = scenario::load(&file) {
            for diagnostic in &diagnostics.0 {
                say(&format!(
                    "  = but it cannot be played: {}",
                    diagnostic.message
                ));
            }
        }
    }
    Ok(())
}

fn name(found: &Found) -> String {
    let mode = match found.mode {
        Mode::Plan => "",
        Mode::Kernel => "kernel-",
        Mode::Edits => "edits-",
    };
    format!("fuzz-{mode}{}-{}", found.seed, found.case)
}

fn scenario_of(found: &Found) -> String {
    let note = Note {
        name: name(found),
        title: "what the judges did not agree about".to_owned(),
        description: format!(
            "Found by `portcullis fuzz --mode {} --seed {} --case {}` and made smaller.\n\
             What is expected is what the oracle says.\n\n{}",
            found.mode.name(),
            found.seed,
            found.case,
            found.what
        ),
        options: found.options,
    };
    text(&found.story, &found.cells, &note)
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // Short enough to be typed again.
    now.map_or(1, |now| now.as_millis() as u64 % 100_000_000)
}

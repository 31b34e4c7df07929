//! Every line of `scenarios/SEMANTICS.md` is shown by a scenario, or says why none can show it.

use std::{env, path::PathBuf};

use conformance::{
    coverage::{Coverage, State},
    library,
    scenario::Options,
};
use enforcer::diagnostic::Render;

#[test]
fn every_line_has_a_scenario_or_a_reason() {
    // Also in a copy of the repository.
    let manifest = env::var_os("CARGO_MANIFEST_DIR");
    let own = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let scenarios = library::load(&[own.join("../scenarios")], &Options::default())
        .unwrap_or_else(|errors| panic!("{}", errors.render(Render::Plain)));

    let covers = scenarios
        .iter()
        .map(|scenario| (scenario.name.as_str(), scenario.covers.as_slice()));
    let coverage = Coverage::of(covers).expect("no scenario covers a line that there is not");

    let open: Vec<_> = coverage
        .lines
        .iter()
        .filter(|line| matches!(line.state, State::Uncovered | State::Outdated))
        .map(|line| (line.number, line.title, line.state))
        .collect();
    assert_eq!(open, []);
}

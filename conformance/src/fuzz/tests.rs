//! The generator, the shrinker and the writer, without anybody who judges.

use std::time::{Duration, Instant};

use enforcer::api::admit_network_policy;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use rstest::rstest;

use super::{
    PlanCase,
    cells::{cells, through_services},
    dice::Dice,
    edits,
    generate::{self, Scale},
    kernel,
    scenario::{Note, text},
    shrink::{is_odd, shrink},
    story::Story,
};
use crate::scenario::{Options, load_text};

/// As many as prove something without taking time.
const CASES: u64 = 60;

fn note() -> Note {
    Note {
        name: "drawn".to_owned(),
        title: "a world that was drawn".to_owned(),
        description: "with a comment".to_owned(),
        ..Note::default()
    }
}

#[test]
fn a_seed_gives_the_same_world_everywhere() {
    let scale = Scale {
        pods: (2, 2),
        policies: (1, 1),
        odd: 0,
        services: 0,
        late: 0,
    };
    let mut dice = Dice::of_case(12, 4);
    let mut world = generate::world(&mut dice, scale);
    world.policies = generate::policies(&mut dice, &world, scale);
    let mut asked = cells(&mut dice, &world, 4);
    asked.truncate(4);
    insta::assert_snapshot!(text(&Story::still(world), &asked, &note()));
}

#[test]
fn every_world_is_sound() {
    for case in 0..CASES {
        assert!(PlanCase::draw(1, case).world.is_sound(), "case {case}");
    }
}

#[test]
fn policies_that_are_not_odd_are_taken_by_the_api_server() {
    for case in 0..CASES {
        let mut dice = Dice::of_case(2, case);
        let world = generate::world(&mut dice, Scale::PLAN);
        let policy = generate::policy(&mut dice, &world, "p", 0);
        assert_eq!(
            admit_network_policy(policy.clone()).err(),
            None,
            "{policy:#?}"
        );
    }
}

#[test]
fn most_odd_policies_are_not() {
    let is_refused = |case: &u64| {
        let mut dice = Dice::of_case(3, *case);
        let world = generate::world(&mut dice, Scale::PLAN);
        let policy = generate::policy(&mut dice, &world, "p", 100);
        admit_network_policy(policy).is_err()
    };
    assert!((0..CASES).filter(is_refused).count() as u64 > CASES / 3);
}

#[rstest]
#[case::world(|case| Story::still(PlanCase::draw(4, case).world))]
#[case::services(|case| Story::still(kernel::case(4, case, &kernel::world(4, case * 25)).0))]
#[case::edits(|case| edits::story(&mut Dice::of_case(4, case)))]
fn every_story_can_be_said_as_a_scenario(#[case] story: fn(u64) -> Story) {
    for case in 0..CASES / 2 {
        let story = story(case);
        let worlds = story.worlds().expect("it was drawn so that it works");
        let last = worlds.last().expect("there is one world at least");
        let mut asked = cells(&mut Dice::of_case(4, case), last, 20);
        asked.extend(through_services(&mut Dice::of_case(4, case), last));
        let text = text(&story, &asked, &note());
        if let Err(error) = load_text("drawn.yaml", &text, &Options::default()) {
            panic!("case {case}: {error}\n{text}");
        }
    }
}

#[test]
fn what_is_left_of_a_failure_is_what_it_takes() {
    // A failure of whoever does not know endPort.
    let has_range = |policy: &NetworkPolicy| {
        let spec = policy.spec.as_ref();
        let rules = spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
        let mut ports = rules.flat_map(|rule| rule.ports.iter().flatten());
        ports.any(|port| port.end_port.is_some())
    };
    let fails = |story: &Story| story.world.policies.iter().any(has_range);
    let story = (0..CASES)
        .map(|case| Story::still(PlanCase::draw(5, case).world))
        .filter(|story| !story.world.policies.iter().any(is_odd))
        .find(|story| fails(story))
        .expect("some case has a range of ports");
    let deadline = Instant::now() + Duration::from_secs(60);
    let small = shrink(&story, deadline, fails);
    let mut json = serde_json::to_value(&small).unwrap();
    // Names and numbers are whatever they were.
    let port = &mut json["world"]["policies"][0]["spec"]["ingress"][0]["ports"][0];
    assert!(port["port"].is_number() && port["endPort"].is_number());
    port.take();
    for object in ["nodes", "namespaces"] {
        assert_eq!(json["world"][object].as_object().unwrap().len(), 1);
        json["world"][object].take();
    }
    json["world"]["families"].take();
    json["world"]["policies"][0]["metadata"].take();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

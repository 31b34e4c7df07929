//! From a failure to the smallest one that can be found in a given time.
//!
//! A story is JSON here: whatever can be left out of it (a policy, a rule, one value of an
//! expression, a pod, a label, an edit) is left out as long as the story fails without it.

use std::time::Instant;

use enforcer::api::admit_network_policy;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;

use super::{edit::Edit, story::Story};

/// A step on the way to a value inside another.
#[derive(Clone, Debug)]
enum Key {
    Field(String),
    Item(usize),
}

/// A story as small as `fails` lets it be at `deadline`. What `fails` is asked about is a story
/// that could have been drawn: references are good, and nothing became odd that was not.
pub fn shrink(story: &Story, deadline: Instant, mut fails: impl FnMut(&Story) -> bool) -> Story {
    let odd = count_of_odd(story);
    let mut best = story.clone();
    let mut try_one = |best: &mut Story, candidate: Story| {
        let is_worth_it = Instant::now() < deadline
            && candidate != *best
            && candidate.worlds().is_some()
            && count_of_odd(&candidate) <= odd
            && fails(&candidate);
        if is_worth_it {
            *best = candidate;
        }
        is_worth_it
    };
    loop {
        let before = best.clone();
        for node in best.world.nodes.keys().skip(1).cloned().collect::<Vec<_>>() {
            let candidate = without_node(&best, &node);
            try_one(&mut best, candidate);
        }
        let mut level = 0;
        while remove_at_level(level, &mut best, &mut try_one) {
            level += 1;
        }
        if best == before || Instant::now() >= deadline {
            return best;
        }
    }
}

/// Tries to remove everything at this depth; says whether there is anything so deep.
fn remove_at_level(
    level: usize,
    best: &mut Story,
    try_one: &mut impl FnMut(&mut Story, Story) -> bool,
) -> bool {
    let mut index = 0;
    let mut is_there = false;
    loop {
        let value = serde_json::to_value(&*best).expect("a story is JSON");
        let mut paths = Vec::new();
        paths_at(&value, level, &mut Vec::new(), &mut paths);
        let Some(path) = paths.get(index) else {
            return is_there;
        };
        is_there = true;
        // Many at once where there are many.
        let run = run_of_items(&paths, index);
        let removed = [run / 2, run / 4, 1]
            .into_iter()
            .filter(|count| *count > 0)
            .any(|count| {
                let mut smaller = value.clone();
                (0..count).for_each(|_| remove(&mut smaller, path));
                serde_json::from_value(smaller).is_ok_and(|candidate| try_one(best, candidate))
            });
        if !removed {
            index += 1;
        }
    }
}

/// How many items of the same list follow, this one included.
fn run_of_items(paths: &[Vec<Key>], index: usize) -> usize {
    let list_of = |path: &[Key]| match path.split_last() {
        Some((Key::Item(_), list)) => Some(format!("{list:?}")),
        _ => None,
    };
    let Some(list) = list_of(&paths[index]) else {
        return 1;
    };
    let following = paths[index..].iter();
    following
        .take_while(|path| list_of(path).as_ref() == Some(&list))
        .count()
}

fn paths_at(value: &Value, level: usize, path: &mut Vec<Key>, found: &mut Vec<Vec<Key>>) {
    let children: Vec<(Key, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (Key::Field(key.clone()), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (Key::Item(index), value))
            .collect(),
        _ => return,
    };
    for (key, child) in children {
        path.push(key);
        if level == 0 {
            found.push(path.clone());
        } else {
            paths_at(child, level - 1, path, found);
        }
        path.pop();
    }
}

fn remove(value: &mut Value, path: &[Key]) {
    let Some((last, front)) = path.split_last() else {
        return;
    };
    let mut parent = value;
    for key in front {
        let child = match key {
            Key::Field(name) => parent.get_mut(name.as_str()),
            Key::Item(index) => parent.get_mut(*index),
        };
        let Some(child) = child else { return };
        parent = child;
    }
    match (last, parent) {
        (Key::Field(name), Value::Object(fields)) => {
            fields.remove(name);
        }
        (Key::Item(index), Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

/// The story with all pods of a node on the first one instead.
fn without_node(story: &Story, node: &str) -> Story {
    let mut smaller = story.clone();
    smaller.world.nodes.remove(node);
    let Some(first) = smaller.world.nodes.keys().next().cloned() else {
        return smaller;
    };
    let pods = smaller.world.pods.values_mut();
    let edited = smaller.edits.iter_mut().filter_map(|edit| match edit {
        Edit::CreatePod(_, pod) | Edit::ReplacePod(_, pod) => Some(pod),
        _ => None,
    });
    for pod in pods.chain(edited).filter(|pod| pod.node == node) {
        pod.node.clone_from(&first);
    }
    smaller
}

/// How many policies no API server of today would take.
fn count_of_odd(story: &Story) -> usize {
    let edited = story.edits.iter().filter_map(|edit| match edit {
        Edit::ApplyPolicy(policy) => Some(&**policy),
        _ => None,
    });
    story
        .world
        .policies
        .iter()
        .chain(edited)
        .filter(|policy| is_odd(policy))
        .count()
}

/// Whether no API server of today would take a policy, so that it can only be there from older
/// days.
pub fn is_odd(policy: &NetworkPolicy) -> bool {
    admit_network_policy(policy.clone()).is_err()
}

//! What the running agent logs: says it, or changes it.

use crate::{
    Exit, Outcome,
    arguments::LogLevel,
    ask::{ask, tell},
    say,
};

/// Asks or tells the running agent.
pub(crate) fn log_level(arguments: &LogLevel) -> Outcome {
    let path = "/debug/log-level";
    let answer = match &arguments.level {
        None => ask(arguments.bind, path)?,
        Some(level) => tell(arguments.bind, path, level)?,
    };
    say(answer["level"].as_str().unwrap_or_default());
    Ok(Exit::Yes)
}

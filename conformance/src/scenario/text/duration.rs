//! Durations: `500ms`, `5s`, `2m`.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::SyntaxError;

/// A duration as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenDuration(pub Duration);

const FORMS: &str = "a duration is a whole number with ms, s or m, as in 500ms, 5s, 2m";

/// Reads `500ms`, `5s` or `2m`. Nothing lasts 0 or more than an hour.
pub fn parse(text: &str) -> Result<Duration, SyntaxError> {
    let all = 0..text.len();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let Ok(number) = number.parse::<u64>() else {
        return Err(SyntaxError::new(all, format!("`{text}` is not a duration")).help(FORMS));
    };
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "" => {
            return Err(SyntaxError::new(all, format!("`{text}` has no unit")).help(FORMS));
        }
        _ => {
            return Err(SyntaxError::new(
                digits..text.len(),
                format!("`{unit}` is not a unit of time"),
            )
            .help(FORMS));
        }
    };
    match milliseconds {
        Some(0) => Err(SyntaxError::new(all, "a duration of nothing").help(FORMS)),
        Some(ms) if ms <= 3_600_000 => Ok(Duration::from_millis(ms)),
        _ => Err(SyntaxError::new(
            all,
            format!("`{text}` is longer than an hour"),
        )),
    }
}

impl<'de> Deserialize<'de> for WrittenDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(error.line()))
    }
}

impl JsonSchema for WrittenDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number with ms, s or m; at most an hour.",
            "examples": ["500ms", "5s", "2m"],
            "pattern": "^[0-9]+(ms|s|m)$",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::milliseconds("500ms", 500)]
    #[case::seconds("5s", 5_000)]
    #[case::minutes("2m", 120_000)]
    #[case::an_hour("60m", 3_600_000)]
    fn reads(#[case] text: &str, #[case] milliseconds: u64) {
        assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
    }

    #[rstest]
    #[case::no_unit("5", 0..1, "`5` has no unit")]
    #[case::unknown_unit("5sec", 1..4, "`sec` is not a unit of time")]
    #[case::no_number("soon", 0..4, "`soon` is not a duration")]
    #[case::negative("-1s", 0..3, "`-1s` is not a duration")]
    #[case::fraction("1.5s", 1..4, "`.5s` is not a unit of time")]
    #[case::nothing("0s", 0..2, "a duration of nothing")]
    #[case::too_long("61m", 0..3, "`61m` is longer than an hour")]
    #[case::overflow("99999999999999999999m", 0..21, "`99999999999999999999m` is not a duration")]
    fn refuses(#[case] text: &str, #[case] span: std::ops::Range<usize>, #[case] message: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (span, message));
    }
}

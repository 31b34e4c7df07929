//! Colour on a terminal, and nothing elsewhere.
//!
//! Text must say the same without colour: colour only ever repeats what a letter already says.

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// Worth a look.
    Warn,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    #[default]
    Plain,
    /// ANSI colours.
    Color,
}

impl Paint {
    /// What a stream should get: colour on a terminal, unless `NO_COLOR` (any non-empty value) or
    /// `TERM=dumb` forbids it. `variable` looks an environment variable up.
    pub fn choose(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
        if is_terminal && !is_set("NO_COLOR") && !is_dumb {
            Self::Color
        } else {
            Self::Plain
        }
    }

    /// The text in this colour.
    pub fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Warn => "33",
            Ink::Dim => "2",
            Ink::Strong => "1",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Color => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::terminal(true, &[], Paint::Color)]
    #[case::pipe(false, &[], Paint::Plain)]
    #[case::forbidden(true, &[("NO_COLOR", "1")], Paint::Plain)]
    #[case::empty_forbids_nothing(true, &[("NO_COLOR", "")], Paint::Color)]
    #[case::dumb(true, &[("TERM", "dumb")], Paint::Plain)]
    fn colour_is_for_terminals(
        #[case] is_terminal: bool,
        #[case] variables: &[(&str, &str)],
        #[case] expected: Paint,
    ) {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(Paint::choose(is_terminal, lookup), expected);
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(Paint::Plain.ink(Ink::Bad, "X"), "X");
        assert_eq!(Paint::Color.ink(Ink::Bad, "X"), "\x1b[31mX\x1b[0m");
    }
}

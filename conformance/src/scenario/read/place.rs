//! Where a part of a YAML string stands in the file.
//!
//! The parser says where a scalar begins and ends, but a block scalar is indented and a quoted one
//! has quotes, so the text of the file and the string differ. Line by line they agree.

use std::ops::Range;

use enforcer::yaml::Location;

/// The place of `span` of the string `text` that is written at `whole`; nothing if the string is
/// written with escapes or folds, so that its lines are not found in the file.
pub(super) fn within(whole: &Location, text: &str, span: Range<usize>) -> Option<Location> {
    let written = whole.text();
    let mut cursor = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let found = cursor + written[cursor..].find(content)?;
        if span.start <= offset + content.len() {
            let start = found + (span.start - offset);
            let end = found
                + span
                    .end
                    .saturating_sub(offset)
                    .clamp(span.start - offset, content.len());
            // A caret under nothing is not seen.
            let end = if end == start {
                (start + 1).min(written.len())
            } else {
                end
            };
            let base = whole.span.start;
            return Some(Location::new(&whole.source, base + start..base + end));
        }
        cursor = found + content.len();
        offset += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use enforcer::yaml::{FieldPath, Source, parse};
    use rstest::rstest;

    use super::*;

    fn located(yaml: &str, span: Range<usize>) -> (usize, usize, String) {
        let source = Source::new("a.yaml", yaml);
        let document = &parse(&source).unwrap()[0];
        let path = FieldPath::root().key("k");
        let text = document.at(&path).unwrap();
        let text = text.value().as_str().unwrap();
        let location = within(&document.location(&path), text, span).unwrap();
        (
            location.line(),
            location.column(),
            location.text().to_owned(),
        )
    }

    #[rstest]
    #[case::plain("k: x/a -> y/b\n", 7..10, (1, 11, "y/b"))]
    #[case::quoted("k: \"x/a -> y/b\"\n", 7..10, (1, 12, "y/b"))]
    #[case::single_quoted("k: 'x/a -> y/b'\n", 0..3, (1, 5, "x/a"))]
    #[case::block("k: |\n  one two\n  three four\n", 8..13, (3, 3, "three"))]
    #[case::block_after_empty_line("k: |\n  one\n\n  two\n", 5..8, (4, 3, "two"))]
    #[case::repeated_lines("k: |\n  a a\n  a a\n", 6..7, (3, 5, "a"))]
    fn finds(#[case] yaml: &str, #[case] span: Range<usize>, #[case] place: (usize, usize, &str)) {
        let (line, column, text) = located(yaml, span);
        assert_eq!((line, column, text.as_str()), place);
    }

    #[test]
    fn gives_up_on_escapes() {
        let source = Source::new("a.yaml", "k: \"a\\tb\"\n");
        let document = &parse(&source).unwrap()[0];
        let location = document.location(&FieldPath::root().key("k"));
        assert_eq!(within(&location, "a\tb", 2..3), None);
    }
}

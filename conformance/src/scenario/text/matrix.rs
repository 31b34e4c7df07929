//! Matrices: rows are sources, columns are destinations.
//!
//! ```text
//! 80/tcp  x/a  x/b  y/a
//! x/a     .    X    .
//! y/*     X    -    ?
//! ```
//!
//! `.` allowed, `X` denied, `R` refused, `-` not probed, `?` either. The corner names the port the
//! table is about, or is `*` for every port. (Without a corner the first line would begin with
//! blanks, and YAML would take those for the indentation of the whole block.) Tables are separated
//! by empty lines.

use std::ops::Range;

use super::{
    Spanned, SyntaxError,
    endpoint::{self, Selector},
    flow::{self, Flow, PortSelector},
};

const MARKS: &str = "marks are . allowed, X denied, R refused, - not probed, ? either";

/// What one place of a matrix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `.`
    Allowed,
    /// `X`
    Denied,
    /// `R`
    Refused,
    /// `-`
    NotProbed,
    /// `?`
    Either,
}

/// One place of a matrix: the connections it is about, and its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the row to the column.
    pub flow: Flow,
    /// The mark, and where it stands in the text.
    pub mark: Spanned<Mark>,
}

/// Reads all tables of a text, row by row.
pub fn parse(text: &str) -> Result<Vec<Place>, SyntaxError> {
    let mut places = Vec::new();
    let mut table: Vec<Vec<Range<usize>>> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let words = words(line, offset);
        offset += line.len();
        if !words.is_empty() {
            table.push(words);
        } else if !table.is_empty() {
            read_table(text, &table, &mut places)?;
            table.clear();
        }
    }
    if !table.is_empty() {
        read_table(text, &table, &mut places)?;
    }
    if places.is_empty() {
        return Err(SyntaxError::new(0..text.len(), "the matrix is empty")
            .help("the first line names destinations, every other line a source and its marks"));
    }
    Ok(places)
}

/// The words of a line that begins at `offset` of the text.
fn words(line: &str, offset: usize) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                words.push(offset + from..offset + at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn read_table(
    text: &str,
    lines: &[Vec<Range<usize>>],
    places: &mut Vec<Place>,
) -> Result<(), SyntaxError> {
    let (header, rows) = lines.split_first().expect("a table has at least one line");
    let whole = |words: &[Range<usize>]| words[0].start..words[words.len() - 1].end;
    if rows.is_empty() {
        return Err(SyntaxError::new(whole(header), "this table has no rows")
            .help("the first line names destinations, every other line a source and its marks"));
    }
    let port = corner(text, &header[0])?;
    let columns: Vec<_> = header[1..]
        .iter()
        .map(|span| flow::parse_destination(text, span.clone()))
        .collect::<Result<_, _>>()?;
    for row in rows {
        let (name, marks) = row.split_first().expect("lines without words are left out");
        if marks.len() != columns.len() {
            return Err(SyntaxError::new(
                whole(row),
                format!(
                    "this row has {}, but the table has {}",
                    counted(marks.len(), "mark"),
                    counted(columns.len(), "column")
                ),
            )
            .help(MARKS));
        }
        let source: Spanned<Selector> = Spanned {
            span: name.clone(),
            value: endpoint::parse(&text[name.clone()]).map_err(|e| e.shifted(name.start))?,
        };
        for (span, (destination, own_port)) in marks.iter().zip(&columns) {
            let value = mark(&text[span.clone()]).map_err(|e| e.shifted(span.start))?;
            places.push(Place {
                flow: Flow {
                    source: source.clone(),
                    destination: destination.clone(),
                    port: own_port.clone().or_else(|| port.clone()),
                },
                mark: Spanned {
                    span: span.clone(),
                    value,
                },
            });
        }
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn corner(text: &str, span: &Range<usize>) -> Result<Option<Spanned<PortSelector>>, SyntaxError> {
    let word = &text[span.clone()];
    if word == "*" {
        return Ok(None);
    }
    match flow::parse_port(word) {
        Ok(value) => Ok(Some(Spanned {
            span: span.clone(),
            value,
        })),
        Err(_) => Err(
            SyntaxError::new(span.clone(), format!("`{word}` is not a port"))
                .help("the corner of a table is * for every port, or names a port, as in 80/tcp"),
        ),
    }
}

fn mark(word: &str) -> Result<Mark, SyntaxError> {
    match word {
        "." => Ok(Mark::Allowed),
        "X" => Ok(Mark::Denied),
        "R" => Ok(Mark::Refused),
        "-" => Ok(Mark::NotProbed),
        "?" => Ok(Mark::Either),
        _ => Err(SyntaxError::new(0..word.len(), format!("`{word}` is not a mark")).help(MARKS)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn printed(text: &str) -> Vec<String> {
        parse(text)
            .unwrap()
            .iter()
            .map(|place| format!("{} {:?}", place.flow, place.mark.value))
            .collect()
    }

    #[test]
    fn rows_are_sources_and_columns_destinations() {
        assert_eq!(
            printed("*    x/a x/b\nx/a  .   X\ny/*  R   ?\n"),
            [
                "x/a -> x/a Allowed",
                "x/a -> x/b Denied",
                "y/* -> x/a Refused",
                "y/* -> x/b Either",
            ]
        );
    }

    #[test]
    fn the_corner_names_the_port_of_a_table_and_a_column_may_have_its_own() {
        assert_eq!(
            printed("80/tcp x/a x/b:81\nx/a - .\n\nudp x/a\nx/a X\n"),
            [
                "x/a -> x/a:80/tcp NotProbed",
                "x/a -> x/b:81 Allowed",
                "x/a -> x/a:udp Denied",
            ]
        );
    }

    #[test]
    fn marks_know_where_they_stand() {
        let text = "*   x/a\nx/a X\n";
        let place = &parse(text).unwrap()[0];
        assert_eq!(place.mark.span, 12..13);
        assert_eq!(&text[place.flow.source.span.clone()], "x/a");
        assert_eq!(place.flow.source.span.start, 8);
    }

    #[rstest]
    #[case::empty("\n\n", 0..2, "the matrix is empty")]
    #[case::no_rows("* x/a x/b\n", 0..9, "this table has no rows")]
    #[case::ragged("* x/a x/b\nx/a . .\nx/b .\n", 18..23, "this row has 1 mark, but the table has 2 columns")]
    #[case::unknown_mark("* x/a\nx/a #\n", 10..11, "`#` is not a mark")]
    #[case::lower_case("* x/a\nx/a x\n", 10..11, "`x` is not a mark")]
    #[case::corner("TO x/a\nx/a .\n", 0..2, "`TO` is not a port")]
    #[case::no_corner("x/a x/b\nx/a . .\n", 0..3, "`x/a` is not a port")]
    #[case::source("* x/a\nxa .\n", 6..8, "`xa` is not an endpoint")]
    fn refuses(#[case] text: &str, #[case] span: Range<usize>, #[case] message: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.span), (message, span));
    }
}

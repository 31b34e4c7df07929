//! Lines over logarithmic axes as one SVG file that needs nothing else: no script, no font, no
//! second file. Readable on white and on black: a page need not have the scheme that the system
//! prefers, so the colours are of neither.
//!
//! Start at [`Plot::svg`]; `axis` says where a value lies and which values get a mark.

mod axis;

use std::fmt::Write as _;

use self::axis::Axis;
pub(crate) use self::axis::Scale;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// What is left free around the lines, for titles, marks and names.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 176.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 54.0;
/// The least distance between two names.
const NAME_HEIGHT: f64 = 17.0;

/// Told apart by people who see colours in the usual and in the unusual ways (Okabe and Ito), and
/// legible on white and on black.
const COLOURS: [&str; 7] = [
    "#1f86cc", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56a0d9", "#888888",
];
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#777}\
.title{font-size:16px;font-weight:600}\
.grid{stroke:#8884}\
.axis{stroke:#888}";

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What goes to the right, with its unit.
    pub(crate) x: (String, Scale),
    /// What goes up, with its unit.
    pub(crate) y: (String, Scale),
    pub(crate) lines: Vec<Line>,
}

/// One competitor.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// In the order of x.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Plot {
    /// The file.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::new(self.x.1, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::new(
            self.y.1,
            points().map(|point| point.1),
            HEIGHT - BOTTOM,
            TOP,
        );
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"26\">{title}</text>\n",
            title = escape(&self.title)
        );
        self.grid(&mut svg, &x, &y);
        self.draw(&mut svg, &x, &y);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, at) in x.marks() {
            let below = bottom + 19.0;
            put(
                svg,
                &format!(
                    "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/>\
                     <text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                    short(value)
                ),
            );
        }
        for (value, at) in y.marks() {
            let (left, middle) = (LEFT - 8.0, at + 4.5);
            put(
                svg,
                &format!(
                    "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                     <text x=\"{left}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
                    short(value)
                ),
            );
        }
        put(
            svg,
            &format!("<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>"),
        );
        let (middle, below) = (f64::midpoint(LEFT, right), HEIGHT - 14.0);
        let (name_of_x, name_of_y) = (escape(&self.x.0), escape(&self.y.0));
        let above = TOP - 10.0;
        put(
            svg,
            &format!(
                "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{name_of_x}</text>\
                 <text x=\"{LEFT}\" y=\"{above}\">{name_of_y}</text>"
            ),
        );
    }

    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let mut names = Vec::new();
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let places: Vec<(f64, f64)> = line
                .points
                .iter()
                .map(|(right, up)| (x.place(*right), y.place(*up)))
                .collect();
            let Some(last) = places.last() else {
                continue;
            };
            let mut path = String::new();
            let mut dots = String::new();
            for (number, (right, down)) in places.iter().enumerate() {
                let pen = if number == 0 { 'M' } else { 'L' };
                write!(path, "{pen}{right:.1} {down:.1}").expect("a string takes everything");
                write!(dots, "<circle cx=\"{right:.1}\" cy=\"{down:.1}\" r=\"3\"/>")
                    .expect("a string takes everything");
            }
            put(
                svg,
                &format!(
                    "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" d=\"{path}\"/>\
                     <g fill=\"{colour}\">{dots}</g>"
                ),
            );
            names.push((last.1, line.name.as_str(), *colour));
        }
        apart(&mut names);
        for (down, name, colour) in names {
            let (left, middle) = (WIDTH - RIGHT + 10.0, down + 4.5);
            put(
                svg,
                &format!(
                    "<text x=\"{left}\" y=\"{middle:.1}\" style=\"fill:{colour}\">{}</text>",
                    escape(name)
                ),
            );
        }
    }
}

/// Moves names apart that would lie on each other, from the top to the bottom and, where that leads
/// out of the picture, back.
fn apart(names: &mut [(f64, &str, &str)]) {
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut above = TOP - NAME_HEIGHT;
    for name in names.iter_mut() {
        name.0 = name.0.max(above + NAME_HEIGHT);
        above = name.0;
    }
    let mut below = HEIGHT - BOTTOM + NAME_HEIGHT;
    for name in names.iter_mut().rev() {
        name.0 = name.0.min(below - NAME_HEIGHT);
        below = name.0;
    }
}

fn put(svg: &mut String, line: &str) {
    svg.push_str(line);
    svg.push('\n');
}

/// A number as short as people write it: `10k`, `0.25`.
fn short(value: f64) -> String {
    if value >= 1_000_000.0 {
        format!("{}M", value / 1_000_000.0)
    } else if value >= 1_000.0 {
        format!("{}k", value / 1_000.0)
    } else {
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{Line, Plot, Scale};

    #[test]
    fn a_plot_is_one_file_of_text() {
        let line = |name: &str, points: &[(f64, f64)]| Line {
            name: name.into(),
            points: points.to_vec(),
        };
        let plot = Plot {
            title: "New connections < policies".into(),
            x: ("policies".into(), Scale::Logarithmic),
            y: ("connections per second".into(), Scale::Linear),
            lines: vec![
                line("flat", &[(10.0, 21_000.0), (1_000.0, 20_900.0)]),
                line("walked", &[(10.0, 20_500.0), (1_000.0, 2_700.0)]),
                line("also flat", &[(10.0, 21_100.0), (1_000.0, 20_950.0)]),
                line("never measured", &[]),
            ],
        };
        insta::assert_snapshot!(plot.svg());
    }
}

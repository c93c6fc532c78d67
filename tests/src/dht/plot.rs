//! The figure of `docs/PERFORMANCE.md`: hops and time of lookups against the number of relays, as SVG.
//!
//! It has a background of its own, so that it is readable on dark pages, too.

use std::fmt::Write as _;

use super::matrix::Row;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Of the area between a panel's axes.
const PANEL: (f64, f64) = (250.0, 300.0);
const TOP: f64 = 60.0;
/// Sizes at the ends of the horizontal axis, as powers of ten.
const DECADES: (f64, f64) = (2.0, 5.0);
/// Between labels that would lie on each other.
const LINE: f64 = 15.0;

const BLUE: &str = "#0072b2";
const ORANGE: &str = "#b85c00";
const GREEN: &str = "#00795a";
const PURPLE: &str = "#a0478a";
const GREY: &str = "#6b6b6b";

struct Series {
    label: String,
    colour: &'static str,
    dashed: bool,
    /// Relays and value, by size.
    points: Vec<(f64, f64)>,
}

struct Panel {
    left: f64,
    title: &'static str,
    most: f64,
    step: f64,
    series: Vec<Series>,
}

/// Draws the figure.
pub fn svg(rows: &[Row]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n\
         <title>Hops and time of lookups in the DHT against the number of relays</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#ffffff\"/>\n"
    );
    hops(rows).draw(&mut out);
    time(rows).draw(&mut out);
    out + "</svg>\n"
}

fn hops(rows: &[Row]) -> Panel {
    let formula = |label: &str, of: fn(f64) -> f64| Series {
        label: label.into(),
        colour: GREY,
        dashed: true,
        points: [100.0, 1e3, 1e4, 1e5].map(|n: f64| (n, of(n))).into(),
    };
    let of = |name, label: &str, colour, quantile: usize| Series {
        label: label.into(),
        ..series(rows, name, colour, |row| row.hops[quantile] as f64)
    };
    Panel {
        left: 50.0,
        title: "Hops to a record",
        most: 18.0,
        step: 2.0,
        series: vec![
            formula("log2 N", f64::log2),
            formula("goal: log2(N)/3 + 2", |n| n.log2() / 3.0 + 2.0),
            of("churn and liars 20 %", "both, p99", PURPLE, 1),
            of("churn and liars 20 %", "both, median", PURPLE, 0),
            of("steady", "steady, p99", BLUE, 1),
            of("steady", "steady, median", BLUE, 0),
        ],
    }
}

fn time(rows: &[Row]) -> Panel {
    let of = |name, colour| series(rows, name, colour, |row| row.ms[0] as f64 / 1000.0);
    let series = vec![
        of("steady", BLUE),
        of("loss 5 %", GREEN),
        of("churn 20 %/h", ORANGE),
        of("liars 20 %", GREY),
        of("churn and liars 20 %", PURPLE),
    ];
    let points = series.iter().flat_map(|series| &series.points);
    let most = points.fold(0.0, |most: f64, (_, value)| most.max(*value));
    Panel {
        left: 480.0,
        title: "Median time in seconds (virtual)",
        most: most.ceil().max(1.0),
        step: if most > 4.0 { 1.0 } else { 0.5 },
        series,
    }
}

fn series(rows: &[Row], name: &str, colour: &'static str, of: impl Fn(&Row) -> f64) -> Series {
    let rows = rows.iter().filter(|row| row.condition == name);
    Series {
        label: name.into(),
        colour,
        dashed: false,
        points: rows.map(|row| (row.relays as f64, of(row))).collect(),
    }
}

impl Panel {
    fn x(&self, relays: f64) -> f64 {
        self.left + PANEL.0 * (relays.log10() - DECADES.0) / (DECADES.1 - DECADES.0)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + PANEL.1 * (1.0 - value / self.most)
    }

    fn draw(&self, out: &mut String) {
        self.axes(out);
        for series in &self.series {
            self.line(out, series);
        }
        self.labels(out);
    }

    fn axes(&self, out: &mut String) {
        let (left, right, bottom) = (self.left, self.left + PANEL.0, TOP + PANEL.1);
        text(out, left - 20.0, TOP - 24.0, "start", "#222222", self.title);
        for tick in 0..=(self.most / self.step).round() as u32 {
            let value = f64::from(tick) * self.step;
            let y = self.y(value);
            add(
                out,
                &format!("<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#dddddd\"/>"),
            );
            text(
                out,
                left - 8.0,
                y + 4.0,
                "end",
                "#222222",
                &value.to_string(),
            );
        }
        for relays in [100u32, 1_000, 10_000, 100_000] {
            let x = self.x(f64::from(relays));
            let name = relays.to_string();
            text(out, x, bottom + 18.0, "middle", "#222222", &name);
        }
        let middle = (left + right) / 2.0;
        text(out, middle, bottom + 38.0, "middle", "#222222", "relays, N");
    }

    fn line(&self, out: &mut String, series: &Series) {
        let Series { colour, .. } = series;
        let dash = if series.dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        let points = series
            .points
            .iter()
            .map(|(n, value)| (self.x(*n), self.y(*value)));
        let path: Vec<String> = points
            .clone()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        add(
            out,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
                path.join(" ")
            ),
        );
        for (x, y) in points.filter(|_| !series.dashed) {
            add(
                out,
                &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"),
            );
        }
    }

    /// A name at the end of each line, moved down where another one is.
    fn labels(&self, out: &mut String) {
        let ends = self.series.iter().filter_map(|series| {
            let (_, value) = series.points.last()?;
            Some((self.y(*value) + 4.0, series))
        });
        let mut ends: Vec<(f64, &Series)> = ends.collect();
        ends.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut free = 0.0;
        for (y, series) in ends {
            let y = y.max(free);
            free = y + LINE;
            let x = self.left + PANEL.0 + 10.0;
            text(out, x, y, "start", series.colour, &series.label);
        }
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    add(
        out,
        &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
        ),
    );
}

fn add(out: &mut String, element: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{element}");
}

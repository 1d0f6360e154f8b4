//! One plot as SVG: axes, lines or areas, a legend.
//!
//! Shapes carry classes and no colours. In the page its stylesheet colours them, light or dark; on
//! its own a plot brings the same rules with the light colours. Series differ in colour, and lines
//! that cross also in their dashes, for printers and for eyes that see fewer colours.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::axis::{Axis, Tick};
use super::colours;
use super::units;

/// Width of a plot that has a row of the page for itself, and of one that shares it.
pub(super) const WIDE: f64 = 1040.0;
pub(super) const HALF: f64 = 510.0;

pub(super) struct Plot {
    /// Names its file.
    pub(super) name: String,
    pub(super) title: String,
    /// How it is to be read.
    pub(super) subtitle: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    pub(super) marks: Vec<Mark>,
}

pub(super) struct Series {
    pub(super) label: String,
    /// Its number in the palette.
    pub(super) colour: usize,
    pub(super) shape: Shape,
    /// Lines, each of points with x and y; between them is a gap.
    pub(super) lines: Vec<Vec<(f64, f64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line with dashes of its own.
    Curve,
    /// A thin line, for many points.
    Trace,
    /// A line with the ground below it filled.
    Area,
}

/// A value of the x axis that is worth a name.
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) label: String,
}

/// Room around the axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 22.0;
const BOTTOM: f64 = 44.0;
/// Of title and subtitle together; the legend's rows and the y axis' title come below.
const HEADING: f64 = 48.0;
const LEGEND_ROW: f64 = 21.0;
const LEGEND_SWATCH: f64 = 26.0;
const AXIS_TITLE: f64 = 28.0;
/// Of the words below a plot that stands alone.
const CAPTION_ROW: f64 = 17.0;
/// About the width of a character of the legend: nothing here measures text.
const CHAR_WIDTH: f64 = 7.4;

/// Where the axes are.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Plot {
    /// For a page that brings the stylesheet.
    pub(super) fn inline(&self) -> Markup {
        self.draw(None)
    }

    /// A file of its own, with words below that say what the figures hold for.
    pub(super) fn standalone(&self, caption: &[String]) -> String {
        self.draw(Some(self.in_lines(caption))).into_string()
    }

    /// The words in lines that are no longer than the plot is wide.
    fn in_lines(&self, words: &[String]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in words {
            let length = |line: &String| (line.chars().count() + word.chars().count() + 3) as f64;
            let fits = |line: &&mut String| length(line) * CHAR_WIDTH <= self.width - 28.0;
            match lines.last_mut().filter(fits) {
                Some(line) => line.extend([" · ", word]),
                None => lines.push(word.clone()),
            }
        }
        lines
    }

    fn draw(&self, caption: Option<Vec<String>>) -> Markup {
        let (legend, legend_height) = self.legend();
        let top = HEADING + legend_height + AXIS_TITLE;
        let (width, left) = (self.width, LEFT);
        let frame = Frame { left, top, width: width - LEFT - RIGHT, height: self.height };
        let bottom = top + self.height + BOTTOM;
        let alone = caption.is_some();
        let caption = caption.unwrap_or_default();
        let height = bottom + caption.len() as f64 * CAPTION_ROW + if alone { 8.0 } else { 0.0 };
        html! {
            svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" width=(width)
                height=(height) viewBox={ "0 0 " (width) " " (height) }
                data-frame=(frame.for_script()) data-x=(self.x.for_script())
                data-y=(self.y.for_script()) {
                title { (self.title) }
                @if alone {
                    style { (PreEscaped(colours::stylesheet_of_light())) }
                    rect class="ground" x="0" y="0" width=(width) height=(height) {}
                }
                text class="title" x="14" y="24" { (self.title) }
                text class="subtitle" x="14" y="43" { (self.subtitle) }
                (legend)
                (self.grid(&frame))
                @for series in &self.series { (series.draw(self, &frame)) }
                (self.marks(&frame))
                (self.ends(&frame))
                @for (row, line) in caption.iter().enumerate() {
                    @let y = bottom + 12.0 + row as f64 * CAPTION_ROW;
                    text class="subtitle" x="14" y=(y) { (line) }
                }
            }
        }
    }

    /// The legend and its height; a single series needs none.
    fn legend(&self) -> (Markup, f64) {
        if self.series.len() < 2 {
            return (html! {}, 0.0);
        }
        let (mut x, mut row) = (14.0, 0);
        let mut places = Vec::new();
        for series in &self.series {
            let width = LEGEND_SWATCH + 22.0 + series.label.chars().count() as f64 * CHAR_WIDTH;
            if x > 14.0 && x + width > self.width {
                (x, row) = (14.0, row + 1);
            }
            places.push((series, x, HEADING + 14.0 + f64::from(row) * LEGEND_ROW));
            x += width;
        }
        let legend = html! {
            @for (series, x, y) in places {
                path class=(series.class()) d={ "M" (x) " " (y - 4.0) "h" (LEGEND_SWATCH) } {}
                text class="legend" x=(x + LEGEND_SWATCH + 6.0) y=(y) { (series.label) }
            }
        };
        (legend, f64::from(row + 1) * LEGEND_ROW)
    }

    fn grid(&self, frame: &Frame) -> Markup {
        let Frame { left, top, width, height } = *frame;
        let (right, bottom) = (left + width, top + height);
        html! {
            text class="axis" x="14" y=(top - 10.0) { (self.y.title) }
            @for tick in &self.y.ticks {
                @let y = round(bottom - tick.place * height);
                path class=(tick.class()) d={ "M" (left) " " (y) "H" (right) } {}
                @if !tick.label.is_empty() {
                    text class="tick y" x=(left - 8.0) y=(y + 4.0) { (tick.label) }
                }
            }
            @for tick in &self.x.ticks {
                @let x = round(left + tick.place * width);
                path class=(tick.class()) d={ "M" (x) " " (top) "V" (bottom) } {}
                @if !tick.label.is_empty() {
                    text class="tick x" x=(x) y=(bottom + 17.0) { (tick.label) }
                }
            }
            path class="base" d={ "M" (left) " " (bottom) "H" (right) } {}
            text class="axis x" x=(left + width / 2.0) y=(bottom + 36.0) { (self.x.title) }
        }
    }

    /// Where curves end, and at which value: a distribution ends at its worst.
    fn ends(&self, frame: &Frame) -> Markup {
        let Frame { left, top, width, height } = *frame;
        let curves = self.series.iter().filter(|series| series.shape == Shape::Curve);
        let mut ends: Vec<_> = curves
            .filter_map(|series| {
                let (x, y) = *series.lines.last()?.last()?;
                let place =
                    (left + self.x.place(x) * width, top + height * (1.0 - self.y.place(y)));
                Some((round(place.0), round(place.1), series, units::latency(y)))
            })
            .collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        // From the worst downwards; a label that would lie on the one before is left out.
        let mut labels: Vec<(f64, f64, &str)> = Vec::new();
        for (x, y, _, label) in &ends {
            let free = |(other_x, other_y, _): &(f64, f64, &str)| {
                (other_x - x).abs() > 80.0 || (other_y - y).abs() > 13.0
            };
            if labels.iter().all(free) {
                labels.push((*x, *y, label));
            }
        }
        html! {
            @for (x, y, series, _) in &ends {
                circle class={ "end s" (series.colour % colours::SERIES) } cx=(x) cy=(y) r="3.5" {}
            }
            @for (x, y, label) in labels {
                text class="mark before" x=(x) y=(round(y - 9.0)) { "max " (label) }
            }
        }
    }

    /// Named values of the x axis. Labels that would overlap the one before go a line down.
    fn marks(&self, frame: &Frame) -> Markup {
        let Frame { left, top, width, height } = *frame;
        let mut rows_end = [f64::MIN; 4];
        let mut placed = Vec::new();
        for mark in &self.marks {
            let x = round(left + self.x.place(mark.x) * width);
            let length = mark.label.chars().count() as f64 * CHAR_WIDTH;
            // Near the right end there is more room before the line than behind it.
            let before = x + length > left + width;
            let begin = if before { x - length - 4.0 } else { x };
            let row = rows_end.iter().position(|end| *end <= begin).unwrap_or_default();
            rows_end[row] = begin + length + 8.0;
            placed.push((x, before, top + 12.0 + row as f64 * 15.0, &mark.label));
        }
        html! {
            @for (x, ..) in &placed {
                path class="mark" d={ "M" (x) " " (top) "V" (top + height) } {}
            }
            @for (x, before, y, label) in placed {
                @let at = if before { x - 4.0 } else { x + 4.0 };
                text class={ "mark" @if before { " before" } } x=(at) y=(y) { (label) }
            }
        }
    }
}

impl Frame {
    /// For the page's script.
    fn for_script(&self) -> String {
        let Self { left, top, width, height } = self;
        format!("{left} {top} {width} {height}")
    }
}

impl Tick {
    fn class(&self) -> &'static str {
        if self.label.is_empty() { "grid fine" } else { "grid" }
    }
}

impl Series {
    fn class(&self) -> String {
        let shape = match self.shape {
            Shape::Curve => "curve",
            Shape::Trace => "trace",
            Shape::Area => "outline",
        };
        format!("{shape} s{}", self.colour % colours::SERIES)
    }

    fn draw(&self, plot: &Plot, frame: &Frame) -> Markup {
        let Frame { left, top, width, height } = *frame;
        let bottom = top + height;
        let (mut outline, mut area) = (String::new(), String::new());
        for line in &self.lines {
            let place = |(x, y): &(f64, f64)| {
                let x = round(left + plot.x.place(*x) * width);
                (x, round(bottom - plot.y.place(*y) * height))
            };
            let points: Vec<_> = line.iter().map(place).collect();
            let [(first, _), .., (last, _)] = points[..] else {
                // One point alone is a small circle: a line needs two.
                for (x, y) in points {
                    let left = round(x - 2.0);
                    push(&mut outline, format_args!("M{left} {y}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0"));
                }
                continue;
            };
            let mut command = 'M';
            let mut path = String::new();
            for (x, y) in points {
                push(&mut path, format_args!("{command}{x} {y}"));
                command = 'L';
            }
            push(&mut area, format_args!("{path}L{last} {bottom}L{first} {bottom}Z"));
            outline.push_str(&path);
        }
        html! {
            @if self.shape == Shape::Area {
                path class={ "area s" (self.colour % colours::SERIES) } d=(area) {}
            }
            path class=(self.class()) data-label=(self.label) d=(outline) {}
        }
    }
}

/// Tenths of a pixel are enough.
fn round(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
}

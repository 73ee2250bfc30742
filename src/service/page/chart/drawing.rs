//! Small charts: lines over the time that is known, with their scale, as SVG in the page.

use std::fmt::Write as _;
use std::ops::Range;

use maud::{Markup, html};

use crate::service::page::chart::frame::Frame;
use crate::service::page::texts::{Texts, count, fill};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// How many values a line has at most: it bounds the size of the page.
const COLUMNS: usize = 120;

/// The frames of a chart, oldest first, and its time span in Unix seconds.
pub(crate) struct Past {
    pub frames: Vec<Frame>,
    pub span: Range<i64>,
}

/// A figure of a frame; `None` where it is not known.
type Figure<'f> = dyn Fn(&Frame) -> Option<f32> + 'f;

/// A quantity with its units. A value uses the first unit that is not too large for it.
pub(crate) struct Quantity {
    units: &'static [Unit],
}

/// A value of at least `least` is shown as a multiple of `size`.
struct Unit {
    least: f64,
    size: f64,
    word: &'static str,
}

/// Events per second.
pub(crate) const RATE: Quantity = Quantity {
    units: &[
        Unit { least: 1.0, size: 1.0, word: "/s" },
        Unit { least: 1.0 / 60.0, size: 1.0 / 60.0, word: "/min" },
        Unit { least: 0.0, size: 1.0 / 3600.0, word: "/h" },
    ],
};

/// Seconds.
pub(crate) const TIME: Quantity = Quantity {
    units: &[
        Unit { least: 7200.0, size: 3600.0, word: " h" },
        Unit { least: 120.0, size: 60.0, word: " min" },
        Unit { least: 1.0, size: 1.0, word: " s" },
        Unit { least: 0.0, size: 0.001, word: " ms" },
    ],
};

/// A number of things.
pub(crate) const COUNT: Quantity =
    Quantity { units: &[Unit { least: 1.0, size: 1.0, word: "" }, Unit { least: 0.0, size: 1.0, word: "" }] };

impl Quantity {
    /// One value, with its unit.
    pub(crate) fn spell(&self, value: f64) -> String {
        let unit = self.unit(value);
        format!("{}{}", number(value / unit.size), unit.word)
    }

    /// A chart of one line for each of `figures`, with a gap where a figure is not known.
    pub(crate) fn chart(&self, texts: &Texts, past: &Past, name: &str, figures: &[&Figure<'_>]) -> Markup {
        let lines: Vec<_> = figures.iter().map(|figure| past.columns(figure)).collect();
        let most = lines.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let (top, spelled) = self.scale(most);
        let (spelled, from) = (texts.with_unit(&spelled), past.from(texts));
        let label = format!("{name}, {from}, {}", fill(texts.up_to, &[&spelled]));
        html! {
            span class="chart" {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                    path class="grid" d=(format!("M0 .5H{WIDTH}M0 {}H{WIDTH}", HEIGHT - 0.5)) {}
                    @for (index, line) in lines.iter().enumerate() {
                        path class={ "line l" (index) } d=(path(line, top)) {}
                    }
                }
                span class="top" { (spelled) }
                span class="zero" { "0" }
                span class="from" { (from) }
                span class="until" { (texts.now) }
            }
        }
    }

    /// The smallest round value that is not below `most`, and its text.
    fn scale(&self, most: f64) -> (f64, String) {
        let rounded = |unit: &Unit| round_up(most / unit.size) * unit.size;
        // 1000 ms become 1 s.
        let unit = self.unit(rounded(self.unit(most)));
        let top = rounded(unit);
        (top, format!("{}{}", number(top / unit.size), unit.word))
    }

    fn unit(&self, value: f64) -> &Unit {
        let last = &self.units[self.units.len() - 1];
        // Zero is zero in every unit; it is shown in the unit before the last.
        let value = if value > 0.0 { value } else { self.units[self.units.len() - 2].least };
        self.units.iter().find(|unit| value >= unit.least).unwrap_or(last)
    }
}

impl Past {
    /// When the charts begin.
    fn from(&self, texts: &Texts) -> String {
        fill(texts.ago, &[&texts.span(self.span.end - self.span.start)])
    }

    /// The mean of a figure in each column of the chart.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a position among some pixels"
    )]
    fn columns(&self, figure: &Figure<'_>) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0_u32); COLUMNS];
        let per_s = COLUMNS as f64 / (self.span.end - self.span.start).max(1) as f64;
        for frame in &self.frames {
            let Some(value) = figure(frame) else { continue };
            let end = (frame.end_s - self.span.start) as f64;
            let last = (end * per_s).ceil() - 1.0;
            let first = ((end - f64::from(frame.length_s)) * per_s).floor().clamp(0.0, last.max(0.0));
            if last < 0.0 {
                continue;
            }
            for (sum, count) in sums.iter_mut().take(last as usize + 1).skip(first as usize) {
                (*sum, *count) = (*sum + f64::from(value), *count + 1);
            }
        }
        sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, 50 and so on, or 1.
fn round_up(value: f64) -> f64 {
    let tens = std::iter::successors(Some(1.0), |ten| Some(ten * 10.0));
    let mut steps = tens.take(16).flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]);
    // 2.0000001 counts as 2.
    steps.find(|step| step * (1.0 + 1e-6) >= value).unwrap_or(value)
}

/// Two digits, or all digits before the point, from a thousand on in groups of three.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it has no fraction and no sign")]
pub(crate) fn number(value: f64) -> String {
    if value >= 999.5 {
        return count(value.round() as u64);
    }
    let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// The latest value is always at the right edge. A value that stays the same takes no room.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "it is a position among some pixels"
)]
fn path(values: &[Option<f64>], top: f64) -> String {
    let step = WIDTH / (COLUMNS - 1) as f64;
    let ys: Vec<Option<i32>> = values
        .iter()
        .map(|value| value.map(|value| (HEIGHT - 1.0 - value / top * (HEIGHT - 2.0)).round() as i32))
        .collect();
    let mut path = String::new();
    for (index, y) in ys.iter().enumerate() {
        let Some(y) = y else { continue };
        let [before, after] = [index.checked_sub(1), Some(index + 1)]
            .map(|other| other.and_then(|other| ys.get(other).copied().flatten()));
        let x = (index as f64 * step).round();
        // Writing to a string cannot fail.
        let _infallible = match (before, after) {
            // A single point would be invisible.
            (None, None) => write!(path, "M{x} {y}h.1"),
            (None, Some(_)) => write!(path, "M{x} {y}"),
            (Some(before), Some(after)) if before == *y && after == *y => Ok(()),
            (Some(_), _) => write!(path, "L{x} {y}"),
        };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::page::texts::ENGLISH;

    fn past(length_s: i64, step_s: u16, value: impl Fn(i64) -> Option<f32>) -> Past {
        let frame =
            |end_s| Frame { end_s, length_s: f32::from(step_s), oldest_s: value(end_s), ..Frame::default() };
        let step_s = i64::from(step_s);
        let frames = (1..=length_s / step_s).map(|step| frame(step * step_s)).collect();
        Past { frames, span: 0..length_s }
    }

    #[test]
    fn a_line_ends_at_the_right_rises_to_the_top_and_has_holes() {
        let mut values = vec![None; COLUMNS];
        assert_eq!(path(&values, 1.0), "");
        values[COLUMNS - 1] = Some(0.0);
        assert_eq!(path(&values, 1.0), "M240 39h.1");
        values[COLUMNS - 3] = Some(2.0);
        assert_eq!(path(&values, 2.0), "M236 1h.1M240 39h.1");
        assert_eq!(path(&[Some(1.0); COLUMNS], 2.0), "M0 20L240 20", "what stays the same is short");
    }

    #[test]
    fn the_first_minute_fills_the_chart_and_so_does_a_day() {
        for (length_s, step_s) in [(60, 10), (600, 10), (86_400, 360)] {
            let whole = past(length_s, step_s, |_| Some(3.0)).columns(&|frame| frame.oldest_s);
            assert!(whole.iter().all(|value| *value == Some(3.0)), "{length_s}: {whole:?}");
            let half = past(length_s, step_s, |end_s| (end_s * 2 > length_s).then_some(3.0));
            let half = half.columns(&|frame| frame.oldest_s);
            assert_eq!(half.iter().flatten().count(), COLUMNS / 2, "{length_s}");
            assert!(half[0].is_none() && half[COLUMNS - 1].is_some(), "{length_s}");
        }
    }

    #[test]
    fn frames_outside_of_the_span_are_not_drawn() {
        let mut past = past(600, 10, |_| Some(3.0));
        past.span = 1000..2000;
        assert_eq!(past.columns(&|frame| frame.oldest_s).iter().flatten().count(), 0);
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let chart = TIME.chart(&ENGLISH, &past(600, 10, |_| Some(3.0)), "Oldest", &[&|frame| frame.oldest_s]);
        let text = chart.into_string();
        assert!(text.contains("aria-label=\"Oldest, 10 min ago, up to 5 s\""), "{text}");
    }

    #[test]
    fn scales_are_round_and_in_units_that_fit() {
        let tops = [0.0, 0.0003, 1.0 / 30.0, 0.9, 1.0, 7.3, 1234.0].map(|most| RATE.scale(most).1);
        assert_eq!(tops, ["1/min", "2/h", "2/min", "1/s", "1/s", "10/s", "2,000/s"]);
        let tops = [0.0, 0.02, 0.7, 1.1, 119.0, 130.0, 80_000.0].map(|most| TIME.scale(most).1);
        assert_eq!(tops, ["1 s", "20 ms", "1 s", "2 s", "2 min", "5 min", "50 h"]);
        let tops = [0.0, 1.0, 3.0, 40.0].map(|most| COUNT.scale(most).1);
        assert_eq!(tops, ["1", "1", "5", "50"]);
        let (top, _) = RATE.scale(1.0 / 30.0);
        assert!((top - 1.0 / 30.0).abs() < 1e-9, "{top}");
    }

    #[test]
    fn values_are_spelled_with_few_digits() {
        assert_eq!(
            [0.0, 0.5, 2.0, 2.44, 12.3].map(|value| RATE.spell(value)),
            ["0/min", "30/min", "2/s", "2.4/s", "12/s"]
        );
        assert_eq!(
            [0.0, 0.42, 12.3, 600.0].map(|value| TIME.spell(value)),
            ["0 s", "420 ms", "12 s", "10 min"]
        );
    }
}

//! Small charts of the last hour: one line each, with its scale, as SVG in the page.

use maud::{Markup, html};

use crate::service::page::history::STEPS;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// A quantity with its units. A value uses the first unit that is not too large for it.
pub(crate) struct Quantity {
    name: &'static str,
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
    name: "Rate",
    units: &[
        Unit { least: 1.0, size: 1.0, word: "/s" },
        Unit { least: 1.0 / 60.0, size: 1.0 / 60.0, word: "/min" },
        Unit { least: 0.0, size: 1.0 / 3600.0, word: "/h" },
    ],
};

/// Seconds from an event to its delivery.
pub(crate) const LATENCY: Quantity = Quantity {
    name: "Latency",
    units: &[
        Unit { least: 7200.0, size: 3600.0, word: " h" },
        Unit { least: 120.0, size: 60.0, word: " min" },
        Unit { least: 1.0, size: 1.0, word: " s" },
        Unit { least: 0.0, size: 0.001, word: " ms" },
    ],
};

impl Quantity {
    /// A line through `values`, oldest first, with a gap for each `None`. `now` is the text of the latest value.
    pub(crate) fn over_the_hour(&self, values: &[Option<f64>], now: &str) -> Markup {
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        let (top, spelled) = self.scale(most);
        let label = format!("{} over the last hour, up to {spelled}", self.name);
        html! {
            figure class="chart" {
                figcaption { (self.name) " " strong { (now) } }
                span class="top" { (spelled) }
                span class="zero" { "0" }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                    path class="grid" d=(format!("M0 0.5H{WIDTH}M0 {0}H{WIDTH}", HEIGHT - 0.5)) {}
                    path class="line" d=(path(values, top)) {}
                }
                span class="from" { "1 h ago" }
                span class="until" { "now" }
            }
        }
    }

    /// One value, with its unit.
    pub(crate) fn spell(&self, value: f64) -> String {
        let unit = self.unit(value);
        format!("{}{}", number(value / unit.size), unit.word)
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

/// The next of 1, 2, 5, 10, 20, 50 and so on, or 1.
fn round_up(value: f64) -> f64 {
    let tens = std::iter::successors(Some(1.0), |ten| Some(ten * 10.0));
    let mut steps = tens.take(16).flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]);
    // 2.0000001 counts as 2.
    steps.find(|step| step * (1.0 + 1e-9) >= value).unwrap_or(value)
}

/// Two digits, or all digits before the point.
fn number(value: f64) -> String {
    let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// The latest value is always at the right edge.
#[expect(clippy::cast_precision_loss, reason = "it is a position among some pixels")]
fn path(values: &[Option<f64>], top: f64) -> String {
    let (step, first) = (WIDTH / (STEPS - 1) as f64, STEPS.saturating_sub(values.len()));
    let (mut path, mut is_drawing) = (String::new(), false);
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = (first + index) as f64 * step;
        let y = HEIGHT - 1.0 - value / top * (HEIGHT - 2.0);
        // A single point would be invisible.
        let stroke = if is_drawing { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h0.1") };
        path.push_str(&stroke);
        is_drawing = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_rises_to_the_top_and_has_holes() {
        assert_eq!(path(&[], 1.0), "");
        assert_eq!(path(&[Some(0.0)], 1.0), "M240.0 39.0h0.1");
        let three = path(&[Some(1.0), None, Some(2.0)], 2.0);
        assert_eq!(three, "M236.0 20.0h0.1M240.0 1.0h0.1");
    }

    #[test]
    fn scales_are_round_and_in_units_that_fit() {
        let tops = [0.0, 0.0003, 1.0 / 30.0, 0.9, 1.0, 7.3, 1234.0].map(|most| RATE.scale(most).1);
        assert_eq!(tops, ["1/min", "2/h", "2/min", "1/s", "1/s", "10/s", "2000/s"]);
        let tops = [0.0, 0.02, 0.7, 1.1, 119.0, 130.0, 80_000.0].map(|most| LATENCY.scale(most).1);
        assert_eq!(tops, ["1 s", "20 ms", "1 s", "2 s", "2 min", "5 min", "50 h"]);
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
            [0.0, 0.42, 12.3, 600.0].map(|value| LATENCY.spell(value)),
            ["0 s", "420 ms", "12 s", "10 min"]
        );
    }
}

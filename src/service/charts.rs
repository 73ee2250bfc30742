//! Small pictures of an hour: one line each, as SVG within the page.

use maud::{Markup, html};

use super::history::STEPS;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 36.0;

/// A line through `values`, oldest first, of which `None` leaves a hole; `label` says what it shows.
pub fn line(values: &[Option<f64>], label: &str) -> Markup {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    html! {
        svg class="chart" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
            title { (label) }
            path d=(path(values, most)) {}
        }
    }
}

/// The latest value is at the right edge, whatever there is.
#[expect(clippy::cast_precision_loss, reason = "it is a position among some pixels")]
fn path(values: &[Option<f64>], most: f64) -> String {
    let (step, first) = (WIDTH / (STEPS - 1) as f64, STEPS.saturating_sub(values.len()));
    let (mut path, mut is_drawing) = (String::new(), false);
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = (first + index) as f64 * step;
        let y = HEIGHT - 1.0 - if most > 0.0 { value / most * (HEIGHT - 2.0) } else { 0.0 };
        // A single point would not be seen.
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
        assert_eq!(path(&[], 0.0), "");
        assert_eq!(path(&[Some(0.0)], 0.0), "M240.0 35.0h0.1");
        let three = path(&[Some(1.0), None, Some(2.0)], 2.0);
        assert_eq!(three, "M236.0 18.0h0.1M240.0 1.0h0.1");
    }
}

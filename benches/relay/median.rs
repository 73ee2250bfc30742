//! The median of several values, which a single bad round changes little.

/// Half of `figures` are at most this value; NaN if there are none.
pub(crate) fn median(metrics: impl Iterator<Item = f64>) -> f64 {
    let mut metrics: Vec<f64> = metrics.collect();
    metrics.sort_by(f64::total_cmp);
    if metrics.is_empty() {
        return f64::NAN;
    }
    let middle = metrics.len() / 2;
    if metrics.len() % 2 == 1 { metrics[middle] } else { f64::midpoint(metrics[middle - 1], metrics[middle]) }
}

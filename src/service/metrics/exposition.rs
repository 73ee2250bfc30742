//! The two text formats of Prometheus: `OpenMetrics`, and the older format, which differs in some names and at its end.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The older format.
pub(crate) const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The newer format.
pub(crate) const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether this `Accept` header prefers `OpenMetrics`.
pub(crate) fn wants_open(accept: &str) -> bool {
    accept.contains("application/openmetrics-text")
}

/// All of `registries` in the newer format.
pub(crate) fn open(registries: &[&Registry]) -> String {
    let mut text = body(registries);
    text.push_str("# EOF\n");
    text
}

/// All of `registries` in the older format.
pub(crate) fn classic(registries: &[&Registry]) -> String {
    let (body, mut text) = (body(registries), String::new());
    let is = |kind: &str, name: &str| body.contains(&format!("# TYPE {name} {kind}\n"));
    for line in body.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT"), ..) => continue,
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) if is("counter", name) => {
                text.extend(["# ", what, " ", name, "_total ", rest]);
            }
            (Some("#"), Some("HELP"), Some(name), Some(rest)) if is("info", name) => {
                text.extend(["# HELP ", name, "_info ", rest]);
            }
            // The older format has no such type.
            (Some("#"), Some("TYPE"), Some(name), Some("info")) => {
                text.extend(["# TYPE ", name, "_info gauge"]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn body(registries: &[&Registry]) -> String {
    let mut body = String::new();
    for registry in registries {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _infallible = encode(&mut text, registry);
        body.push_str(text.trim_end_matches("# EOF\n"));
    }
    body
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::info::Info;

    use super::*;

    #[test]
    fn both_forms_name_a_counter_as_their_readers_expect() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc();
        registry.register("polls", "Finished polls", counter);
        registry.register("up", "Whether it is", Gauge::<i64>::default());
        registry.register("build", "This program", Info::new([("version", "1")]));
        let rest = "# HELP up Whether it is.\n# TYPE up gauge\nup 0\n";
        let build = "build_info{version=\"1\"} 1\n";
        assert_eq!(
            open(&[&registry]),
            format!(
                "# HELP polls Finished polls.\n# TYPE polls counter\npolls_total 1\n{rest}# HELP build This program.\n# TYPE build info\n{build}# EOF\n"
            )
        );
        assert_eq!(
            classic(&[&registry]),
            format!(
                "# HELP polls_total Finished polls.\n# TYPE polls_total counter\npolls_total 1\n{rest}# HELP build_info This program.\n# TYPE build_info gauge\n{build}"
            )
        );
    }
}

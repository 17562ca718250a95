//! What is measured, as Prometheus reads it: OpenMetrics, or the older text format for who does not ask for it.
//!
//! Labels are names that a person chose (peers, ports, networks) and fixed words (reasons, causes, states): their number is
//! bounded by the configuration, and none is an address of a pod.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use self::families::families;
use super::protocol::{Histogram, Metrics};

mod families;
#[cfg(test)]
mod tests;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
    Classic,
}

/// The text of a scrape; `started_ms` is when the daemon started, in milliseconds since 1970.
pub(super) fn encode(metrics: &Metrics, started_ms: u64, style: Style) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("weft");
    registry.register_collector(Box::new(families(metrics, started_ms)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(match style {
        Style::OpenMetrics => text,
        Style::Classic => classic(&text),
    })
}

/// All families of one moment.
#[derive(Debug, Default)]
struct Families(Vec<Family>);

/// One metric with all its label sets.
#[derive(Debug)]
struct Family {
    name: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
    /// So many of its values are one of the metric's unit.
    Spread(Histogram, f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for Sample { labels, value } in &self.samples {
            if self.kind == Kind::Info {
                metric.encode_info(labels)?;
                continue;
            }
            if labels.is_empty() {
                // A family of no labels would get empty braces.
                value.encode(self.kind, &mut metric)?;
            } else {
                value.encode(self.kind, &mut metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: Kind, sample: &mut MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (Kind::Counter, Self::Whole(value)) => sample.encode_counter::<NoLabelSet, _, u64>(value, None),
            (Kind::Counter, Self::Real(value)) => sample.encode_counter::<NoLabelSet, _, u64>(value, None),
            (_, Self::Whole(value)) => sample.encode_gauge(value),
            (_, Self::Real(value)) => sample.encode_gauge(value),
            (_, Self::Spread(histogram, unit)) => encode_histogram(histogram, *unit, sample),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // of frames and nanoseconds
fn encode_histogram(of: &Histogram, unit: f64, sample: &mut MetricEncoder<'_>) -> fmt::Result {
    let scaled = |value: u64| value as f64 / unit;
    let bounds = of.bounds.iter().map(|bound| scaled(*bound)).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(of.counts.iter().copied()).collect();
    sample.encode_histogram::<NoLabelSet>(scaled(of.sum), of.counts.iter().sum(), &buckets, None)
}

/// The same in the older format: there the family of a counter has the name of its samples, an info is a gauge, and neither
/// units nor an end are told.
fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // What comes before the TYPE line of the same family is known only with that.
    let mut help = None;
    for line in text.lines() {
        let words = line.split_once(' ').filter(|(mark, _)| *mark == "#").map(|(_, rest)| rest);
        let split = words.and_then(|rest| rest.split_once(' '));
        match split {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                if let Some((_, help)) = help.take() {
                    out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                }
                out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            _ if words.is_some() => {}
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

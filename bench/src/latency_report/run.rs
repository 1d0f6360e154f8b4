//! One run, read back from the JSON that a scenario wrote.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Deserialize;
use serde_json::Value;

use crate::latency::histogram;

/// What is needed of a report; runs without load have only a part of it.
#[derive(Deserialize)]
struct Json {
    scenario: String,
    conditions: BTreeMap<String, Value>,
    #[serde(default)]
    operations: BTreeMap<String, JsonOperation>,
    check: JsonCheck,
    client_cpu_s: f64,
    client_cpu_share: Option<f64>,
    client_wait_share: Option<f64>,
    server_cpu_s: Option<f64>,
    ops_per_server_cpu_s: Option<f64>,
    #[serde(default)]
    figures: BTreeMap<String, f64>,
    #[serde(default)]
    series: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct JsonCheck {
    violations: u64,
}

#[derive(Deserialize)]
struct JsonOperation {
    errors: u64,
    per_second: f64,
    over_time: JsonOverTime,
}

#[derive(Deserialize)]
struct JsonOverTime {
    start_s: f64,
    window_s: f64,
    tick_s: f64,
    answered: Vec<u32>,
    worst_us: Vec<f64>,
    histograms: Vec<String>,
}

pub(super) struct Run {
    /// The name it has in legends and tables.
    pub(super) label: String,
    pub(super) scenario: String,
    pub(super) conditions: BTreeMap<String, Value>,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) violations: u64,
    pub(super) client_cpu_s: f64,
    pub(super) client_cpu_share: Option<f64>,
    pub(super) client_wait_share: Option<f64>,
    pub(super) server_cpu_s: Option<f64>,
    pub(super) ops_per_server_cpu_s: Option<f64>,
    pub(super) figures: BTreeMap<String, f64>,
    pub(super) series: BTreeMap<String, Vec<f64>>,
}

/// What one kind of operation did.
pub(super) struct Operation {
    pub(super) errors: u64,
    pub(super) per_second: f64,
    /// All latencies, in nanoseconds.
    pub(super) latency_ns: Histogram<u64>,
    /// By second; nothing where none ended.
    pub(super) seconds: Vec<Option<Histogram<u64>>>,
    /// When the window began, by a clock that all operations of the run have in common.
    pub(super) start_s: f64,
    pub(super) window_s: f64,
    pub(super) tick_s: f64,
    /// By tick: replies, and the worst latency, 0 without one.
    pub(super) answered: Vec<u32>,
    pub(super) worst_ns: Vec<f64>,
}

impl Run {
    pub(super) fn parse(label: String, json: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut operations = BTreeMap::new();
        for (name, operation) in json.operations {
            // It becomes a part of the names of files.
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("`{name}` is no operation"));
            }
            let operation = Operation::parse(operation).map_err(|why| format!("{name}: {why}"))?;
            operations.insert(name, operation);
        }
        Ok(Self {
            label,
            scenario: json.scenario,
            conditions: json.conditions,
            operations,
            violations: json.check.violations,
            client_cpu_s: json.client_cpu_s,
            client_cpu_share: json.client_cpu_share,
            client_wait_share: json.client_wait_share,
            server_cpu_s: json.server_cpu_s,
            ops_per_server_cpu_s: json.ops_per_server_cpu_s,
            figures: json.figures,
            series: json.series,
        })
    }

    /// A condition in words; none when it is not known.
    pub(super) fn condition(&self, name: &str) -> Option<String> {
        self.conditions.get(name).and_then(in_words)
    }

    /// When the measured window began.
    pub(super) fn started(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(self.conditions.get("started")?.as_str()?).ok()
    }

    /// When the first window of all began, by the clock of [`Operation::start_s`].
    pub(super) fn start_s(&self) -> f64 {
        self.operations.values().map(|operation| operation.start_s).fold(f64::MAX, f64::min)
    }

    /// Requests left by a schedule, whatever the server did.
    pub(super) fn is_open_loop(&self) -> bool {
        self.conditions.contains_key("rate")
    }

    /// The next request waited for a reply.
    pub(super) fn is_closed_loop(&self) -> bool {
        self.condition("loop").as_deref() == Some("closed")
    }
}

impl Operation {
    fn parse(json: JsonOperation) -> Result<Self, String> {
        let JsonOperation { errors, per_second, over_time } = json;
        let mut latency_ns = histogram();
        let mut seconds = Vec::new();
        for encoded in &over_time.histograms {
            let second = decode(encoded)?;
            if let Some(second) = &second {
                latency_ns.add(second).map_err(|error| error.to_string())?;
            }
            seconds.push(second);
        }
        Ok(Self {
            errors,
            per_second,
            latency_ns,
            seconds,
            start_s: over_time.start_s,
            window_s: over_time.window_s,
            tick_s: over_time.tick_s,
            answered: over_time.answered,
            worst_ns: over_time.worst_us.iter().map(|us| us * 1000.0).collect(),
        })
    }

    /// When a second's histogram begins, from the start of the window, and how long it is.
    pub(super) fn second(&self, index: usize) -> (Duration, Duration) {
        let length_s = (self.window_s - index as f64).clamp(0.001, 1.0);
        (Duration::from_secs(index as u64), Duration::from_secs_f64(length_s))
    }
}

fn decode(encoded: &str) -> Result<Option<Histogram<u64>>, String> {
    if encoded.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    let decoded = Deserializer::new().deserialize(&mut &bytes[..]);
    decoded.map(Some).map_err(|error| format!("a histogram does not decode: {error:?}"))
}

/// A value of a report as people read it; nothing for null.
fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            Some(values.iter().filter_map(in_words).collect::<Vec<_>>().join(", "))
        }
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").unwrap_or(&text).to_owned())
        }
        Value::Object(_) => Some(value.to_string()),
    }
}

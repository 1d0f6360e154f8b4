//! The steps that Menagerie answers otherwise than Apache ZooKeeper, on purpose.
//!
//! Each entry of `tests/golden/deviations.json` names one step of one file, says why, and holds
//! our answer in the form of a transcript: it is asserted like any other step, not skipped.

use super::transcript::{Response, Step, Transcript, directory};
use serde::Deserialize;

#[derive(Debug, Default)]
pub struct Deviations(Vec<Deviation>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    file: String,
    scenario: String,
    step: u32,
    reason: String,
    responses: Vec<Response>,
    closed: Vec<String>,
}

impl Deviations {
    /// None: for a replay against Apache ZooKeeper itself.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// # Panics
    /// When the file is missing or does not have the documented form: it is part of the tests.
    #[must_use]
    pub fn load() -> Self {
        let path = directory().join("deviations.json");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = serde_json::from_str(&text);
        Self(parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The step with our answer in place of the captured one, where they differ.
    pub(super) fn apply(&self, file: &str, step: &Step) -> Step {
        let mut step = step.clone();
        if let Some(deviation) = self.0.iter().find(|deviation| deviation.names(file, &step)) {
            step.responses.clone_from(&deviation.responses);
            step.closed.clone_from(&deviation.closed);
        }
        step
    }

    /// Entries for `transcript` that name no step of it, give no reason, or say what it says.
    #[must_use]
    pub fn pointless(&self, transcript: &Transcript) -> Vec<String> {
        let of_file = self.0.iter().filter(|deviation| deviation.file == transcript.name);
        let pointless = |deviation: &&Deviation| {
            let mut steps = transcript.steps.iter();
            let step = steps.find(|step| deviation.names(&transcript.name, step));
            deviation.reason.is_empty() || step.is_none_or(|step| deviation.repeats(step))
        };
        let name = |deviation: &Deviation| format!("{} {}", deviation.scenario, deviation.step);
        of_file.filter(pointless).map(name).collect()
    }

    /// The files that the entries name.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|deviation| deviation.file.as_str())
    }
}

impl Deviation {
    fn names(&self, file: &str, step: &Step) -> bool {
        (self.file.as_str(), self.scenario.as_str(), self.step)
            == (file, step.scenario.as_str(), step.step)
    }

    fn repeats(&self, step: &Step) -> bool {
        let frames = |responses: &[Response]| -> Vec<_> {
            responses.iter().map(|frame| (frame.conn.clone(), frame.bytes.clone())).collect()
        };
        frames(&self.responses) == frames(&step.responses) && self.closed == step.closed
    }
}

//! The steps that Menagerie answers otherwise than Apache ZooKeeper, on purpose.
//!
//! Each entry of `tests/golden/deviations.json` names one step of one file, says why, and holds
//! what is played instead, in the form of a transcript: our answer is asserted like any other. It
//! may take several steps, where the conversation has to be brought back to what the captured steps
//! behind it rely on: a connection that we close and Apache keeps is resumed. An entry with nothing
//! to play leaves the step out; one without a step stands for a whole scenario.

use super::transcript::{Step, Transcript, directory};
use serde::Deserialize;

#[derive(Debug, Default)]
pub struct Deviations(Vec<Deviation>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    file: String,
    scenario: String,
    step: Option<u32>,
    reason: String,
    instead: Vec<Step>,
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

    /// What to play for a captured step: itself, or what we have instead.
    pub(super) fn apply(&self, file: &str, step: &Step) -> Vec<Step> {
        let Some(deviation) = self.0.iter().find(|deviation| deviation.names(file, step)) else {
            return vec![step.clone()];
        };
        let own = deviation.instead.iter().map(|own| {
            let note = format!("{}; deviation: {}", step.note, own.note);
            Step { scenario: step.scenario.clone(), step: step.step, note, ..own.clone() }
        });
        own.collect()
    }

    /// Entries for `transcript` that name no step of it, give no reason, say what it says, or play
    /// something in place of each step of a scenario.
    #[must_use]
    pub fn pointless(&self, transcript: &Transcript) -> Vec<String> {
        let of_file = self.0.iter().filter(|deviation| deviation.file == transcript.name);
        let pointless = |deviation: &&Deviation| {
            let mut steps = transcript.steps.iter();
            let step = steps.find(|step| deviation.names(&transcript.name, step));
            let whole = deviation.step.is_none();
            deviation.reason.is_empty()
                || whole && !deviation.instead.is_empty()
                || step.is_none_or(|step| deviation.repeats(step))
        };
        let name = |deviation: &Deviation| format!("{} {:?}", deviation.scenario, deviation.step);
        of_file.filter(pointless).map(name).collect()
    }

    /// The files that the entries name.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|deviation| deviation.file.as_str())
    }
}

impl Deviation {
    fn names(&self, file: &str, step: &Step) -> bool {
        (self.file.as_str(), self.scenario.as_str()) == (file, step.scenario.as_str())
            && self.step.is_none_or(|own| own == step.step)
    }

    fn repeats(&self, step: &Step) -> bool {
        let [own] = self.instead.as_slice() else {
            return false;
        };
        let same_frames = own.responses.len() == step.responses.len()
            && own.responses.iter().zip(&step.responses).all(|(own, captured)| {
                (&own.conn, &own.bytes) == (&captured.conn, &captured.bytes)
            });
        same_frames && own.closed == step.closed
    }
}

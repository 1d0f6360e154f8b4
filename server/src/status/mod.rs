//! `menagerie status`: how the servers of an ensemble are, seen from outside.
//!
//! Each server is asked on its client port with the four-letter words that Apache ZooKeeper has
//! too, so the table holds for both, and for an ensemble of both. All are asked at the same time,
//! on blocking sockets and threads: nothing here shares code with a running server but the names
//! of things. A server that cannot be asked still has its row, which says why.
//!
//! The answers are not of one instant, so the lag of a busy ensemble is an estimate. Nothing is
//! remembered between two calls, and nothing is concluded about the ensemble as a whole.

mod figures;
mod probe;
mod table;

use std::fmt;
use std::thread;
use std::time::Duration;

use menagerie_wire::Zxid;
use serde::Serialize;

use crate::admin::Mode;
use figures::Figures;
use probe::{Answer, ProbeError};

/// One row for each server that was asked, in the order of asking.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
}

/// What is told of one server; the names are the keys of `--json`. `None` is what the server did
/// not tell.
#[derive(Debug, Serialize)]
struct Row {
    /// As the operator wrote it.
    address: String,
    /// Whether it serves clients that read and write.
    serving: bool,
    role: Option<&'static str>,
    /// In ZooKeeper's form, because 64 bits are too many for some readers of JSON.
    zxid: Option<String>,
    epoch: Option<u32>,
    zxid_counter: Option<u32>,
    lag: Lag,
    sessions: Option<u64>,
    connections: Option<u64>,
    outstanding_requests: Option<u64>,
    latency_ms_min: Option<u64>,
    latency_ms_avg: Option<f64>,
    latency_ms_max: Option<u64>,
    nodes: Option<u64>,
    /// Followers and observers connected to this leader.
    learners: Option<u64>,
    synced_followers: Option<u64>,
    synced_observers: Option<u64>,
    /// Voters of the ensemble.
    quorum_size: Option<u64>,
    version: Option<String>,
    /// What the figures do not say, in words.
    note: Option<String>,
}

/// How far a member is behind the most advanced one that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Lag {
    Zxids(u32),
    /// Zxids of two epochs have no distance.
    OtherEpoch,
    /// Its zxid is not known, or it stands alone.
    None,
}

impl Report {
    /// Asks every server, each of `HOST:PORT`, for at most `timeout`.
    pub fn ask(servers: &[String], timeout: Duration) -> Self {
        let answers = thread::scope(|scope| {
            let asked =
                servers.iter().map(|server| scope.spawn(move || probe::probe(server, timeout)));
            // All are asked before the first is waited for.
            let asked: Vec<_> = asked.collect();
            let answer = asked.into_iter().map(|thread| {
                thread.join().expect("a probe does not panic, whatever a server says")
            });
            answer.collect()
        });
        Self::of(servers, answers)
    }

    fn of(servers: &[String], answers: Vec<Result<Answer, ProbeError>>) -> Self {
        let members = answers.iter().flatten().map(|answer| &answer.figures);
        let newest = members.filter_map(zxid_as_member).max();
        let rows = servers.iter().zip(answers);
        Self { rows: rows.map(|(server, answer)| Row::of(server, answer, newest)).collect() }
    }

    /// Whether every server answered that it serves.
    pub fn all_serve(&self) -> bool {
        self.rows.iter().all(|row| row.serving)
    }

    /// An array with one object for each server; every key is always there.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.rows).expect("rows are text and numbers")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table::render(&self.rows))
    }
}

impl Row {
    fn of(server: &str, answer: Result<Answer, ProbeError>, newest: Option<Zxid>) -> Self {
        let (told, note) = match answer {
            Ok(Answer { figures, note }) => {
                let notes = [note_of_mode(&figures), note].into_iter().flatten();
                (figures, notes.collect::<Vec<_>>().join("; "))
            }
            Err(error) => (Figures::default(), error.to_string()),
        };
        Self {
            address: server.to_owned(),
            serving: told.mode.is_some_and(|mode| mode != Mode::ReadOnly),
            role: told.mode.map(Mode::as_str),
            zxid: told.zxid.map(|zxid| zxid.to_string()),
            epoch: told.zxid.map(|zxid| zxid.epoch().0),
            zxid_counter: told.zxid.map(Zxid::counter),
            lag: lag(&told, newest),
            sessions: told.sessions,
            connections: told.connections,
            outstanding_requests: told.outstanding_requests,
            latency_ms_min: told.latency_ms_min,
            latency_ms_avg: told.latency_ms_avg,
            latency_ms_max: told.latency_ms_max,
            nodes: told.nodes,
            learners: told.learners,
            synced_followers: told.synced_followers,
            synced_observers: told.synced_observers,
            quorum_size: told.quorum_size,
            version: told.version,
            note: Some(note).filter(|note| !note.is_empty()),
        }
    }
}

fn note_of_mode(figures: &Figures) -> Option<String> {
    match figures.mode? {
        Mode::ReadOnly => Some("without quorum, serves only read-only clients".to_owned()),
        Mode::Leader => {
            let followers = figures.synced_followers?;
            let observers = figures.synced_observers.filter(|&observers| observers > 0);
            let observers = observers.map(|observers| format!(", observers: {observers}"));
            Some(format!("synced followers: {followers}{}", observers.unwrap_or_default()))
        }
        Mode::Standalone | Mode::Looking | Mode::Follower | Mode::Observer => None,
    }
}

fn lag(figures: &Figures, newest: Option<Zxid>) -> Lag {
    match (zxid_as_member(figures), newest) {
        (Some(own), Some(newest)) if own.epoch() == newest.epoch() => {
            Lag::Zxids(newest.counter() - own.counter())
        }
        (Some(_), Some(_)) => Lag::OtherEpoch,
        _ => Lag::None,
    }
}

/// A standalone server's zxids have nothing to do with anybody's.
fn zxid_as_member(figures: &Figures) -> Option<Zxid> {
    figures.zxid.filter(|_| figures.mode != Some(Mode::Standalone))
}

#[cfg(test)]
mod tests {
    use menagerie_wire::Epoch;
    use serde_json::{Value, json};

    use super::*;

    fn told(mode: Mode, epoch: u32, counter: u32) -> Result<Answer, ProbeError> {
        let zxid = Some(Zxid::new(Epoch(epoch), counter));
        Ok(Answer { figures: Figures { mode: Some(mode), zxid, ..Figures::default() }, note: None })
    }

    fn report(answers: Vec<Result<Answer, ProbeError>>) -> Report {
        let servers: Vec<_> = (0..answers.len()).map(|index| format!("s{index}:2181")).collect();
        Report::of(&servers, answers)
    }

    #[test]
    fn lag_is_counted_from_the_most_advanced_member_of_the_same_epoch() {
        let check = |answers, expect: &[Lag]| {
            let rows = report(answers).rows;
            assert_eq!(rows.iter().map(|row| row.lag).collect::<Vec<_>>(), expect);
        };
        let (leader, follower, observer) = (Mode::Leader, Mode::Follower, Mode::Observer);
        let even = vec![told(leader, 3, 9), told(follower, 3, 7), told(observer, 3, 9)];
        check(even, &[Lag::Zxids(0), Lag::Zxids(2), Lag::Zxids(0)]);
        // Asked a moment later, a follower may tell more than its leader did.
        check(vec![told(leader, 3, 5), told(follower, 3, 6)], &[Lag::Zxids(1), Lag::Zxids(0)]);
        check(vec![told(follower, 2, 9), told(leader, 3, 0)], &[Lag::OtherEpoch, Lag::Zxids(0)]);
        let alone = vec![told(Mode::Standalone, 9, 9), told(follower, 1, 1)];
        check(alone, &[Lag::None, Lag::Zxids(0)]);
        check(vec![Err(ProbeError::Refused), told(leader, 1, 1)], &[Lag::None, Lag::Zxids(0)]);
    }

    #[test]
    fn all_serve_only_when_each_one_does() {
        let check = |answer, expect| {
            let report = report(vec![told(Mode::Leader, 1, 1), answer]);
            assert_eq!(report.all_serve(), expect, "{report}");
        };
        check(told(Mode::Follower, 1, 1), true);
        check(told(Mode::Standalone, 1, 1), true);
        check(told(Mode::ReadOnly, 1, 1), false);
        check(Err(ProbeError::NotServing), false);
        check(Err(ProbeError::NotWhitelisted), false);
        check(Err(ProbeError::Silent(Duration::from_millis(5))), false);
    }

    #[test]
    fn every_key_is_in_every_object() {
        let report = report(vec![
            told(Mode::Leader, 3, 12),
            told(Mode::Follower, 2, 1),
            Err(ProbeError::Refused),
        ]);
        let json: Value = serde_json::from_str(&report.to_json()).unwrap();
        let keys = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let [leader, follower, dead] = json.as_array().unwrap().as_slice() else {
            panic!("three rows: {json}");
        };
        assert_eq!((keys(leader), keys(follower)), (keys(dead), keys(dead)));
        assert_eq!(leader["zxid"], "0x30000000c");
        assert_eq!((&leader["epoch"], &leader["zxid_counter"]), (&json!(3), &json!(12)));
        assert_eq!((&leader["lag"], &follower["lag"]), (&json!(0), &Value::Null));
        assert_eq!((&dead["serving"], &dead["role"]), (&json!(false), &Value::Null));
        assert_eq!(dead["note"], "refuses connections");
    }

    #[test]
    fn a_leader_says_who_is_in_sync() {
        let check = |mode, synced_followers, synced_observers, expect: Option<&str>| {
            let mode = Some(mode);
            let figures =
                Figures { mode, synced_followers, synced_observers, ..Default::default() };
            assert_eq!(note_of_mode(&figures).as_deref(), expect);
        };
        check(Mode::Leader, Some(2), Some(0), Some("synced followers: 2"));
        let both = "synced followers: 2, observers: 3";
        check(Mode::Leader, Some(2), Some(3), Some(both));
        check(Mode::Leader, None, None, None);
        check(Mode::Follower, None, None, None);
    }
}

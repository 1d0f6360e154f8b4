//! What `srvr` and `mntr` tell, read from their texts.
//!
//! Lines and keys that are not known are passed over, and a figure that cannot be read is one that
//! was not told: versions of ZooKeeper differ in what they print. What is kept of the text itself
//! is fit for a terminal.

use std::str::FromStr;

use menagerie_wire::Zxid;

use crate::admin::Mode;

const TEXT_CHARS_MAX: usize = 120;

/// What one server told of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) mode: Option<Mode>,
    pub(super) zxid: Option<Zxid>,
    pub(super) sessions: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) outstanding_requests: Option<u64>,
    pub(super) latency_ms_min: Option<u64>,
    pub(super) latency_ms_avg: Option<f64>,
    pub(super) latency_ms_max: Option<u64>,
    pub(super) nodes: Option<u64>,
    pub(super) learners: Option<u64>,
    pub(super) synced_followers: Option<u64>,
    pub(super) synced_observers: Option<u64>,
    pub(super) quorum_size: Option<u64>,
    pub(super) version: Option<String>,
}

impl Figures {
    // ZooKeeper: StatCommand, ServerStats.toString.
    pub(super) fn take_srvr(&mut self, text: &str) {
        for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            match key {
                "Zookeeper version" => self.version = Some(printable(value)),
                "Latency min/avg/max" => self.take_latency(value),
                "Connections" => self.connections = number(value),
                "Outstanding" => self.outstanding_requests = number(value),
                "Zxid" => self.zxid = zxid(value),
                "Mode" => self.mode = mode(value),
                "Node count" => self.nodes = number(value),
                _ => {}
            }
        }
    }

    // ZooKeeper: MonitorCommand; LeaderZooKeeperServer.registerMetrics for the learners.
    pub(super) fn take_mntr(&mut self, text: &str) {
        for (key, value) in text.lines().filter_map(|line| line.split_once('\t')) {
            match key {
                "zk_version" => self.version = Some(printable(value)),
                "zk_server_state" => self.mode = mode(value),
                "zk_min_latency" => self.latency_ms_min = number(value),
                "zk_avg_latency" => self.latency_ms_avg = mean(value),
                "zk_max_latency" => self.latency_ms_max = number(value),
                "zk_num_alive_connections" => self.connections = number(value),
                "zk_outstanding_requests" => self.outstanding_requests = number(value),
                "zk_znode_count" => self.nodes = number(value),
                "zk_global_sessions" => self.sessions = number(value),
                "zk_learners" => self.learners = number(value),
                "zk_synced_followers" => self.synced_followers = number(value),
                "zk_synced_observers" => self.synced_observers = number(value),
                "zk_quorum_size" => self.quorum_size = number(value),
                _ => {}
            }
        }
    }

    fn take_latency(&mut self, value: &str) {
        let mut parts = value.split('/');
        self.latency_ms_min = parts.next().and_then(number);
        self.latency_ms_avg = parts.next().and_then(mean);
        self.latency_ms_max = parts.next().and_then(number);
    }
}

/// The beginning of what a server said, without what moves a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim().chars().take(TEXT_CHARS_MAX).map(visible).collect()
}

fn number<N: FromStr>(value: &str) -> Option<N> {
    value.trim().parse().ok()
}

fn mean(value: &str) -> Option<f64> {
    number(value).filter(|mean: &f64| mean.is_finite())
}

fn zxid(value: &str) -> Option<Zxid> {
    let digits = value.trim().strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok().map(|zxid| Zxid(zxid.cast_signed()))
}

fn mode(value: &str) -> Option<Mode> {
    let modes = [Mode::Standalone, Mode::Leader, Mode::Follower, Mode::Observer, Mode::ReadOnly];
    modes.into_iter().find(|mode| mode.as_str() == value.trim())
}

#[cfg(test)]
mod tests {
    use menagerie_wire::Epoch;
    use serde_json::Value;

    use super::*;
    use crate::admin::metrics::Sizes;
    use crate::admin::{LatencyReport, ServerReport, four_letter};

    /// Captured from Apache's server; see the ORIGIN beside it.
    const CAPTURED: &str = include_str!("../../../tests/golden/client-4lw.jsonl");
    const CAPTURED_OF_MEMBERS: &str = include_str!("../../../tests/golden/words-ensemble.jsonl");
    const APACHES_VERSION: &str =
        "3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC";

    /// Apache's answer to `word`.
    fn captured(word: &str) -> String {
        let steps = CAPTURED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut answers = steps.filter(|step| step["note"] == word);
        let step = answers.next().expect("it was captured");
        step["responses"][0]["decoded"]["text"].as_str().expect("it is text").to_owned()
    }

    fn of_srvr(text: &str) -> Figures {
        let mut figures = Figures::default();
        figures.take_srvr(text);
        figures
    }

    fn of_mntr(text: &str) -> Figures {
        let mut figures = Figures::default();
        figures.take_mntr(text);
        figures
    }

    #[test]
    fn srvr_of_apache_is_read() {
        let expect = Figures {
            mode: Some(Mode::Standalone),
            zxid: Some(Zxid(2)),
            connections: Some(2),
            outstanding_requests: Some(0),
            latency_ms_min: Some(1),
            latency_ms_avg: Some(2.25),
            latency_ms_max: Some(4),
            nodes: Some(6),
            version: Some(APACHES_VERSION.to_owned()),
            ..Figures::default()
        };
        assert_eq!(of_srvr(&captured("srvr")), expect);
    }

    #[test]
    fn mntr_of_apache_adds_sessions_and_keeps_the_zxid() {
        let srvr = of_srvr(&captured("srvr"));
        let mut both = srvr.clone();
        both.take_mntr(&captured("mntr"));
        assert_eq!(both, Figures { sessions: Some(1), ..srvr });
    }

    #[test]
    fn srvr_of_our_own_is_read() {
        let text = four_letter::srvr(&ServerReport {
            mode: Mode::ReadOnly,
            latency: LatencyReport { min_ms: 0, avg_ms: 0.5, max_ms: 12 },
            packets_received: 12,
            packets_sent: 11,
            connections: 3,
            outstanding_requests: 4,
            last_zxid: Zxid::new(Epoch(5), 0xabc),
            node_count: 1_000_000,
            proposal_sizes: Sizes::default(),
        });
        let figures = of_srvr(&text);
        assert_eq!(figures.mode, Some(Mode::ReadOnly));
        assert_eq!(figures.zxid, Some(Zxid::new(Epoch(5), 0xabc)));
        assert_eq!((figures.latency_ms_avg, figures.latency_ms_max), (Some(0.5), Some(12)));
        assert_eq!((figures.connections, figures.outstanding_requests), (Some(3), Some(4)));
        assert_eq!(figures.nodes, Some(1_000_000));
        assert_eq!(figures.version.as_deref(), Some(crate::cli::VERSION));
    }

    /// What a member of Apache's ensemble answered to both words.
    fn of_member(server: &str) -> Figures {
        let mut figures = Figures::default();
        for line in CAPTURED_OF_MEMBERS.lines() {
            let answer = serde_json::from_str::<Value>(line).unwrap();
            let text = answer["text"].as_str().unwrap();
            match answer["word"].as_str() {
                Some("srvr") if answer["server"] == server => figures.take_srvr(text),
                Some("mntr") if answer["server"] == server => figures.take_mntr(text),
                _ => {}
            }
        }
        figures
    }

    #[test]
    fn members_tell_of_their_roles_and_a_leader_of_its_learners() {
        let leader = of_member("leader");
        let expect = Figures {
            mode: Some(Mode::Leader),
            zxid: Some(Zxid::new(Epoch(1), 8)),
            sessions: Some(4),
            nodes: Some(9),
            learners: Some(3),
            synced_followers: Some(2),
            synced_observers: Some(1),
            quorum_size: Some(3),
            ..leader.clone()
        };
        assert_eq!(leader, expect);
        for mode in [Mode::Follower, Mode::Observer] {
            let learner = of_member(mode.as_str());
            assert_eq!((learner.mode, learner.zxid), (Some(mode), leader.zxid));
            assert_eq!((learner.learners, learner.synced_followers), (None, None));
            assert_eq!((learner.sessions, learner.quorum_size), (Some(4), Some(3)));
        }
        assert_eq!(of_member("without quorum"), Figures::default());
    }

    #[test]
    fn what_cannot_be_read_was_not_told() {
        for text in [
            "",
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "Mode: boss\nZxid: 17\nZxid: 0x\nZxid: 0x11112222333344445\nNode count: many\n",
            "Latency min/avg/max: //\nConnections: -1\n",
            "Latency min/avg/max: -/NaN/1e400\n",
        ] {
            assert_eq!(of_srvr(text), Figures::default(), "{text:?}");
            assert_eq!(of_mntr(&text.replace(": ", "\t")), Figures::default(), "{text:?}");
        }
        assert_eq!(of_srvr("Zxid: 0xffffffffffffffff").zxid, Some(Zxid(-1)));
    }

    #[test]
    fn text_of_a_server_does_not_move_the_cursor() {
        let version = of_srvr("Zookeeper version: 3.9\u{1b}[2Jx\n").version;
        assert_eq!(version.as_deref(), Some("3.9\u{fffd}[2Jx"));
        assert_eq!(printable(&"x".repeat(5_000)).len(), TEXT_CHARS_MAX);
    }
}

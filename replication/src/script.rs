//! Conversations with a node as text: what happens to it, and below, indented, what it does.
//!
//! ```text
//! recv L1 FOLLOWERINFO 2 accepted 1
//!   save accepted 2 current 1
//! ```
//!
//! A zxid is written `epoch:counter`, a link `L1`. [`check`] plays the lines at the margin and
//! compares what the node wants done with the indented ones. The members are voters 1, 2, 3 and
//! observer 4; a tick is 100 ms, initLimit 10, syncLimit 5, and one transaction is its counter.

use std::fmt::Write as _;
use std::sync::Arc;

use menagerie_wire::notification::{ServerState, Vote};
use menagerie_wire::quorum::Touch;
use menagerie_wire::{Epoch, OpCode, ServerId, SessionId, Xid, Zxid};

use crate::effect::Effect;
use crate::event::{Epochs, Event, Link, LogRead, Recovered};
use crate::history::{Entry, HistoryLimits};
use crate::membership::Membership;
use crate::node::Node;
use crate::packet::{ForwardedRequest, Packet, TxnBytes};
use crate::settings::Settings;
use crate::timeouts::Timeouts;

/// Settings of member `id`.
pub(crate) fn settings(id: i64) -> Settings {
    let voters = (1..=3).map(ServerId).collect();
    let membership = Membership::new(voters, vec![ServerId(4)], Arc::from("config"), Zxid::ZERO);
    Settings {
        id: ServerId(id),
        membership,
        timeouts: Timeouts { tick_ms: 100, ..Timeouts::default() },
        history: HistoryLimits { txns_max: 3, bytes_max: 1 << 20 },
        resign_at_counter: 100,
    }
}

/// Plays a conversation with member `id`.
#[track_caller]
pub(crate) fn check(id: i64, script: &str) {
    Script::new(id).check(script);
}

/// A conversation that goes on.
pub(crate) struct Script {
    pub(crate) node: Node,
    now_ms: u64,
}

impl Script {
    pub(crate) fn new(id: i64) -> Self {
        Self { node: Node::new(settings(id)), now_ms: 1_000 }
    }

    #[track_caller]
    pub(crate) fn check(&mut self, script: &str) {
        let lines = || script.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
        let margin = lines().map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
        let (mut expect, mut got) = (String::new(), String::new());
        for line in lines() {
            let line = &line[margin..];
            writeln!(expect, "{line}").unwrap();
            if !line.starts_with(' ') {
                writeln!(got, "{line}").unwrap();
                for effect in self.play(line) {
                    writeln!(got, "  {}", render(&effect)).unwrap();
                }
            }
        }
        assert!(got == expect, "expected:\n{expect}\ngot:\n{got}");
    }

    /// Plays what is not to be looked at.
    pub(crate) fn play_all(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.play(line);
        }
    }

    fn play(&mut self, line: &str) -> Vec<Effect> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut effects = Vec::new();
        if let ["wait", ms] = words.as_slice() {
            let until_ms = self.now_ms + ms.parse::<u64>().unwrap();
            while let Some(at_ms) = self.node.deadline_ms().filter(|at_ms| *at_ms <= until_ms) {
                self.now_ms = at_ms;
                self.node.step(Event::Tick, self.now_ms, &mut effects);
            }
            self.now_ms = until_ms;
        } else {
            self.node.step(event(&words), self.now_ms, &mut effects);
        }
        effects
    }
}

fn number(word: &str) -> i64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn epoch(word: &str) -> Epoch {
    Epoch(word.parse().unwrap_or_else(|_| panic!("{word} is no epoch")))
}

fn zxid(word: &str) -> Zxid {
    let Some((epoch, counter)) = word.split_once(':') else { return Zxid(number(word)) };
    Zxid::new(self::epoch(epoch), counter.parse().unwrap())
}

fn link(word: &str) -> Link {
    Link(word.strip_prefix('L').and_then(|n| n.parse().ok()).expect("a link is L1"))
}

fn entry(word: &str) -> Entry {
    let zxid = zxid(word);
    (zxid, txn(zxid))
}

fn txn(zxid: Zxid) -> TxnBytes {
    TxnBytes::copy_from_slice(&zxid.counter().to_be_bytes())
}

fn epochs(accepted: &str, current: &str) -> Epochs {
    Epochs { accepted: epoch(accepted), current: epoch(current) }
}

fn request(op: OpCode, cxid: &str) -> ForwardedRequest {
    let cxid = Xid(cxid.parse().unwrap());
    ForwardedRequest { session: SessionId(7), cxid, op, body: TxnBytes::new(), authinfo: None }
}

fn touch(session: &str) -> Touch {
    Touch { session: SessionId(number(session)), timeout_ms: 1000 }
}

fn event(words: &[&str]) -> Event {
    match *words {
        ["start", last, "accepted", accepted, "current", current, ref tail @ ..] => {
            let tail: Vec<Entry> = tail.iter().map(|word| entry(word)).collect();
            let last_logged = zxid(last);
            let before_tail = match tail.first() {
                Some((first, _)) => Zxid(first.0 - 1),
                None => last_logged,
            };
            let epochs = epochs(accepted, current);
            Event::Started(Recovered { last_logged, epochs, tail, before_tail })
        }
        ["vote", from, state, "for", leader, last, round, peer_epoch] => Event::Notified {
            from: ServerId(number(from)),
            state: server_state(state),
            vote: Vote {
                leader: ServerId(number(leader)),
                zxid: zxid(last),
                round: number(&round[1..]),
                peer_epoch: number(&peer_epoch[1..]),
            },
            version: 2,
        },
        ["up", peer] => Event::ElectionLinkUp { peer: ServerId(number(peer)) },
        ["down", peer] => Event::ElectionLinkDown { peer: ServerId(number(peer)) },
        ["connected", leader, l] => {
            Event::Connected { leader: ServerId(number(leader)), link: link(l) }
        }
        ["refused", leader] => Event::ConnectFailed { leader: ServerId(number(leader)) },
        ["accepted", l] => Event::Accepted { link: link(l) },
        ["closed", l] => Event::Closed { link: link(l) },
        ["recv", l, ref packet @ ..] => {
            Event::Received { link: link(l), packet: self::packet(packet) }
        }
        ["snapshot-sent", l] => Event::SnapshotSent { link: link(l) },
        ["log-read", l, "none"] => Event::LogRead { link: link(l), read: None },
        ["log-read", l, floor, ref txns @ ..] => {
            let txns = txns.iter().map(|word| entry(word)).collect();
            Event::LogRead { link: link(l), read: Some(LogRead { floor: zxid(floor), txns }) }
        }
        ["logged", z] => Event::Logged { zxid: zxid(z) },
        ["saved", accepted, current] => Event::EpochSaved { epochs: epochs(accepted, current) },
        ["truncated", z] => Event::Truncated { last_logged: zxid(z) },
        ["cannot-cut", z] => Event::CannotCut { to: zxid(z) },
        ["installed", z] => Event::Installed { zxid: zxid(z) },
        ["drained", generation, last, accepted, current] => Event::Drained {
            generation: generation.parse().unwrap(),
            last_logged: zxid(last),
            epochs: epochs(accepted, current),
        },
        ["disk-failed"] => Event::DiskFailed,
        ["diverged"] => Event::Diverged,
        ["propose", z] => Event::Propose { zxid: zxid(z), txn: txn(zxid(z)) },
        ["sync", cxid] => Event::Request(request(OpCode::Sync, cxid)),
        ["write", cxid] => Event::Request(request(OpCode::SetData, cxid)),
        ["touch", session] => Event::Touched(vec![touch(session)]),
        ["revalidate", session] => Event::Revalidate(touch(session)),
        ["valid", l, session] => {
            let session = SessionId(number(session));
            Event::RevalidateAnswered { link: link(l), session, valid: true }
        }
        _ => panic!("{words:?} is no event"),
    }
}

fn server_state(word: &str) -> ServerState {
    match word {
        "LOOKING" => ServerState::Looking,
        "FOLLOWING" => ServerState::Following,
        "LEADING" => ServerState::Leading,
        "OBSERVING" => ServerState::Observing,
        _ => panic!("{word} is no state"),
    }
}

fn packet(words: &[&str]) -> Packet {
    match *words {
        ["FOLLOWERINFO", sid, "accepted", accepted] => learner_info(false, sid, accepted),
        ["OBSERVERINFO", sid, "accepted", accepted] => learner_info(true, sid, accepted),
        ["FOLLOWERINFO", sid, "accepted", accepted, "config", z] => {
            let (sid, accepted_epoch) = (ServerId(number(sid)), epoch(accepted));
            let config_version = zxid(z);
            Packet::LearnerInfo { observer: false, accepted_epoch, sid, config_version }
        }
        ["LEADERINFO", e] => Packet::LeaderInfo { epoch: epoch(e) },
        ["ACKEPOCH", last, "-1"] => Packet::AckEpoch { last_zxid: zxid(last), current_epoch: None },
        ["ACKEPOCH", last, e] => {
            Packet::AckEpoch { last_zxid: zxid(last), current_epoch: Some(epoch(e)) }
        }
        ["DIFF", z] => Packet::Diff { zxid: zxid(z) },
        ["TRUNC", z] => Packet::Trunc { zxid: zxid(z) },
        ["SNAP", z] => Packet::Snap { zxid: zxid(z) },
        ["NEWLEADER", e] => Packet::NewLeader { epoch: epoch(e), config: Arc::from("config") },
        ["UPTODATE"] => Packet::UpToDate,
        ["PROPOSAL", z] => Packet::Proposal { zxid: zxid(z), txn: txn(zxid(z)) },
        ["INFORM", z] => Packet::Inform { zxid: zxid(z), txn: txn(zxid(z)) },
        ["COMMIT", z] => Packet::Commit { zxid: zxid(z) },
        ["ACK", z] => Packet::Ack { zxid: zxid(z) },
        ["PING", z] => Packet::Ping { zxid: zxid(z) },
        ["PONG", z, ref touched @ ..] => {
            let touched = touched.iter().map(|session| touch(session)).collect();
            Packet::PingReply { zxid: zxid(z), touched }
        }
        ["SYNC"] => Packet::Sync,
        ["REQUEST", "sync", cxid] => Packet::Request(request(OpCode::Sync, cxid)),
        ["REQUEST", "write", cxid] => Packet::Request(request(OpCode::SetData, cxid)),
        ["REVALIDATE", session] => Packet::Revalidate(touch(session)),
        ["REVALIDATED", session] => {
            Packet::Revalidated { session: SessionId(number(session)), valid: true }
        }
        _ => panic!("{words:?} is no packet"),
    }
}

fn learner_info(observer: bool, sid: &str, accepted: &str) -> Packet {
    Packet::LearnerInfo {
        observer,
        accepted_epoch: epoch(accepted),
        sid: ServerId(number(sid)),
        config_version: Zxid::ZERO,
    }
}

fn at(zxid: Zxid) -> String {
    if zxid.0 < 0 {
        return "none".to_owned();
    }
    format!("{}:{}", zxid.epoch(), zxid.counter())
}

fn render(effect: &Effect) -> String {
    match effect {
        Effect::Notify { to, state, vote } => {
            let state = format!("{state:?}").to_uppercase();
            if vote.leader.0 < 0 {
                return format!("vote {to} {state} for nobody r{}", vote.round);
            }
            let Vote { leader, zxid, round, peer_epoch } = vote;
            format!("vote {to} {state} for {leader} {} r{round} e{peer_epoch}", at(*zxid))
        }
        Effect::Listen => "listen".to_owned(),
        Effect::StopListening => "stop listening".to_owned(),
        Effect::Connect { leader } => format!("connect {leader}"),
        Effect::Send { link, packet } => format!("send L{} {}", link.0, render_packet(packet)),
        Effect::Close { link, fault: None } => format!("close L{}", link.0),
        Effect::Close { link, fault: Some(fault) } => format!("close L{}: {fault}", link.0),
        Effect::SendSnapshot { link, zxid } => format!("send L{} SNAP {}", link.0, at(*zxid)),
        Effect::ReadLog { link, from } => format!("read log for L{} from {}", link.0, at(*from)),
        Effect::Append { zxid, txn } => {
            assert_eq!(txn, &self::txn(*zxid), "the bytes belong to the zxid");
            format!("append {}", at(*zxid))
        }
        Effect::SaveEpoch { epochs: Epochs { accepted, current } } => {
            format!("save accepted {accepted} current {current}")
        }
        Effect::Truncate { to } => format!("truncate to {}", at(*to)),
        Effect::ReceiveSnapshot { link, zxid } => {
            format!("receive snapshot {} on L{}", at(*zxid), link.0)
        }
        Effect::Drain { generation } => format!("drain {generation}"),
        Effect::Commit { zxid } => format!("commit {}", at(*zxid)),
        Effect::Lead { epoch, last_zxid } => format!("lead {epoch} from {}", at(*last_zxid)),
        Effect::Follow { leader, epoch } => format!("follow {leader} in {epoch}"),
        Effect::Observe { leader, epoch } => format!("observe {leader} in {epoch}"),
        Effect::StepDown { epoch } => format!("step down from {epoch}"),
        Effect::StopServing { reason } => format!("stop serving: {reason}"),
        Effect::Halt => "halt".to_owned(),
        Effect::Request { link, request } => format!("judge {} of L{}", request.cxid.0, link.0),
        Effect::Synced { cxid, .. } => format!("synced {}", cxid.0),
        Effect::Touched { touched } => format!("touched {}", sessions(touched)),
        Effect::Revalidate { link, touch } => {
            format!("revalidate {} for L{}", touch.session.0, link.0)
        }
        Effect::Revalidated { session, valid } => format!("revalidated {}: {valid}", session.0),
    }
}

fn sessions(touched: &[Touch]) -> String {
    touched.iter().map(|touch| touch.session.0.to_string()).collect::<Vec<_>>().join(" ")
}

fn render_packet(packet: &Packet) -> String {
    match packet {
        Packet::Request(request) => format!("REQUEST {}", request.cxid.0),
        Packet::Proposal { zxid, .. } => format!("PROPOSAL {}", at(*zxid)),
        Packet::Ack { zxid } => format!("ACK {}", at(*zxid)),
        Packet::Commit { zxid } => format!("COMMIT {}", at(*zxid)),
        Packet::Ping { zxid } => format!("PING {}", at(*zxid)),
        Packet::PingReply { zxid, touched } => {
            format!("PONG {} {}", at(*zxid), sessions(touched)).trim_end().to_owned()
        }
        Packet::Revalidate(touch) => format!("REVALIDATE {}", touch.session.0),
        Packet::Revalidated { session, .. } => format!("REVALIDATED {}", session.0),
        Packet::Sync => "SYNC".to_owned(),
        Packet::Inform { zxid, .. } => format!("INFORM {}", at(*zxid)),
        Packet::NewLeader { epoch, .. } => format!("NEWLEADER {epoch}"),
        Packet::LearnerInfo { observer, accepted_epoch, sid, .. } => {
            let name = if *observer { "OBSERVERINFO" } else { "FOLLOWERINFO" };
            format!("{name} {sid} accepted {accepted_epoch}")
        }
        Packet::UpToDate => "UPTODATE".to_owned(),
        Packet::Diff { zxid } => format!("DIFF {}", at(*zxid)),
        Packet::Trunc { zxid } => format!("TRUNC {}", at(*zxid)),
        Packet::Snap { zxid } => format!("SNAP {}", at(*zxid)),
        Packet::LeaderInfo { epoch } => format!("LEADERINFO {epoch}"),
        Packet::AckEpoch { last_zxid, current_epoch } => {
            let epoch = current_epoch.map_or_else(|| "-1".to_owned(), |epoch| epoch.to_string());
            format!("ACKEPOCH {} {epoch}", at(*last_zxid))
        }
        Packet::Reconfigured { zxid } => format!("RECONFIGURED {}", at(*zxid)),
    }
}

/// Member 3 of the epoch-1 history 1:3 to 1:5 is elected.
pub(crate) const ELECTED: &str = "
    start 1:5 accepted 1 current 1 1:3 1:4 1:5
    vote 1 LOOKING for 3 1:5 r1 e1
    vote 2 LOOKING for 3 1:5 r1 e1
";

/// It leads in epoch 2, follower 1 on L1; nothing is proposed.
pub(crate) const LEADING: &str = "
    accepted L1
    recv L1 FOLLOWERINFO 1 accepted 1
    saved 2 1
    recv L1 ACKEPOCH 1:5 1
    saved 2 2
    recv L1 ACK 2:0
    recv L1 ACK 2:0
";

/// Follower 2 is live too, on L2.
pub(crate) const JOINED_BY_2: &str = "
    accepted L2
    recv L2 FOLLOWERINFO 2 accepted 1
    recv L2 ACKEPOCH 1:5 1
    recv L2 ACK 2:0
    recv L2 ACK 2:0
";

/// Member 1 of the history 1:3 to 1:5 has accepted epoch 2 from leader 3, on L1.
pub(crate) const ACCEPTED: &str = "
    start 1:5 accepted 1 current 1 1:3 1:4 1:5
    vote 3 LEADING for 3 1:5 r1 e1
    vote 2 FOLLOWING for 3 1:5 r1 e1
    connected 3 L1
    recv L1 LEADERINFO 2
    saved 2 1
";

/// And follows it.
pub(crate) const FOLLOWING: &str = "
    recv L1 DIFF 1:5
    recv L1 NEWLEADER 2
    saved 2 2
    recv L1 UPTODATE
";

/// Member `id` after the given conversations.
pub(crate) fn after(id: i64, scripts: &[&str]) -> Script {
    let mut script = Script::new(id);
    for text in scripts {
        script.play_all(text);
    }
    script
}

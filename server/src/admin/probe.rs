//! Answers four-letter words: asks every core, merges what they say, sends the text.
//!
//! The waiting half of this module. A probe never stops a core: each answers between two requests
//! of clients, with a copy of its own numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use menagerie_engine::path::CONFIG;
use menagerie_engine::tree::Session;
use menagerie_wire::four_letter::FourLetterWord;

use super::four_letter as text;
use super::metrics::{ShardCounters, StartFacts};
use super::{
    DumpReport, Environment, FileDescriptors, LatencyReport, MntrReport, Mode, ServerReport,
    SessionsReport, WatchReport,
};
use crate::client::run::Visit;
use crate::client::shard::{Shard, Word};
use crate::config::Config;
use crate::runtime::clock::monotonic_ms;
use crate::runtime::mailbox::{Receiver, Sender, mailbox};
use crate::runtime::spawn;
use crate::sequencer::run::{Answered, Input, Question};
use crate::watch::WatchSummary;

/// What an answer needs beside the cores' numbers.
pub struct Probe {
    pub config: Config,
    /// The port that was really taken.
    pub client_port: u16,
    pub environment: Environment,
    pub start: StartFacts,
    pub started_ms: u64,
    pub shards: Vec<Sender<Visit>>,
    pub sequencer: Sender<Input>,
}

/// Answers words for as long as the server lives.
pub async fn run(probe: Probe, words: Receiver<Word>) {
    let probe = Rc::new(probe);
    loop {
        words.filled().await;
        while let Some(word) = words.try_receive() {
            spawn(answer(Rc::clone(&probe), word));
        }
    }
}

async fn answer(probe: Rc<Probe>, word: Word) {
    let text = if probe.config.whitelist.allows(word.word) {
        probe.text(&word).await
    } else {
        text::not_whitelisted(word.word)
    };
    let connection = word.connection;
    if let Some(shard) = probe.shards.get(usize::from(connection.shard)) {
        let deliver = move |shard: &mut Shard| shard.answer_word(connection, &text);
        shard.send(Visit::Ask(Box::new(deliver)));
    }
}

impl Probe {
    async fn text(&self, word: &Word) -> String {
        let answered = match question(word.word) {
            Some(question) => self.ask_sequencer(question).await,
            None => None,
        };
        match (word.word, answered) {
            (FourLetterWord::Ruok, _) => text::RUOK.to_owned(),
            (FourLetterWord::Gtmk, _) => text::gtmk(),
            (FourLetterWord::Stmk, _) => {
                text::stmk(word.argument.as_slice().try_into().unwrap_or_default())
            }
            (FourLetterWord::Envi, _) => text::envi(&self.environment),
            // It tells of what was, whether anybody is served now or not.
            (FourLetterWord::Hist, Some(answered)) => {
                text::hist(&self.server(&answered).await.1, &answered.counters)
            }
            (asked, None) => text::not_serving(asked).to_owned(),
            (asked, Some(answered)) if !answered.standing.serving => {
                text::not_serving(asked).to_owned()
            }
            (FourLetterWord::Isro, Some(answered)) => text::isro(answered.standing.mode).to_owned(),
            (FourLetterWord::Conf, Some(answered)) => {
                let members = answered.root.view().node(CONFIG).and_then(|node| node.data());
                let members = String::from_utf8_lossy(members.unwrap_or_default());
                text::conf(&self.config, &members, self.client_port, self.directory_bytes())
            }
            (FourLetterWord::Dirs, Some(_)) => {
                let (data_bytes, log_bytes) = self.directory_bytes();
                text::dirs(data_bytes, log_bytes)
            }
            (FourLetterWord::Crst, Some(_)) => {
                self.ask_shards(Shard::reset_connection_counters).await;
                text::CRST.to_owned()
            }
            (FourLetterWord::Srst, Some(_)) => {
                self.ask_shards(|shard| shard.counters = ShardCounters::default()).await;
                self.ask_sequencer(Question::Reset).await;
                text::SRST.to_owned()
            }
            (FourLetterWord::Srvr, Some(answered)) => text::srvr(&self.server(&answered).await.0),
            (FourLetterWord::Stat, Some(answered)) => {
                let connections = self.ask_shards(|shard| shard.connection_reports()).await;
                text::stat(&self.server(&answered).await.0, &connections.concat())
            }
            (FourLetterWord::Cons, Some(_)) => {
                let connections = self.ask_shards(|shard| shard.connection_reports()).await;
                text::cons(&connections.concat())
            }
            (FourLetterWord::Mntr, Some(answered)) => text::mntr(&self.mntr(answered).await),
            (FourLetterWord::Dump, Some(answered)) => text::dump(&self.dump(answered).await),
            (FourLetterWord::Wchs, Some(_)) => {
                let parts = self.ask_shards(|shard| shard.watch_summary()).await;
                text::wchs(&parts.iter().fold(WatchSummary::default(), add))
            }
            (FourLetterWord::Wchp, Some(_)) => text::wchp(&self.watches().await),
            (FourLetterWord::Wchc, Some(_)) => text::wchc(&self.watches().await),
            (FourLetterWord::Hash, Some(answered)) => text::hash(&answered.digests),
        }
    }

    /// Asks each shard; the answers come in the order of arrival.
    async fn ask_shards<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let (door, answers) = mailbox();
        for shard in &self.shards {
            let (question, door) = (question.clone(), Sender::clone(&door));
            let ask = move |shard: &mut Shard| door.send(question(shard));
            shard.send(Visit::Ask(Box::new(ask)));
        }
        let mut all = Vec::new();
        while all.len() < self.shards.len() {
            answers.filled().await;
            all.extend(std::iter::from_fn(|| answers.try_receive()));
        }
        all
    }

    async fn ask_sequencer(&self, question: Question) -> Option<Answered> {
        let (door, answers) = mailbox();
        self.sequencer.send(Input::Ask(question, door));
        answers.filled().await;
        answers.try_receive()
    }

    async fn server(&self, answered: &Answered) -> (ServerReport, ShardCounters) {
        let parts = self
            .ask_shards(|shard| {
                let counters = shard.counters.clone();
                (counters, shard.connection_count(), shard.outstanding_requests())
            })
            .await;
        let mut counters = ShardCounters::default();
        let (mut connections, mut outstanding_requests) = (0, 0);
        for (part, count, outstanding) in &parts {
            counters.merge(part);
            connections += count;
            outstanding_requests += outstanding;
        }
        let view = answered.root.view();
        let (avg_ms, summary) = counters.operations.summary().in_units(1_000);
        let report = ServerReport {
            mode: answered.standing.mode,
            latency: LatencyReport { min_ms: summary.min, avg_ms, max_ms: summary.max },
            packets_received: counters.packets_received,
            packets_sent: counters.packets_sent,
            connections,
            outstanding_requests,
            last_zxid: view.last_zxid().max(answered.standing.first_zxid()),
            // Apache counts the root under both its names, "" and "/".
            node_count: view.node_count() + 1,
            proposal_sizes: answered.counters.roles.proposal_sizes,
        };
        (report, counters)
    }

    async fn mntr(&self, answered: Answered) -> MntrReport {
        let watches = self.ask_shards(|shard| shard.watch_count()).await.into_iter().sum();
        let (server, shards) = self.server(&answered).await;
        let view = answered.root.view();
        MntrReport {
            server,
            sessions: answered.sessions,
            ephemerals: view.ephemeral_count(),
            watches,
            data_bytes: view.data_bytes(),
            files: FileDescriptors::read(),
            uptime_ms: monotonic_ms() - self.started_ms,
            shards,
            standing: answered.standing,
            writes: answered.counters,
            start: self.start,
        }
    }

    async fn dump(&self, answered: Answered) -> DumpReport {
        let view = answered.root.view();
        let sessions = match answered.standing.mode {
            Mode::Follower | Mode::Observer => {
                let with_timeout = |session: Session<'_>| (session.id(), session.timeout_ms());
                let mut sessions: Vec<_> = view.sessions().map(with_timeout).collect();
                sessions.sort_unstable();
                SessionsReport::WithTimeout(sessions)
            }
            _ => SessionsReport::ByDeadline(answered.deadlines),
        };
        let (ephemerals, connections) = (Vec::new(), BTreeMap::new());
        let mut report = DumpReport { sessions, ephemerals, connections };
        for sets in self.ask_shards(|shard| shard.connections_by_deadline()).await {
            for (deadline_ms, connections) in sets {
                report.connections.entry(deadline_ms).or_default().extend(connections);
            }
        }
        for session in view.sessions() {
            let paths: Vec<_> = session.ephemerals().map(str::to_owned).collect();
            if !paths.is_empty() {
                report.ephemerals.push((session.id(), paths));
            }
        }
        report
    }

    async fn watches(&self) -> WatchReport {
        let mut report = WatchReport::default();
        for part in self.ask_shards(|shard| shard.watch_report()).await {
            report.merge(part);
        }
        report
    }

    /// Bytes under our directories of snapshots and of logs, by the names of the files.
    fn directory_bytes(&self) -> (u64, u64) {
        let data_bytes = bytes_under(&self.config.data_dir, |name| !is_log(name));
        (data_bytes, bytes_under(&self.config.data_log_dir, is_log))
    }
}

/// What a word asks the sequencer first; `None` for those that tell nothing of service.
const fn question(word: FourLetterWord) -> Option<Question> {
    match word {
        FourLetterWord::Ruok
        | FourLetterWord::Gtmk
        | FourLetterWord::Stmk
        | FourLetterWord::Envi => None,
        FourLetterWord::Dump => Some(Question::Dump),
        _ => Some(Question::Report),
    }
}

fn is_log(name: &str) -> bool {
    name.starts_with("log.") || name.starts_with("spare.")
}

fn bytes_under(directory: &Path, counts: impl Fn(&str) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory.join("menagerie")) else { return 0 };
    entries
        .flatten()
        .filter(|entry| counts(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn add(sum: WatchSummary, part: &WatchSummary) -> WatchSummary {
    WatchSummary {
        connections: sum.connections + part.connections,
        paths: sum.paths + part.paths,
        watches: sum.watches + part.watches,
    }
}

//! Answers four-letter words: asks every core, merges what they say, sends the text.
//!
//! The waiting half of this module. A probe never stops a core: each answers between two requests
//! of clients, with a copy of its own numbers.

use std::path::Path;
use std::rc::Rc;

use menagerie_wire::four_letter::FourLetterWord;

use super::four_letter as text;
use super::metrics::{ShardCounters, StartFacts};
use super::{
    DumpReport, Environment, FileDescriptors, LatencyReport, MntrReport, Mode, ServerReport,
    WatchReport,
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
        match word.word {
            FourLetterWord::Ruok => text::RUOK.to_owned(),
            FourLetterWord::Isro => text::isro(Some(Mode::Standalone)).to_owned(),
            FourLetterWord::Gtmk => text::gtmk(),
            FourLetterWord::Stmk => {
                text::stmk(word.argument.as_slice().try_into().unwrap_or_default())
            }
            FourLetterWord::Envi => text::envi(&self.environment),
            FourLetterWord::Conf => {
                let (data_bytes, log_bytes) = self.directory_bytes();
                text::conf(&self.config, self.client_port, data_bytes, log_bytes)
            }
            FourLetterWord::Dirs => {
                let (data_bytes, log_bytes) = self.directory_bytes();
                text::dirs(data_bytes, log_bytes)
            }
            FourLetterWord::Crst => {
                self.ask_shards(Shard::reset_connection_counters).await;
                text::CRST.to_owned()
            }
            FourLetterWord::Srst => {
                self.ask_shards(|shard| shard.counters = ShardCounters::default()).await;
                self.ask_sequencer(Question::Reset).await;
                text::SRST.to_owned()
            }
            FourLetterWord::Srvr => text::srvr(&self.server().await.0),
            FourLetterWord::Stat => {
                let connections = self.ask_shards(|shard| shard.connection_reports()).await;
                text::stat(&self.server().await.0, &connections.concat())
            }
            FourLetterWord::Cons => {
                let connections = self.ask_shards(|shard| shard.connection_reports()).await;
                text::cons(&connections.concat())
            }
            FourLetterWord::Mntr => text::mntr(&self.mntr().await),
            FourLetterWord::Dump => text::dump(&self.dump().await),
            FourLetterWord::Wchs => {
                let parts = self.ask_shards(|shard| shard.watch_summary()).await;
                text::wchs(&parts.iter().fold(WatchSummary::default(), add))
            }
            FourLetterWord::Wchp => text::wchp(&self.watches().await),
            FourLetterWord::Wchc => text::wchc(&self.watches().await),
            FourLetterWord::Hash => {
                let answered = self.ask_sequencer(Question::Report).await;
                text::hash(&answered.map(|answered| answered.digests).unwrap_or_default())
            }
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

    async fn server(&self) -> (ServerReport, ShardCounters, Option<Answered>) {
        let parts = self
            .ask_shards(|shard| {
                let counters = shard.counters.clone();
                (counters, shard.connection_count(), shard.outstanding_requests())
            })
            .await;
        let answered = self.ask_sequencer(Question::Report).await;
        let mut counters = ShardCounters::default();
        let (mut connections, mut outstanding_requests) = (0, 0);
        for (part, count, outstanding) in &parts {
            counters.merge(part);
            connections += count;
            outstanding_requests += outstanding;
        }
        let view = answered.as_ref().map(|answered| answered.root.view());
        let (avg_ms, summary) = counters.latency.summary.in_units(1_000);
        let report = ServerReport {
            mode: Mode::Standalone,
            latency: LatencyReport { min_ms: summary.min, avg_ms, max_ms: summary.max },
            packets_received: counters.packets_received,
            packets_sent: counters.packets_sent,
            connections,
            outstanding_requests,
            last_zxid: view.map(|view| view.last_zxid()).unwrap_or_default(),
            // Apache counts the root under both its names, "" and "/".
            node_count: view.map_or(0, |view| view.node_count() + 1),
        };
        (report, counters, answered)
    }

    async fn mntr(&self) -> MntrReport {
        let watches = self.ask_shards(|shard| shard.watch_count()).await.into_iter().sum();
        let (server, shards, answered) = self.server().await;
        let view = answered.as_ref().map(|answered| answered.root.view());
        MntrReport {
            server,
            sessions: answered.as_ref().map_or(0, |answered| answered.sessions),
            ephemerals: view.map_or(0, |view| view.ephemeral_count()),
            watches,
            data_bytes: view.map_or(0, |view| view.data_bytes()),
            files: FileDescriptors::read(),
            uptime_ms: monotonic_ms() - self.started_ms,
            shards,
            writes: answered.map(|answered| answered.counters).unwrap_or_default(),
            start: self.start,
        }
    }

    async fn dump(&self) -> DumpReport {
        let mut report = DumpReport::default();
        for sets in self.ask_shards(|shard| shard.connections_by_deadline()).await {
            for (deadline_ms, connections) in sets {
                report.connections.entry(deadline_ms).or_default().extend(connections);
            }
        }
        let Some(answered) = self.ask_sequencer(Question::Dump).await else { return report };
        for session in answered.root.view().sessions() {
            let paths: Vec<_> = session.ephemerals().map(str::to_owned).collect();
            if !paths.is_empty() {
                report.ephemerals.push((session.id(), paths));
            }
        }
        report.sessions = answered.deadlines;
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

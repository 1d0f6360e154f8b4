//! The command line: which words the operator may type, and what they set.
//!
//! Options that have a key in `zoo.cfg` become overrides of it, so each value is checked in one
//! place and refused with the same words. Reading files and starting anything is main's business.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use menagerie_wire::ServerId;
use menagerie_wire::quorum_config::{Member, QuorumConfig};

use crate::config::Override;
use crate::init::Init;

/// What `srvr`, `envi` and `--version` say: the Apache release whose clients and tools we serve,
/// then our own.
pub const VERSION: &str = concat!("3.9.4-menagerie-", env!("CARGO_PKG_VERSION"));

/// Exit code of a command line or configuration that cannot be followed; 1 is any other failure.
pub const EXIT_USAGE: u8 = 2;

/// A coordination server that every ZooKeeper client uses unchanged.
#[derive(Debug, Parser)]
#[command(name = "menagerie", version = VERSION, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients in the foreground until SIGTERM or SIGINT.
    ///
    /// Without FILE: on 127.0.0.1:2181, with the data in ./menagerie-data.
    Server(ServerArgs),

    /// Write the files of one member of an ensemble: zoo.cfg, myid, the secret of sessions.
    ///
    /// Into a directory that becomes its dataDir; nothing that is there already is written over.
    /// Says what it wrote, and what to do on the hosts of the other members.
    #[command(after_long_help = INIT_HELP)]
    Init(InitArgs),

    /// Ask servers how they are, and print a table of the ensemble.
    ///
    /// Menagerie and Apache ZooKeeper alike, all at the same time, with the four-letter words srvr
    /// and mntr. A server that cannot be asked has a row that says why.
    #[command(after_long_help = STATUS_HELP)]
    Status(StatusArgs),
}

const INIT_HELP: &str = "\
All members are named on every one of them, with the same words:

  menagerie init --id 1 --dir /var/lib/menagerie \\
      --member 'server.1=zoo1:2888:3888;2181' \\
      --member 'server.2=zoo2:2888:3888;2181' \\
      --member 'server.3=zoo3:2888:3888;2181'

A single member runs standalone. To let a standalone server grow, name its dataDir: its data stays,
and its sessions live on.

Exit code: 0 written, 1 not everything could be written, 2 wrong usage.";

const STATUS_HELP: &str = "\
EPOCH and ZXID are the two halves of the last zxid. LAG is how many zxids a member is behind the
most advanced one that answered; the answers are not of one instant, so under load it is never
quite 0. SESSIONS, and the followers that a leader has in sync, are told by mntr: put it into the
server's 4lw.commands.whitelist. LATENCY is least/mean/most since the server started.

Exit code: 0 all servers answered and serve, 1 some did not, 2 wrong usage.";

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Configuration as Apache ZooKeeper reads it (zoo.cfg).
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The same as FILE.
    #[arg(long = "config", value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,

    /// Directory for snapshots and log (key dataDir).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Number of shards that serve clients (key menagerie.shards).
    #[arg(long, value_name = "N")]
    shards: Option<String>,

    /// Processors to use, like 0-3,5 (key menagerie.cores).
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,

    /// Any key of the configuration, as often as needed; wins over FILE.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl ServerArgs {
    pub fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| self.config.clone())
    }

    /// What the options say, in the words of the configuration.
    pub fn overrides(&self) -> Vec<Override> {
        let set = self.set.iter().map(|(key, value)| ("--set", key.as_str(), value));
        let named = [
            ("--data-dir", "dataDir", &self.data_dir),
            ("--shards", "menagerie.shards", &self.shards),
            ("--cores", "menagerie.cores", &self.cores),
        ];
        let named = named
            .into_iter()
            .filter_map(|(option, key, value)| value.as_ref().map(|value| (option, key, value)));
        set.chain(named)
            .map(|(option, key, value)| Override {
                option,
                key: key.to_owned(),
                value: value.clone(),
            })
            .collect()
    }
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The number of this member, from 0 to 255.
    #[arg(long, value_name = "N")]
    id: u8,

    /// A member, as zoo.cfg names it: server.N=host:port:port[:role][;[host:]port]. Once for each.
    #[arg(long = "member", value_name = "LINE", required = true, value_parser = member)]
    members: Vec<(ServerId, Member)>,

    /// Where to write, and to keep the data.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Where clients connect, when the own line does not say it; 2181 by default.
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    client_port: Option<u16>,

    /// A copy of the secret that init made for the first member.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl InitArgs {
    /// # Errors
    /// When a member is given twice.
    pub fn init(self) -> Result<Init, String> {
        let mut members = BTreeMap::new();
        for (id, member) in self.members {
            if members.insert(id, member).is_some() {
                return Err(format!("--member server.{id} is there twice"));
            }
        }
        let Self { id, dir, client_port, secret_file, .. } = self;
        Ok(Init { id: ServerId(id.into()), members, dir, client_port, secret_file })
    }
}

fn member(line: &str) -> Result<(ServerId, Member), String> {
    let form = || "expected server.N=host:port:port[:role][;[host:]port]".to_owned();
    let (key, value) = line.split_once('=').ok_or_else(form)?;
    let mut config = QuorumConfig::default();
    let read = config.read_line(key.trim(), value.trim());
    read.map_err(|error| format!("{}; {error}", form()))?;
    config.members.pop_first().ok_or_else(form)
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Client addresses of the servers; an IPv6 address stands in brackets.
    #[arg(value_name = "HOST:PORT", required = true, value_parser = host_and_port)]
    pub servers: Vec<String>,

    /// Print a JSON array instead, one object for each server.
    #[arg(long)]
    pub json: bool,

    /// How long each server may take altogether, name resolution included.
    #[arg(long, value_name = "N", default_value_t = 2_000,
          value_parser = value_parser!(u32).range(1..))]
    timeout_ms: u32,
}

impl StatusArgs {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }
}

/// Names are not resolved here: one that nobody knows is an answer, not misuse.
fn host_and_port(word: &str) -> Result<String, String> {
    let name = |word: &str| {
        word.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([':', '[', ']', '/']) && port.parse::<u16>().is_ok()
        })
    };
    if word.parse::<SocketAddr>().is_ok() || name(word) {
        Ok(word.to_owned())
    } else {
        Err("expected HOST:PORT, or [IPV6]:PORT".to_owned())
    }
}

fn key_and_value(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn server(words: &[&str]) -> ServerArgs {
        let words = ["menagerie", "server"].iter().chain(words);
        match Cli::parse_from(words).command {
            Command::Server(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn status(words: &[&str]) -> StatusArgs {
        let words = ["menagerie", "status"].iter().chain(words);
        match Cli::parse_from(words).command {
            Command::Status(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_file_may_be_named_in_two_ways() {
        assert_eq!(server(&["zoo.cfg"]).file(), Some(PathBuf::from("zoo.cfg")));
        assert_eq!(server(&["--config", "zoo.cfg"]).file(), Some(PathBuf::from("zoo.cfg")));
        assert_eq!(server(&[]).file(), None);
    }

    #[test]
    fn options_override_their_keys() {
        let args = server(&["--shards", "2", "--set", "snapCount=10", "--data-dir", "/d"]);
        let overrides = args.overrides();
        let got: Vec<_> = overrides.iter().map(|o| (o.option, &*o.key, &*o.value)).collect();
        let expect = [
            ("--set", "snapCount", "10"),
            ("--data-dir", "dataDir", "/d"),
            ("--shards", "menagerie.shards", "2"),
        ];
        assert_eq!(got, expect);
    }

    #[test]
    fn members_are_named_as_zoo_cfg_names_them() {
        let words = ["menagerie", "init", "--id", "1", "--dir", "d", "--member"];
        let parse = |rest: &[&str]| Cli::try_parse_from(words.iter().chain(rest));
        let init = |rest: &[&str]| match parse(rest).expect("good words").command {
            Command::Init(args) => args.init(),
            other => panic!("{other:?}"),
        };
        let two = init(&["server.1=a:1:2;3", "--member", "server.2 = b:1:2:observer"]);
        let members = two.expect("two members").members;
        let lines: Vec<_> = members.values().map(ToString::to_string).collect();
        assert_eq!(lines, ["a:1:2:participant;0.0.0.0:3", "b:1:2:observer"]);
        let twice = init(&["server.1=a:1:2", "--member", "server.1=b:1:2"]);
        assert_eq!(twice.expect_err("twice"), "--member server.1 is there twice");
        for line in ["server.1", "1=a:1:2", "group.1=1", "version=1", "server.1=a:1", "x"] {
            let error = parse(&[line]).expect_err(line);
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}");
        }
        let error = parse(&["server.1=a:1:2", "--client-port", "0"]).expect_err("no port");
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
    }

    #[test]
    fn servers_are_named_as_clients_name_them() {
        let words = ["zk1:2181", "10.0.0.1:2181", "[::1]:2181", "[fe80::1%2]:2181"];
        assert_eq!(status(&words).servers, words);
        assert_eq!(status(&["a:1", "--timeout-ms", "50"]).timeout(), Duration::from_millis(50));
        let check = |words: &[&str], kind| {
            let words = ["menagerie", "status"].iter().chain(words);
            assert_eq!(Cli::try_parse_from(words).expect_err("misuse").kind(), kind);
        };
        check(&[], ErrorKind::MissingRequiredArgument);
        check(&["a:1", "--timeout-ms", "0"], ErrorKind::ValueValidation);
        for word in ["zk1", ":2181", "zk1:", "zk1:65536", "::1:2181", "[::1]", "[zk1]:1", "a:1/x"] {
            check(&[word], ErrorKind::ValueValidation);
        }
    }

    #[test]
    fn a_wrong_command_line_exits_with_the_code_of_misuse() {
        let check = |words: &[&str], kind, code| {
            let error = Cli::try_parse_from(words).expect_err("not a command line");
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{words:?}");
        };
        let misuse = i32::from(EXIT_USAGE);
        let bare = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        check(&["menagerie"], bare, misuse);
        check(&["menagerie", "serve"], ErrorKind::InvalidSubcommand, misuse);
        check(&["menagerie", "server", "--set", "x"], ErrorKind::ValueValidation, misuse);
        check(&["menagerie", "--version"], ErrorKind::DisplayVersion, 0);
    }
}

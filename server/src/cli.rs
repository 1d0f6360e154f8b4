//! The command line: which words the operator may type, and what they set.
//!
//! Options that have a key in `zoo.cfg` become overrides of it, so each value is checked in one
//! place and refused with the same words. Reading files and starting anything is main's business.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Override;

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
}

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
        let Command::Server(args) = Cli::parse_from(words).command;
        args
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

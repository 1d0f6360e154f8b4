//! The binary: words of the operator in; a server in the foreground, files or a report, and an exit
//! code out.
//!
//! 0 is a clean end, 1 a failure, 2 a command line or configuration that cannot be followed.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use clap::Parser;
use menagerie::allocator::Allocator;
use menagerie::cli::{Cli, Command, EXIT_USAGE, InitArgs, ServerArgs, StatusArgs};
use menagerie::config::Config;
use menagerie::serve::Server;
use menagerie::status::Report;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const _: () = assert!(!menagerie_flaws::ARMED, "flaws are for simulations, not for servers");

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Server(args) => {
            log_to_stderr();
            serve(&args)
        }
        Command::Init(args) => init(args),
        Command::Status(args) => status(&args),
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("MENAGERIE_LOG").unwrap_or_else(|_| "info".into());
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .init();
}

fn init(args: InitArgs) -> ExitCode {
    let init = match args.init() {
        Ok(init) => init,
        Err(error) => {
            eprintln!("menagerie: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match init.write() {
        Ok(written) => print(&written.to_string(), true),
        Err(error) => {
            eprintln!("menagerie: {error}");
            if error.is_usage() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn status(args: &StatusArgs) -> ExitCode {
    let report = Report::ask(&args.servers, args.timeout());
    let text = if args.json { report.to_json() + "\n" } else { report.to_string() };
    print(&text, report.all_serve())
}

/// Says `text`; the exit code tells that, and whether it is `good`.
fn print(text: &str, good: bool) -> ExitCode {
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        eprintln!("menagerie: {error}");
        return ExitCode::FAILURE;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(args: &ServerArgs) -> ExitCode {
    file_size_limit_as_error();
    let jvm_flags = std::env::var("SERVER_JVMFLAGS").unwrap_or_default();
    let config = match Config::load(args.file().as_deref(), &jvm_flags, &args.overrides()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("menagerie: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !config.unknown_keys.is_empty() {
        tracing::warn!("keys that mean nothing here: {}", config.unknown_keys.join(", "));
    }
    let server = match Server::start(&config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("menagerie: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Before anybody is told that the server is there: who reads the line may send a signal.
    stop_on_signal(server.stopper());
    eprintln!(
        "menagerie: serving clients on {}, data in {}",
        server.address,
        config.data_dir.display()
    );
    match server.wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("menagerie: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A limit on the size of files shall be an error like a full disk, not the signal that ends us
/// without a word.
fn file_size_limit_as_error() {
    let caught = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, caught) {
        tracing::warn!("SIGXFSZ will end this server: {error}");
    }
}

fn stop_on_signal(stop: impl Fn() + Send + 'static) {
    match Signals::new([SIGTERM, SIGINT]) {
        Ok(mut signals) => {
            thread::spawn(move || {
                for signal in signals.forever() {
                    tracing::info!("stopping on signal {signal}");
                    stop();
                }
            });
        }
        Err(error) => tracing::warn!("signals will not stop this server cleanly: {error}"),
    }
}

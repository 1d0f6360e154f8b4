//! Tests of the crate `zookeeper-client` against the server named on the command line.
//!
//! Each test is an async function of a [`Stage`]: a root node and a client of its own. It runs as
//! a task, so that a claim that does not hold fails that test only. The output is a line per test:
//! `ok NAME`, or `FAIL NAME: why`.

#![allow(clippy::unwrap_used, reason = "an error from the client fails the test that met it")]

/// Names of async functions as tests.
macro_rules! tests {
    (restarts: $restarts:literal, $($module:ident::$name:ident),* $(,)?) => {
        vec![$($crate::Test {
            name: stringify!($name),
            run: |stage| Box::pin($module::$name(stage)),
            restarts: $restarts,
        }),*]
    };
}

mod nodes;
mod sessions;
mod watches;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use zookeeper_client as zk;

const WAIT: Duration = Duration::from_secs(15);
const TEST_TIME_MAX: Duration = Duration::from_secs(60);
const AT_A_TIME: usize = 4;

const PLAIN: zk::CreateOptions<'static> =
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
const EPHEMERAL: zk::CreateOptions<'static> =
    zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());

type Outcome = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Test {
    name: &'static str,
    run: fn(Stage) -> Outcome,
    restarts: bool,
}

struct Stage {
    server: String,
    root: String,
    zk: zk::Client,
}

impl Stage {
    async fn new(server: String, name: &str) -> Self {
        let root = format!("/rust-{}-{name}", std::process::id());
        let zk = connector().connect(&server).await.unwrap();
        zk.create(&root, b"", &PLAIN).await.unwrap();
        Self { server, root, zk }
    }

    async fn client(&self) -> zk::Client {
        connector().connect(&self.server).await.unwrap()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// Makes a plain node under the root and returns its path.
    async fn node(&self, name: &str, data: &str) -> String {
        let path = self.path(name);
        self.zk.create(&path, data.as_bytes(), &PLAIN).await.unwrap();
        path
    }

    /// Has [`Self::zk`] see what other clients have written, on whichever member they are.
    async fn catch_up(&self) {
        self.zk.sync(&self.root).await.unwrap();
    }

    async fn restart_server(&self) {
        let command = std::env::var("CLIENTS_RESTART").unwrap();
        let status = tokio::process::Command::new("sh").args(["-c", &command]).status().await;
        assert!(status.unwrap().success(), "the server does not restart");
    }
}

fn connector() -> zk::Connector {
    zk::Client::connector().with_session_timeout(Duration::from_secs(10))
}

/// The claim that something happens in time.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.expect("in time")
}

async fn run(server: String, test: &Test) -> bool {
    let (name, body) = (test.name, test.run);
    let task = tokio::spawn(async move { body(Stage::new(server, name).await).await });
    let why = match tokio::time::timeout(TEST_TIME_MAX, task).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(panic_message(error)),
        Err(_) => Some(format!("still running after {TEST_TIME_MAX:?}")),
    };
    match &why {
        None => println!("ok {name}"),
        Some(why) => println!("FAIL {name}: {}", why.replace('\n', " ")),
    }
    why.is_none()
}

fn panic_message(error: JoinError) -> String {
    match error.into_panic().downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "panic".into(), |s| s.to_string()),
    }
}

async fn run_all(server: &str, tests: Vec<Test>, at_a_time: usize) -> bool {
    let lanes = Arc::new(Semaphore::new(at_a_time));
    let mut running = JoinSet::new();
    for test in tests {
        let (server, lanes) = (server.to_owned(), lanes.clone());
        running.spawn(async move {
            let _lane = lanes.acquire().await;
            run(server, &test).await
        });
    }
    running.join_all().await.into_iter().all(|passed| passed)
}

#[tokio::main]
async fn main() -> ExitCode {
    let server = std::env::args().nth(1).expect("HOST:PORT");
    let only = std::env::var("CLIENTS_ONLY").unwrap_or_default();
    let groups = [nodes::tests(), watches::tests(), sessions::tests()];
    let mut tests: Vec<Test> = groups.into_iter().flatten().collect();
    tests.retain(|test| test.name.contains(&only));
    let (alone, together) = tests.into_iter().partition(|test: &Test| test.restarts);
    let mut passed = run_all(&server, together, AT_A_TIME).await;
    if std::env::var_os("CLIENTS_RESTART").is_some() {
        passed &= run_all(&server, alone, 1).await;
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

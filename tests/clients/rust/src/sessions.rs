//! The life of a session, and locks, which depend on it.

use crate::{EPHEMERAL, Stage, Test, connector, soon};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use zookeeper_client as zk;

pub(crate) fn tests() -> Vec<Test> {
    use crate::sessions;
    let mut tests = tests![
        restarts: false,
        sessions::ephemerals_go_with_their_session,
        sessions::a_session_resumes_with_id_and_password,
        sessions::a_client_that_is_gone_expires,
        sessions::the_server_bounds_the_timeout,
        sessions::a_lock_excludes,
    ];
    tests.extend(tests![
        restarts: true,
        sessions::sessions_and_watches_outlive_a_killed_server,
    ]);
    tests
}

async fn ephemerals_go_with_their_session(s: Stage) {
    let (e, other) = (s.path("e"), s.client().await);
    let (made, _) = other.create(&e, b"", &EPHEMERAL).await.unwrap();
    assert_eq!(zk::SessionId(made.ephemeral_owner), other.session_id());
    s.catch_up().await;
    let (_, gone) = s.zk.check_and_watch_stat(&e).await.unwrap();
    drop(other);
    assert_eq!(soon(gone.changed()).await.event_type, zk::EventType::NodeDeleted);
}

async fn a_session_resumes_with_id_and_password(s: Stage) {
    let e = s.path("e");
    let first = connector().with_detached().connect(&s.server).await.unwrap();
    first.create(&e, b"", &EPHEMERAL).await.unwrap();
    let id = first.session_id();
    let session = first.into_session();
    let heir = connector().with_session(session).connect(&s.server).await.unwrap();
    assert_eq!(heir.session_id(), id);
    // The crate does not tell where it comes to how far the session had seen.
    heir.sync("/").await.unwrap();
    assert_eq!(heir.list_ephemerals("/").await.unwrap(), [e]);
}

async fn a_client_that_is_gone_expires(s: Stage) {
    let e = s.path("e");
    let connector = connector().with_session_timeout(Duration::from_secs(4)).with_detached();
    let gone = connector.connect(&s.server).await.unwrap();
    gone.create(&e, b"", &EPHEMERAL).await.unwrap();
    s.catch_up().await;
    let (_, expired) = s.zk.check_and_watch_stat(&e).await.unwrap();
    let session = gone.into_session();
    assert_eq!(soon(expired.changed()).await.event_type, zk::EventType::NodeDeleted);
    let late = crate::connector().with_session(session).connect(&s.server).await;
    assert_eq!(late.unwrap_err(), zk::Error::SessionExpired);
}

async fn the_server_bounds_the_timeout(s: Stage) {
    for (asked, granted) in [(1, 4), (10, 10), (600, 40)] {
        let connector = connector().with_session_timeout(Duration::from_secs(asked));
        let client = connector.connect(&s.server).await.unwrap();
        assert_eq!(client.session_timeout(), Duration::from_secs(granted));
    }
}

async fn a_lock_excludes(s: Stage) {
    let locks = s.node("locks", "").await;
    let inside = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (client, locks, inside) = (s.client().await, locks.clone(), inside.clone());
        workers.spawn(async move {
            for _ in 0..10 {
                let prefix = zk::LockPrefix::new_curator(&locks, "lock-").unwrap();
                let lock = client.lock(prefix, b"", zk::Acls::anyone_all()).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                lock.client().check_stat("/").await.unwrap();
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        });
    }
    workers.join_all().await;
}

async fn sessions_and_watches_outlive_a_killed_server(s: Stage) {
    let (e, n) = (s.path("e"), s.node("n", "kept").await);
    s.zk.create(&e, b"", &EPHEMERAL).await.unwrap();
    let (_, _, once) = s.zk.get_and_watch_data(&n).await.unwrap();
    let mut always = s.zk.watch(&n, zk::AddWatchMode::Persistent).await.unwrap();
    let (id, mut state) = (s.zk.session_id(), s.zk.state_watcher());
    s.restart_server().await;
    while soon(state.changed()).await != zk::SessionState::SyncConnected {}
    assert_eq!(s.zk.session_id(), id);
    assert_eq!(s.zk.list_ephemerals("/").await.unwrap(), [e]);
    assert_eq!(s.zk.get_data(&n).await.unwrap().0, b"kept");
    s.zk.set_data(&n, b"x", None).await.unwrap();
    assert_eq!(soon(once.changed()).await.event_type, zk::EventType::NodeDataChanged);
    while soon(always.changed()).await.event_type != zk::EventType::NodeDataChanged {}
}

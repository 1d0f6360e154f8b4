//! One-shot, persistent and recursive watches.

use crate::{PLAIN, Stage, Test, soon};
use zookeeper_client as zk;
use zookeeper_client::EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

pub(crate) fn tests() -> Vec<Test> {
    use crate::watches;
    tests![
        restarts: false,
        watches::one_shot_watches_fire,
        watches::a_persistent_watch_stays,
        watches::a_recursive_watch_sees_the_subtree,
        watches::events_carry_the_zxid_of_their_change,
    ]
}

async fn expect(watcher: &mut zk::PersistentWatcher, kind: zk::EventType, path: &str) {
    let event = soon(watcher.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (kind, path));
}

async fn one_shot_watches_fire(s: Stage) {
    let n = s.node("n", "").await;
    let (_, _, data) = s.zk.get_and_watch_data(&n).await.unwrap();
    let (_, absent) = s.zk.check_and_watch_stat(&s.path("m")).await.unwrap();
    let (_, _, children) = s.zk.get_and_watch_children(&s.root).await.unwrap();
    s.zk.set_data(&n, b"x", None).await.unwrap();
    let m = s.node("m", "").await;
    for (watcher, kind, path) in [
        (data, NodeDataChanged, &n),
        (absent, NodeCreated, &m),
        (children, NodeChildrenChanged, &s.root),
    ] {
        let event = soon(watcher.changed()).await;
        assert_eq!((event.event_type, &event.path), (kind, path));
    }
}

async fn a_persistent_watch_stays(s: Stage) {
    let n = s.path("n");
    let mut watcher = s.zk.watch(&n, zk::AddWatchMode::Persistent).await.unwrap();
    for _ in 0..3 {
        s.node("n", "").await;
        s.zk.set_data(&n, b"x", None).await.unwrap();
        let child = s.node("n/c", "").await;
        s.zk.delete(&child, None).await.unwrap();
        s.zk.delete(&n, None).await.unwrap();
        expect(&mut watcher, NodeCreated, &n).await;
        expect(&mut watcher, NodeDataChanged, &n).await;
        expect(&mut watcher, NodeChildrenChanged, &n).await;
        expect(&mut watcher, NodeChildrenChanged, &n).await;
        expect(&mut watcher, NodeDeleted, &n).await;
    }
}

async fn a_recursive_watch_sees_the_subtree(s: Stage) {
    let mut watcher = s.zk.watch(&s.root, zk::AddWatchMode::PersistentRecursive).await.unwrap();
    let (a, b) = (s.node("a", "").await, s.node("a/b", "").await);
    s.zk.set_data(&b, b"x", None).await.unwrap();
    s.zk.delete(&b, None).await.unwrap();
    expect(&mut watcher, NodeCreated, &a).await;
    expect(&mut watcher, NodeCreated, &b).await;
    expect(&mut watcher, NodeDataChanged, &b).await;
    expect(&mut watcher, NodeDeleted, &b).await;
}

async fn events_carry_the_zxid_of_their_change(s: Stage) {
    let mut watcher = s.zk.watch(&s.path("n"), zk::AddWatchMode::Persistent).await.unwrap();
    let (made, _) = s.zk.create(&s.path("n"), b"", &PLAIN).await.unwrap();
    assert_eq!(soon(watcher.changed()).await.zxid, made.czxid);
    let changed = s.zk.set_data(&s.path("n"), b"", None).await.unwrap();
    assert_eq!(soon(watcher.changed()).await.zxid, changed.mzxid);
}

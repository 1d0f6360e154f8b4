//! Nodes of every kind, transactions, access control.

use crate::{EPHEMERAL, PLAIN, Stage, Test, soon};
use std::time::Duration;
use zookeeper_client as zk;

pub(crate) fn tests() -> Vec<Test> {
    use crate::nodes;
    tests![
        restarts: false,
        nodes::a_node_is_made_read_changed_and_removed,
        nodes::refusals_name_their_reason,
        nodes::sequential_names_count_up,
        nodes::containers_and_times_to_live_end,
        nodes::descendants_and_ephemerals_are_told,
        nodes::names_in_any_script_survive,
        nodes::a_large_value_survives,
        nodes::a_transaction_is_all_or_nothing,
        nodes::several_reads_answer_each_for_itself,
        nodes::acls_admit_whom_they_name,
        nodes::a_chroot_is_invisible_inside,
    ]
}

async fn a_node_is_made_read_changed_and_removed(s: Stage) {
    let n = s.path("n");
    let (made, _) = s.zk.create(&n, b"one", &PLAIN).await.unwrap();
    assert_eq!((made.version, made.data_length, made.mzxid), (0, 3, made.czxid));
    assert_eq!(s.zk.get_data(&n).await.unwrap(), (b"one".to_vec(), made));
    let changed = s.zk.set_data(&n, b"three", Some(0)).await.unwrap();
    assert_eq!((changed.version, changed.data_length, changed.czxid), (1, 5, made.czxid));
    s.zk.delete(&n, Some(1)).await.unwrap();
    assert_eq!(s.zk.check_stat(&n).await.unwrap(), None);
}

async fn refusals_name_their_reason(s: Stage) {
    let (a, b) = (s.node("a", "").await, s.node("a/b", "").await);
    s.zk.create(&s.path("e"), b"", &EPHEMERAL).await.unwrap();
    let create = async |name: &str| s.zk.create(&s.path(name), b"", &PLAIN).await.unwrap_err();
    assert_eq!(create("a").await, zk::Error::NodeExists);
    assert_eq!(create("x/y").await, zk::Error::NoNode);
    assert_eq!(create("e/c").await, zk::Error::NoChildrenForEphemerals);
    assert_eq!(s.zk.delete(&a, None).await, Err(zk::Error::NotEmpty));
    assert_eq!(s.zk.delete(&b, Some(3)).await, Err(zk::Error::BadVersion));
    assert_eq!(s.zk.set_data(&b, b"", Some(3)).await, Err(zk::Error::BadVersion));
    assert_eq!(s.zk.get_data(&s.path("missing")).await, Err(zk::Error::NoNode));
}

async fn sequential_names_count_up(s: Stage) {
    let sequential = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
    let prefix = s.path("n-");
    // Requests are sent when the futures are made, so these are pipelined.
    let made: Vec<_> = (0..200).map(|_| s.zk.create(&prefix, b"", &sequential)).collect();
    for (expected, answer) in made.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().1.into_i64(), expected as i64);
    }
}

async fn containers_and_times_to_live_end(s: Stage) {
    let container = zk::CreateMode::Container.with_acls(zk::Acls::anyone_all());
    let (c, t) = (s.path("c"), s.path("t"));
    s.zk.create(&c, b"", &container).await.unwrap();
    let (_, container_gone) = s.zk.check_and_watch_stat(&c).await.unwrap();
    let child = s.node("c/child", "").await;
    s.zk.delete(&child, None).await.unwrap();
    let brief = PLAIN.with_ttl(Duration::from_millis(1_500));
    let (made, _) = s.zk.create(&t, b"", &brief).await.unwrap();
    assert_eq!(made.ephemeral_owner, 0);
    let (_, ttl_gone) = s.zk.check_and_watch_stat(&t).await.unwrap();
    for gone in [container_gone, ttl_gone] {
        assert_eq!(soon(gone.changed()).await.event_type, zk::EventType::NodeDeleted);
    }
}

async fn descendants_and_ephemerals_are_told(s: Stage) {
    s.node("a", "").await;
    s.node("a/b", "").await;
    let e = s.path("e");
    s.zk.create(&e, b"", &EPHEMERAL).await.unwrap();
    assert_eq!(s.zk.count_descendants_number(&s.root).await, Ok(3));
    assert_eq!(s.zk.list_ephemerals(&s.root).await, Ok(vec![e]));
}

async fn names_in_any_script_survive(s: Stage) {
    let mut names = ["b", "größe", "日本語"];
    for name in names {
        s.node(name, name).await;
    }
    let (mut found, stat) = s.zk.get_children(&s.root).await.unwrap();
    found.sort();
    names.sort();
    assert_eq!(found, names);
    assert_eq!(stat.num_children, 3);
}

async fn a_large_value_survives(s: Stage) {
    let value: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    s.zk.create(&s.path("n"), &value, &PLAIN).await.unwrap();
    assert!(s.zk.get_data(&s.path("n")).await.unwrap().0 == value, "the value changed");
}

async fn a_transaction_is_all_or_nothing(s: Stage) {
    let (n, missing) = (s.path("n"), s.path("missing"));
    let mut all = s.zk.new_multi_writer();
    all.add_create(&n, b"", &PLAIN).unwrap();
    all.add_set_data(&n, b"new", Some(0)).unwrap();
    all.add_check_version(&n, 1).unwrap();
    assert_eq!(all.commit().await.unwrap().len(), 3);
    let mut nothing = s.zk.new_multi_writer();
    nothing.add_delete(&n, Some(1)).unwrap();
    nothing.add_check_version(&missing, 0).unwrap();
    let source = zk::Error::NoNode;
    let failed = zk::MultiWriteError::OperationFailed { index: 1, source };
    assert_eq!(nothing.commit().await, Err(failed));
    assert_eq!(s.zk.get_data(&n).await.unwrap().0, b"new");
}

async fn several_reads_answer_each_for_itself(s: Stage) {
    let n = s.node("n", "data").await;
    let mut reader = s.zk.new_multi_reader();
    reader.add_get_data(&n).unwrap();
    reader.add_get_data(&s.path("missing")).unwrap();
    reader.add_get_children(&s.root).unwrap();
    let results = reader.commit().await.unwrap();
    let [found, missing, listed] = &results[..] else { panic!("{results:?}") };
    let (wanted, wanted_stat) = s.zk.get_data(&n).await.unwrap();
    assert!(
        matches!(found, zk::MultiReadResult::Data { data, stat }
            if *data == wanted && *stat == wanted_stat),
        "{found:?}"
    );
    assert!(
        matches!(missing, zk::MultiReadResult::Error { err: zk::Error::NoNode }),
        "{missing:?}"
    );
    assert!(
        matches!(listed, zk::MultiReadResult::Children { children } if children == &["n"]),
        "{listed:?}"
    );
}

async fn acls_admit_whom_they_name(s: Stage) {
    let (n, bob) = (s.path("n"), s.client().await);
    bob.auth("digest", b"bob:1").await.unwrap();
    let users = bob.list_auth_users().await.unwrap();
    assert!(users.contains(&zk::AuthUser::new("digest", "bob")), "{users:?}");
    let own = zk::CreateMode::Persistent.with_acls(zk::Acls::creator_all());
    bob.create(&n, b"", &own).await.unwrap();
    s.catch_up().await;
    assert_eq!(s.zk.get_data(&n).await, Err(zk::Error::NoAuth));
    let (acls, _) = bob.get_acl(&n).await.unwrap();
    assert_eq!((acls.len(), acls[0].scheme()), (1, "digest"));
    bob.set_acl(&n, &zk::Acls::anyone_read(), Some(0)).await.unwrap();
    s.catch_up().await;
    s.zk.get_data(&n).await.unwrap();
    assert_eq!(s.zk.set_data(&n, b"", None).await, Err(zk::Error::NoAuth));
}

async fn a_chroot_is_invisible_inside(s: Stage) {
    let inside = s.zk.clone().chroot(s.root.clone()).unwrap();
    inside.create("/n", b"", &PLAIN).await.unwrap();
    assert_eq!(inside.list_children("/").await.unwrap(), ["n"]);
    assert!(s.zk.check_stat(&s.path("n")).await.unwrap().is_some());
}

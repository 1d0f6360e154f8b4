import static org.apache.zookeeper.KeeperException.Code.*;
import static org.apache.zookeeper.Watcher.Event.EventType.NodeDeleted;

import harness.Check;
import harness.Events;
import harness.Stage;
import harness.Test;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** The life of a session: its timeout, its password, its end. */
final class Sessions {
    private Sessions() {}

    private static String ephemeral(ZooKeeper zk, String path) throws Exception {
        return zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    }

    @Test
    static void theServerBoundsTheTimeout(Stage s) throws Exception {
        int[][] askedAndGranted = {{1_000, 4_000}, {10_000, 10_000}, {600_000, 40_000}};
        for (int[] pair : askedAndGranted) {
            Check.equal(s.client("", pair[0]).getSessionTimeout(), pair[1]);
        }
    }

    @Test
    static void anAbandonedSessionExpires(Stage s) throws Exception {
        Events seen = new Events();
        Stage.Client client = s.client("", 4_000);
        String node = ephemeral(client, s.path("e"));
        s.zk.exists(node, seen);
        long started = System.nanoTime();
        client.abandon();
        seen.expect(NodeDeleted, node);
        Check.that(System.nanoTime() - started > 2_000_000_000L, "expired far too early");
        Stage.Client heir = s.unconnected(client.getSessionId(), client.getSessionPasswd());
        heir.told.await(KeeperState.Expired);
    }

    @Test
    static void anIdleSessionLives(Stage s) throws Exception {
        Stage.Client client = s.client("", 4_000);
        client.told.await(KeeperState.SyncConnected);
        ephemeral(client, s.path("e"));
        boolean wasCutOff = true;
        // A machine that stalls for a second or two costs a connection, but not time after time.
        for (int round = 0; round < 3 && wasCutOff; round++) {
            Thread.sleep(9_000); // the claim is about time passing
            wasCutOff = client.told.sawAny(client);
        }
        Check.that(!wasCutOff, "an idle client was cut off three times");
        Check.that(s.zk.exists(s.path("e"), false) != null, "the session expired");
    }

    @Test
    static void aSessionIsResumedWithItsPassword(Stage s) throws Exception {
        Stage.Client first = s.client();
        String node = ephemeral(first, s.path("e"));
        first.abandon();
        Stage.Client heir = s.resume(first.getSessionId(), first.getSessionPasswd());
        Check.equal(heir.getSessionId(), first.getSessionId());
        Check.equal(s.zk.exists(node, false).getEphemeralOwner(), heir.getSessionId());
        Check.equal(heir.getEphemerals(), List.of(node));
        heir.close();
        Check.equal(s.zk.exists(node, false), null);
    }

    @Test
    static void aWrongPasswordGainsNothing(Stage s) throws Exception {
        Stage.Client owner = s.client();
        String node = ephemeral(owner, s.path("e"));
        Stage.Client thief = s.unconnected(owner.getSessionId(), new byte[16]);
        thief.told.await(KeeperState.Expired);
        // Apache cuts the owner's connection; its session must live on either way.
        Check.eventually(
                "the owner goes on", () -> owner.getEphemerals().equals(List.of(node)));
        Check.equal(s.zk.exists(node, false).getEphemeralOwner(), owner.getSessionId());
    }

    @Test
    static void closingInAnotherPlaceExpiresTheClient(Stage s) throws Exception {
        Stage.Client client = s.client();
        Stage.Client twin = s.resume(client.getSessionId(), client.getSessionPasswd());
        twin.close();
        client.told.await(KeeperState.Expired);
        Check.refused(SESSIONEXPIRED, () -> client.exists("/", false));
    }

    @Test
    static void aLostConnectionIsNoLostSession(Stage s) throws Exception {
        Stage.Client client = s.client();
        String node = ephemeral(client, s.path("e"));
        long session = client.getSessionId();
        client.told.await(KeeperState.SyncConnected);
        for (int round = 0; round < 3; round++) {
            client.getTestable().closeSocket();
            client.told.await(KeeperState.Disconnected);
            client.told.await(KeeperState.SyncConnected);
        }
        Check.equal(client.getSessionId(), session);
        Check.equal(s.zk.exists(node, false).getEphemeralOwner(), session);
    }

    @Test
    static void manySessionsComeAndGo(Stage s) throws Exception {
        for (int round = 0; round < 50; round++) {
            Stage.Client client = s.client();
            ephemeral(client, s.path("e"));
            client.close();
        }
        Check.equal(s.zk.exists(s.root, false).getCversion(), 100);
    }

    @Test
    static void aReadOnlyClientIsWelcomeAtAWritableServer(Stage s) throws Exception {
        Events states = new Events();
        try (ZooKeeper zk = new ZooKeeper(s.server, Stage.SESSION_MS, states, true)) {
            states.await(KeeperState.SyncConnected);
            Check.equal(zk.getState(), ZooKeeper.States.CONNECTED);
        }
    }

    @Test(restarts = true)
    static void everythingAcknowledgedOutlivesAKilledServer(Stage s) throws Exception {
        String node = s.node("n", "kept");
        s.zk.setACL(node, Ids.READ_ACL_UNSAFE, 0);
        String mine = ephemeral(s.zk, s.path("e"));
        s.zk.create(s.path("c"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        Stat before = s.zk.exists(node, false);
        long session = s.zk.getSessionId();
        s.zk.told.await(KeeperState.SyncConnected);
        s.restartServer();
        s.zk.told.await(KeeperState.SyncConnected);
        Check.equal(s.zk.getSessionId(), session);
        Check.equal(s.zk.exists(node, false), before);
        Check.equal(new String(s.zk.getData(node, false, null)), "kept");
        Check.equal(s.zk.getACL(node, null), Ids.READ_ACL_UNSAFE);
        Check.equal(s.zk.getEphemerals(), List.of(mine));
        String next =
                s.zk.create(
                        s.path("n-"),
                        null,
                        Ids.OPEN_ACL_UNSAFE,
                        CreateMode.PERSISTENT_SEQUENTIAL);
        Check.equal(next, s.path("n-0000000003"));
        Check.that(s.zk.exists(next, false).getCzxid() > before.getMzxid(), "zxids went back");
    }

    @Test(restarts = true)
    static void containersAndTimesToLiveGoOnAfterARestart(Stage s) throws Exception {
        s.zk.create(s.path("c"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        s.node("c/child", "");
        s.zk.create(
                s.path("t"),
                null,
                Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT_WITH_TTL,
                null,
                3_000);
        s.zk.told.await(KeeperState.SyncConnected);
        s.restartServer();
        s.zk.told.await(KeeperState.SyncConnected);
        s.zk.delete(s.path("c/child"), -1);
        Check.eventually(
                "both kinds are removed", () -> s.zk.getChildren(s.root, false).isEmpty());
    }
}

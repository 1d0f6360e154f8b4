import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.ACLProvider;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** The fluent client itself. */
final class Framework {
    private Framework() {}

    @Test
    static void nodesAreMadeReadChangedAndRemoved(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        Stat stat = new Stat();
        c.create().storingStatIn(stat).forPath(s.path("n"), "one".getBytes());
        Check.equal(stat.getDataLength(), 3);
        c.setData().withVersion(0).forPath(s.path("n"), "two".getBytes());
        Check.equal(new String(c.getData().storingStatIn(stat).forPath(s.path("n"))), "two");
        Check.equal(stat.getVersion(), 1);
        c.delete().guaranteed().withVersion(1).forPath(s.path("n"));
        Check.equal(c.checkExists().forPath(s.path("n")), null);
    }

    @Test
    static void parentsAreMadeAsContainersAndGoWithTheirChildren(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        c.create().creatingParentContainersIfNeeded().forPath(s.path("a/b/c"));
        c.delete().forPath(s.path("a/b/c"));
        Check.eventually("the parents go", () -> c.getChildren().forPath(s.root).isEmpty());
    }

    @Test
    static void createOrSetMakesOrChanges(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        c.create().orSetData().creatingParentsIfNeeded().forPath(s.path("a/b"), new byte[1]);
        c.create().orSetData().forPath(s.path("a/b"), new byte[2]);
        Check.equal(c.getData().forPath(s.path("a/b")).length, 2);
        c.delete().deletingChildrenIfNeeded().forPath(s.path("a"));
        Check.equal(c.getChildren().forPath(s.root), List.of());
    }

    @Test
    static void aProtectedNodeCarriesItsMark(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        String made =
                c.create()
                        .withProtection()
                        .withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                        .forPath(s.path("lock-"));
        Check.that(made.matches(s.root + "/_c_[0-9a-f-]{36}-lock-0000000000"), made);
    }

    @Test
    static void aNamespaceIsAChroot(Stage s) throws Exception {
        CuratorFramework c =
                Curator.client(
                        s, CuratorFrameworkFactory.builder().namespace(s.root.substring(1)));
        c.create().forPath("/n");
        s.catchUp();
        Check.equal(s.zk.getChildren(s.root, false), List.of("n"));
    }

    @Test
    static void transactionsTellEachResult(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        List<CuratorTransactionResult> results =
                c.transaction()
                        .forOperations(
                                c.transactionOp().create().forPath(s.path("a")),
                                c.transactionOp().create().forPath(s.path("b")),
                                c.transactionOp().setData().forPath(s.path("a"), new byte[5]),
                                c.transactionOp().check().withVersion(1).forPath(s.path("a")),
                                c.transactionOp().delete().forPath(s.path("b")));
        Check.equal(results.size(), 5);
        Check.equal(results.get(0).getResultPath(), s.path("a"));
        Check.equal(results.get(2).getResultStat().getVersion(), 1);
        Check.refused(
                KeeperException.Code.NODEEXISTS,
                () ->
                        c.transaction()
                                .forOperations(
                                        c.transactionOp().create().forPath(s.path("c")),
                                        c.transactionOp().create().forPath(s.path("a"))));
        Check.equal(c.getChildren().forPath(s.root), List.of("a"));
    }

    @Test
    static void backgroundCallsAnswerLater(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        var event = new CompletableFuture<CuratorEvent>();
        c.create()
                .inBackground((client, e) -> event.complete(e))
                .forPath(s.path("n"), new byte[3]);
        CuratorEvent answer = event.get(Check.WAIT_S, TimeUnit.SECONDS);
        Check.equal(answer.getResultCode(), 0);
        Check.equal(answer.getName(), s.path("n"));
        Check.equal(answer.getStat().getDataLength(), 3);
    }

    @Test
    static void authorizationAndDefaultAclsApply(Stage s) throws Exception {
        var onlyCreator =
                new ACLProvider() {
                    @Override
                    public List<ACL> getDefaultAcl() {
                        return Ids.CREATOR_ALL_ACL;
                    }

                    @Override
                    public List<ACL> getAclForPath(String path) {
                        return Ids.CREATOR_ALL_ACL;
                    }
                };
        CuratorFramework c =
                Curator.client(
                        s,
                        CuratorFrameworkFactory.builder()
                                .authorization("digest", "bob:1".getBytes())
                                .aclProvider(onlyCreator));
        c.create().forPath(s.path("n"), "mine".getBytes());
        Check.equal(new String(c.getData().forPath(s.path("n"))), "mine");
        s.catchUp();
        Check.refused(
                KeeperException.Code.NOAUTH, () -> s.zk.getData(s.path("n"), false, null));
    }

    @Test
    static void anExpiredSessionIsReplaced(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        var states = new LinkedBlockingQueue<ConnectionState>();
        c.getConnectionStateListenable().addListener((client, state) -> states.add(state));
        c.checkExists().forPath("/");
        Curator.expire(s, c);
        while (states.poll(Check.WAIT_S, TimeUnit.SECONDS) != ConnectionState.LOST) {}
        Check.equal(states.poll(Check.WAIT_S, TimeUnit.SECONDS), ConnectionState.RECONNECTED);
        c.create().forPath(s.path("n"));
    }

    @Test(restarts = true)
    static void callsWaitOutARestart(Stage s) throws Exception {
        CuratorFramework c = Curator.client(s);
        c.create().withMode(CreateMode.EPHEMERAL).forPath(s.path("e"));
        long session = c.getZookeeperClient().getZooKeeper().getSessionId();
        var stop = new CompletableFuture<Void>();
        CompletableFuture<Integer> writing =
                Curator.start(
                        () -> {
                            int written = 0;
                            while (!stop.isDone()) {
                                c.create().orSetData().forPath(s.path("n"), new byte[1]);
                                written++;
                            }
                            return written;
                        });
        s.restartServer();
        Check.eventually("the server is back", () -> c.checkExists().forPath(s.root) != null);
        stop.complete(null);
        Check.that(Curator.result(writing) > 0, "nothing was written");
        Check.equal(c.checkExists().forPath(s.path("e")).getEphemeralOwner(), session);
    }
}

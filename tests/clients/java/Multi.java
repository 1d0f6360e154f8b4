import static org.apache.zookeeper.KeeperException.Code.*;

import harness.Check;
import harness.Events;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.OpResult.CheckResult;
import org.apache.zookeeper.OpResult.CreateResult;
import org.apache.zookeeper.OpResult.DeleteResult;
import org.apache.zookeeper.OpResult.ErrorResult;
import org.apache.zookeeper.OpResult.GetChildrenResult;
import org.apache.zookeeper.OpResult.GetDataResult;
import org.apache.zookeeper.OpResult.SetDataResult;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;

/** Transactions, and several reads in one request. */
final class Multi {
    private Multi() {}

    private static Op create(String path, CreateMode mode) {
        return Op.create(path, new byte[0], Ids.OPEN_ACL_UNSAFE, mode);
    }

    @Test
    static void everyKindOfOperationFitsInOneTransaction(Stage s) throws Exception {
        String old = s.node("old", "");
        List<OpResult> results =
                s.zk.multi(
                        List.of(
                                Op.check(old, 0),
                                create(s.path("p"), CreateMode.PERSISTENT),
                                create(s.path("p/s-"), CreateMode.PERSISTENT_SEQUENTIAL),
                                create(s.path("e"), CreateMode.EPHEMERAL),
                                create(s.path("c"), CreateMode.CONTAINER),
                                Op.create(
                                        s.path("t"),
                                        null,
                                        Ids.OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT_WITH_TTL,
                                        600_000),
                                Op.setData(old, "new".getBytes(), 0),
                                Op.delete(s.path("e"), 0)));
        Check.equal(results.size(), 8);
        Check.that(results.get(0) instanceof CheckResult, "no result of the check");
        Check.equal(((CreateResult) results.get(1)).getPath(), s.path("p"));
        Check.equal(((CreateResult) results.get(2)).getPath(), s.path("p/s-0000000000"));
        Check.equal(((CreateResult) results.get(4)).getPath(), s.path("c"));
        Check.equal(((CreateResult) results.get(5)).getPath(), s.path("t"));
        Check.equal(((SetDataResult) results.get(6)).getStat().getVersion(), 1);
        Check.that(results.get(7) instanceof DeleteResult, "no result of the delete");
        long zxid = ((SetDataResult) results.get(6)).getStat().getMzxid();
        for (String made : new String[] {"p", "p/s-0000000000", "c", "t"}) {
            Check.equal(s.zk.exists(s.path(made), false).getCzxid(), zxid);
        }
        Check.equal(s.zk.exists(s.path("e"), false), null);
    }

    @Test
    static void oneFailureUndoesAllAndSaysWhich(Stage s) throws Exception {
        String n = s.node("n", "");
        Events seen = new Events();
        s.zk.getChildren(s.root, seen);
        var failing =
                List.of(
                        List.of(Op.check(n, 3), BADVERSION),
                        List.of(Op.check(s.path("missing"), 0), NONODE),
                        List.of(Op.delete(s.path("missing"), -1), NONODE),
                        List.of(Op.setData(n, null, 3), BADVERSION),
                        List.of(create(n, CreateMode.PERSISTENT), NODEEXISTS),
                        List.of(create(s.path("a/b"), CreateMode.PERSISTENT), NONODE),
                        List.of(Op.delete(s.root, -1), NOTEMPTY));
        for (List<Object> each : failing) {
            var operations = new ArrayList<Op>();
            operations.add(create(s.path("new"), CreateMode.PERSISTENT));
            operations.add((Op) each.get(0));
            operations.add(Op.setData(n, "changed".getBytes(), -1));
            try {
                s.zk.multi(operations);
                throw new AssertionError("no error where " + each.get(1) + " was expected");
            } catch (KeeperException e) {
                var codes = new ArrayList<Object>();
                for (OpResult result : e.getResults()) {
                    codes.add(KeeperException.Code.get(((ErrorResult) result).getErr()));
                }
                Check.equal(codes, List.of(OK, each.get(1), RUNTIMEINCONSISTENCY));
                Check.equal(e.code(), each.get(1));
            }
        }
        seen.expectNothing(s.zk);
        Check.equal(s.zk.getChildren(s.root, false), List.of("n"));
        Check.equal(s.zk.exists(n, false).getVersion(), 0);
    }

    @Test
    static void theTransactionBuilderCommits(Stage s) throws Exception {
        s.zk.transaction()
                .create(s.path("a"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                .setData(s.path("a"), "x".getBytes(), 0)
                .check(s.path("a"), 1)
                .commit();
        Check.equal(new String(s.zk.getData(s.path("a"), false, null)), "x");
    }

    @Test
    static void theWatchersOfATransactionHearInOrder(Stage s) throws Exception {
        Events seen = new Events();
        s.zk.addWatch(s.root, seen, org.apache.zookeeper.AddWatchMode.PERSISTENT_RECURSIVE);
        s.zk.multi(
                List.of(
                        create(s.path("a"), CreateMode.PERSISTENT),
                        create(s.path("b"), CreateMode.PERSISTENT),
                        Op.setData(s.path("a"), null, -1),
                        Op.delete(s.path("b"), -1)));
        seen.expect(EventType.NodeCreated, s.path("a"));
        seen.expect(EventType.NodeCreated, s.path("b"));
        seen.expect(EventType.NodeDataChanged, s.path("a"));
        seen.expect(EventType.NodeDeleted, s.path("b"));
    }

    @Test
    static void severalReadsAnswerEachForItself(Stage s) throws Exception {
        String n = s.node("n", "data");
        List<OpResult> results =
                s.zk.multi(
                        List.of(
                                Op.getData(n),
                                Op.getChildren(s.root),
                                Op.getData(s.path("missing")),
                                Op.getChildren(n)));
        Check.equal(new String(((GetDataResult) results.get(0)).getData()), "data");
        Check.equal(((GetDataResult) results.get(0)).getStat(), s.zk.exists(n, false));
        Check.equal(((GetChildrenResult) results.get(1)).getChildren(), List.of("n"));
        Check.equal(((ErrorResult) results.get(2)).getErr(), NONODE.intValue());
        Check.equal(((GetChildrenResult) results.get(3)).getChildren(), List.of());
    }

    @Test
    static void aTransactionOfNothingSucceeds(Stage s) throws Exception {
        Check.equal(s.zk.multi(List.of()), List.of());
    }

    @Test
    static void pipelinedTransactionsSeeEachOther(Stage s) throws Exception {
        int count = 200;
        String n = s.node("n", "");
        var done = new java.util.concurrent.CountDownLatch(count);
        for (int version = 0; version < count; version++) {
            s.zk.multi(
                    List.of(Op.check(n, version), Op.setData(n, null, version)),
                    (code, path, context, results) -> {
                        if (code == 0) {
                            done.countDown();
                        }
                    },
                    null);
        }
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), done.getCount() + " failed");
        Check.equal(s.zk.exists(n, false).getVersion(), count);
    }
}

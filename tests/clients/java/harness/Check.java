package harness;

import java.util.Objects;
import java.util.concurrent.Callable;
import org.apache.zookeeper.KeeperException;

/** Claims about values. */
public final class Check {
    public static final int WAIT_S = 15;

    private Check() {}

    /** Work that may throw. */
    public interface Body {
        void run() throws Exception;
    }

    public static void that(boolean claim, String otherwise) {
        if (!claim) {
            throw new AssertionError(otherwise);
        }
    }

    public static void equal(Object actual, Object expected) {
        that(Objects.equals(actual, expected), actual + " where " + expected + " was expected");
    }

    public static void refused(KeeperException.Code code, Body body) throws Exception {
        try {
            body.run();
        } catch (KeeperException e) {
            equal(e.code(), code);
            return;
        }
        throw new AssertionError("no error where " + code + " was expected");
    }

    /** For what no event announces: asks until the claim holds, over lost connections too. */
    public static void eventually(String what, Callable<Boolean> claim) throws Exception {
        long deadline = System.nanoTime() + WAIT_S * 1_000_000_000L;
        while (!holds(claim)) {
            that(System.nanoTime() < deadline, what + ": not within " + WAIT_S + " s");
            Thread.sleep(50);
        }
    }

    private static boolean holds(Callable<Boolean> claim) throws Exception {
        try {
            return claim.call();
        } catch (KeeperException.ConnectionLossException e) {
            return false;
        }
    }
}

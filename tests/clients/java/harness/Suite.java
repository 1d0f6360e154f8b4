package harness;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs the tests of some classes and prints a line for each: `ok NAME` or `FAIL NAME: why`.
 *
 * Tests run a few at a time, since most of them wait for the server's clock.
 */
public final class Suite {
    private static final int AT_A_TIME = 4;
    private static final int TEST_SECONDS_MAX = 60;

    private Suite() {}

    public static void run(String server, Class<?>... classes) throws Exception {
        List<Method> together = new ArrayList<>();
        List<Method> alone = new ArrayList<>();
        String only = System.getenv().getOrDefault("CLIENTS_ONLY", "");
        for (Class<?> type : classes) {
            Method[] methods = type.getDeclaredMethods();
            java.util.Arrays.sort(methods, Comparator.comparing(Method::getName));
            for (Method method : methods) {
                Test test = method.getAnnotation(Test.class);
                if (test != null && method.getName().contains(only)) {
                    method.setAccessible(true);
                    (test.restarts() ? alone : together).add(method);
                }
            }
        }
        int failed = runAll(server, together, AT_A_TIME);
        if (System.getenv("CLIENTS_RESTART") != null) {
            failed += runAll(server, alone, 1);
        }
        // Halt: a client thread that is stuck must not hold the process.
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private static int runAll(String server, List<Method> tests, int atATime) throws Exception {
        ExecutorService lanes = Executors.newFixedThreadPool(atATime);
        List<Future<Boolean>> results = new ArrayList<>();
        for (Method test : tests) {
            results.add(lanes.submit(() -> runOne(server, test)));
        }
        int failed = 0;
        for (Future<Boolean> result : results) {
            failed += result.get() ? 0 : 1;
        }
        lanes.shutdown();
        return failed;
    }

    private static boolean runOne(String server, Method test) {
        ExecutorService thread = Executors.newSingleThreadExecutor();
        Future<?> outcome =
                thread.submit(
                        () -> {
                            try (Stage stage = new Stage(server, test.getName())) {
                                test.invoke(null, stage);
                            }
                            return null;
                        });
        try {
            outcome.get(TEST_SECONDS_MAX, TimeUnit.SECONDS);
            System.out.println("ok " + test.getName());
            return true;
        } catch (TimeoutException e) {
            System.out.println(
                    "FAIL " + test.getName() + ": still running after " + TEST_SECONDS_MAX + " s");
        } catch (Exception e) {
            Throwable cause = e;
            while (cause instanceof java.util.concurrent.ExecutionException
                    || cause instanceof InvocationTargetException) {
                cause = cause.getCause();
            }
            String why = cause.toString().split("\n")[0];
            System.out.println("FAIL " + test.getName() + ": " + why);
            cause.printStackTrace();
        } finally {
            thread.shutdownNow();
        }
        return false;
    }
}

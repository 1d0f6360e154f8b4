import harness.Suite;

/** Runs every test of Curator against the server named on the command line. */
final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        Suite.run(
                args[0],
                Framework.class,
                Locks.class,
                Leaders.class,
                Caches.class,
                Nodes.class,
                Numbers.class,
                Barriers.class,
                Queues.class);
    }
}

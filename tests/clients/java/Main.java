import harness.Suite;

/** Runs every test of the Java client against the server named on the command line. */
final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        Suite.run(
                args[0],
                Nodes.class,
                Watches.class,
                Multi.class,
                Acls.class,
                Sessions.class,
                Consistency.class);
    }
}

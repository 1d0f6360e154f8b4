#include "harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEST_SECONDS_MAX = 60 };

static const char *test_name = ORPHAN;

void fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("FAIL %s: %s:%d: ", test_name, strrchr(file, '/') + 1, line);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

void equal(const char *file, int line, const char *what, int64_t actual, int64_t expected) {
    if (actual != expected)
        fail(file, line, "%s is %jd where %jd was expected", what, (intmax_t)actual,
             (intmax_t)expected);
}

void equal_text(const char *file, int line, const char *actual, const char *expected) {
    if (strcmp(actual, expected))
        fail(file, line, "\"%s\" where \"%s\" was expected", actual, expected);
}

void events_init(struct events *events) {
    memset(events, 0, sizeof *events);
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->more, NULL);
}

void tell(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct events *events = context;
    (void)zh;
    pthread_mutex_lock(&events->lock);
    CHECK(events->told < EVENTS_MAX);
    struct event *event = &events->list[events->told++];
    event->type = type;
    event->state = state;
    snprintf(event->path, sizeof event->path, "%s", path ? path : "");
    pthread_cond_broadcast(&events->more);
    pthread_mutex_unlock(&events->lock);
}

static struct event next_event(struct events *events) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&events->lock);
    while (events->taken == events->told) {
        int error = pthread_cond_timedwait(&events->more, &events->lock, &deadline);
        if (error == ETIMEDOUT) fail(__FILE__, __LINE__, "no event within %d s", WAIT_SECONDS);
    }
    struct event event = events->list[events->taken++];
    pthread_mutex_unlock(&events->lock);
    return event;
}

void expect_event(struct events *events, int type, const char *path) {
    struct event event;
    do event = next_event(events);
    while (event.type == ZOO_SESSION_EVENT);
    EQUAL(event.type, type);
    EQUAL_TEXT(event.path, path);
}

void expect_state(struct events *events, int state) {
    struct event event;
    do event = next_event(events);
    while (event.type != ZOO_SESSION_EVENT || event.state != state);
}

static void wake(int rc, const char *value, const void *context) {
    (void)rc, (void)value;
    tell(NULL, ZOO_SESSION_EVENT, 0, "answered", (void *)context);
}

void expect_no_event(zhandle_t *zh, struct events *events) {
    /* Completions and watchers run on one thread, in the order of the wire. */
    EQUAL(zoo_async(zh, "/", wake, events), ZOK);
    struct event event = next_event(events);
    EQUAL_TEXT(event.path, "answered");
}

zhandle_t *connect_to(const char *server, int timeout_ms, const clientid_t *id,
                      struct events *session) {
    events_init(session);
    zhandle_t *zh = zookeeper_init(server, tell, timeout_ms, id, session, 0);
    CHECK(zh != NULL);
    expect_state(session, ZOO_CONNECTED_STATE);
    return zh;
}

const char *under(struct stage *s, const char *name) {
    static char buffers[8][PATH_MAX_BYTES * 2];
    static int next;
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, sizeof buffers[0], "%s/%s", s->root, name);
    return buffer;
}

void restart_server(void) {
    EQUAL(system(getenv("CLIENTS_RESTART")), 0);
}

static void body(const char *server, const struct test *test) {
    static struct stage stage;
    test_name = test->name;
    alarm(TEST_SECONDS_MAX);
    stage.server = server;
    stage.zh = connect_to(server, SESSION_MS, NULL, &stage.session);
    snprintf(stage.root, sizeof stage.root, "/c-%d-%s", (int)getpid(), test->name);
    EQUAL(zoo_create(stage.zh, stage.root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    test->run(&stage);
    zookeeper_close(stage.zh);
    printf("ok %s\n", test->name);
    fflush(stdout);
    _exit(0);
}

static bool passes(const char *server, const struct test *test) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) body(server, test);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("FAIL %s: ended by signal %d\n", test->name, WTERMSIG(status));
    return status == 0;
}

/* Puts the first of the members behind the others. */
static void rotate(char *members) {
    char *others = strchr(members, ',');
    if (!others) return;
    size_t first_bytes = others - members, others_bytes = strlen(++others);
    char *first = strndup(members, first_bytes);
    memmove(members, others, others_bytes);
    members[others_bytes] = ',';
    memcpy(members + others_bytes + 1, first, first_bytes);
    free(first);
}

int main(int argc, char **argv) {
    const struct test *groups[] = {node_tests, watch_tests, session_tests};
    const char *only = getenv("CLIENTS_ONLY");
    bool all_pass = true;
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zoo_deterministic_conn_order(true);
    if (argc == 6 && strcmp(argv[1], ORPHAN) == 0) become_orphan(argv + 2);
    if (argc != 2) return 2;
    for (int restarts = 0; restarts <= (getenv("CLIENTS_RESTART") != NULL); restarts++)
        for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
            for (const struct test *test = groups[group]; test->name; test++)
                if (test->restarts == restarts && (!only || strstr(test->name, only))) {
                    all_pass &= passes(argv[1], test);
                    rotate(argv[1]);
                }
    return all_pass ? 0 : 1;
}

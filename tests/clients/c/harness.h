/* Tests of the C client: each runs in a process of its own, so that one that hangs or crashes is
 * one failed test. A claim that does not hold prints why and ends the process. */
#ifndef HARNESS_H
#define HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <zookeeper/zookeeper.h>

enum { WAIT_SECONDS = 15, SESSION_MS = 10000, PATH_MAX_BYTES = 256, EVENTS_MAX = 64 };

/* A watcher context that keeps the events it was told, in order. */
struct events {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int told, taken;
    struct event {
        int type, state;
        char path[PATH_MAX_BYTES];
    } list[EVENTS_MAX];
};

void events_init(struct events *events);
/* The watcher_fn for zoo_w* calls; the context is a struct events. */
void tell(zhandle_t *zh, int type, int state, const char *path, void *events);
void expect_event(struct events *events, int type, const char *path);
/* Waits for an event of the session that says this state. */
void expect_state(struct events *events, int state);
/* No event was sent before the reply to a request made now. */
void expect_no_event(zhandle_t *zh, struct events *events);

struct stage {
    /* Of an ensemble, its members in an order of this test: its clients meet on one member, where
     * they see each other's writes at once, and each moves on to the next when it reconnects. */
    const char *server;
    char root[PATH_MAX_BYTES]; /* a node that belongs to this test */
    zhandle_t *zh;
    struct events session; /* of zh */
};

/* A connected handle; `id` resumes a session when it is not null. */
zhandle_t *connect_to(const char *server, int timeout_ms, const clientid_t *id,
                      struct events *session);
/* The path of a node under the root, in one of a few static buffers. */
const char *under(struct stage *s, const char *name);
/* Kills the server and waits until it answers again. */
void restart_server(void);

_Noreturn void fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define CHECK(claim) EQUAL(!!(claim), 1)
#define EQUAL(actual, expected) equal(__FILE__, __LINE__, #actual, actual, expected)
#define EQUAL_TEXT(actual, expected) equal_text(__FILE__, __LINE__, actual, expected)
void equal(const char *file, int line, const char *what, int64_t actual, int64_t expected);
void equal_text(const char *file, int line, const char *actual, const char *expected);

struct test {
    const char *name;
    void (*run)(struct stage *);
    bool restarts;
};
#define TEST(name) {#name, name, false}
#define RESTARTS(name) {#name, name, true}

/* The first argument of a program that is to open a session, own a node and die (see sessions.c). */
#define ORPHAN "--orphan"
/* `arguments`: server, path, timeout in ms, and where to write the session's id. */
void become_orphan(char **arguments);

extern const struct test node_tests[], watch_tests[], session_tests[];

#endif

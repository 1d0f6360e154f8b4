/* The life of a session. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int ephemeral(zhandle_t *zh, const char *path) {
    return zoo_create(zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0);
}

/* A session whose process died without closing it; it owns the ephemeral node `path`. The process is a
 * new program: a fork alone of one with threads may inherit locks that nobody will release. */
static clientid_t orphan(struct stage *s, const char *path, int timeout_ms) {
    int pipe_ends[2];
    clientid_t id;
    char timeout[16], out[16];
    EQUAL(pipe(pipe_ends), 0);
    snprintf(timeout, sizeof timeout, "%d", timeout_ms);
    snprintf(out, sizeof out, "%d", pipe_ends[1]);
    char *arguments[] = {"c", ORPHAN, (char *)s->server, (char *)path, timeout, out, NULL};
    pid_t child = fork();
    if (child == 0) {
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(pipe_ends[1]);
    EQUAL(read(pipe_ends[0], &id, sizeof id), sizeof id);
    close(pipe_ends[0]);
    waitpid(child, NULL, 0);
    return id;
}

void become_orphan(char **arguments) {
    struct events session;
    zhandle_t *zh = connect_to(arguments[0], atoi(arguments[2]), NULL, &session);
    EQUAL(ephemeral(zh, arguments[1]), ZOK);
    EQUAL(write(atoi(arguments[3]), zoo_client_id(zh), sizeof(clientid_t)), sizeof(clientid_t));
    kill(getpid(), SIGKILL);
}

/* Closing does not wait for the server. */
static void close_and_expect_deleted(struct stage *s, zhandle_t *zh, const char *path) {
    struct events seen;
    events_init(&seen);
    EQUAL(zoo_wexists(s->zh, path, tell, &seen, NULL), ZOK);
    EQUAL(zookeeper_close(zh), ZOK);
    expect_event(&seen, ZOO_DELETED_EVENT, path);
}

static void closing_removes_ephemerals(struct stage *s) {
    struct events session;
    zhandle_t *zh = connect_to(s->server, SESSION_MS, NULL, &session);
    EQUAL(ephemeral(zh, under(s, "e")), ZOK);
    close_and_expect_deleted(s, zh, under(s, "e"));
    EQUAL(zoo_exists(s->zh, under(s, "e"), 0, NULL), ZNONODE);
}

static void a_dead_client_expires(struct stage *s) {
    struct events seen;
    events_init(&seen);
    EQUAL(zoo_wexists(s->zh, under(s, "e"), tell, &seen, NULL), ZNONODE);
    clientid_t id = orphan(s, under(s, "e"), 4000);
    expect_event(&seen, ZOO_CREATED_EVENT, under(s, "e"));
    EQUAL(zoo_wexists(s->zh, under(s, "e"), tell, &seen, NULL), ZOK);
    expect_event(&seen, ZOO_DELETED_EVENT, under(s, "e"));
    struct events session;
    events_init(&session);
    zhandle_t *zh = zookeeper_init(s->server, tell, 4000, &id, &session, 0);
    expect_state(&session, ZOO_EXPIRED_SESSION_STATE);
    zookeeper_close(zh);
}

static void a_session_resumes_with_id_and_password(struct stage *s) {
    struct events session;
    struct Stat stat;
    clientid_t id = orphan(s, under(s, "e"), SESSION_MS);
    zhandle_t *zh = connect_to(s->server, SESSION_MS, &id, &session);
    EQUAL(zoo_client_id(zh)->client_id, id.client_id);
    EQUAL(zoo_exists(s->zh, under(s, "e"), 0, &stat), ZOK);
    EQUAL(stat.ephemeralOwner, id.client_id);
    close_and_expect_deleted(s, zh, under(s, "e"));
}

static void a_wrong_password_gains_nothing(struct stage *s) {
    struct events session;
    clientid_t id = *zoo_client_id(s->zh);
    EQUAL(ephemeral(s->zh, under(s, "e")), ZOK);
    memset(id.passwd, 1, sizeof id.passwd);
    events_init(&session);
    zhandle_t *thief = zookeeper_init(s->server, tell, SESSION_MS, &id, &session, 0);
    expect_state(&session, ZOO_EXPIRED_SESSION_STATE);
    zookeeper_close(thief);
    zhandle_t *other = connect_to(s->server, SESSION_MS, NULL, &session);
    EQUAL(zoo_exists(other, under(s, "e"), 0, NULL), ZOK);
    zookeeper_close(other);
}

static void the_server_bounds_the_timeout(struct stage *s) {
    int asked_and_granted[][2] = {{1000, 4000}, {10000, 10000}, {600000, 40000}};
    for (int n = 0; n < 3; n++) {
        struct events session;
        zhandle_t *zh = connect_to(s->server, asked_and_granted[n][0], NULL, &session);
        EQUAL(zoo_recv_timeout(zh), asked_and_granted[n][1]);
        zookeeper_close(zh);
    }
}

static void an_idle_session_lives(struct stage *s) {
    struct events session;
    zhandle_t *zh = connect_to(s->server, 4000, NULL, &session);
    EQUAL(ephemeral(zh, under(s, "e")), ZOK);
    sleep(9); /* the claim is about time passing */
    expect_no_event(zh, &session);
    EQUAL(zoo_exists(s->zh, under(s, "e"), 0, NULL), ZOK);
    zookeeper_close(zh);
}

static void a_session_outlives_a_killed_server(struct stage *s) {
    struct Stat stat;
    int64_t id = zoo_client_id(s->zh)->client_id;
    EQUAL(ephemeral(s->zh, under(s, "e")), ZOK);
    restart_server();
    expect_state(&s->session, ZOO_CONNECTED_STATE);
    EQUAL(zoo_client_id(s->zh)->client_id, id);
    EQUAL(zoo_exists(s->zh, under(s, "e"), 0, &stat), ZOK);
    EQUAL(stat.ephemeralOwner, id);
}

const struct test session_tests[] = {
    TEST(closing_removes_ephemerals),
    TEST(a_dead_client_expires),
    TEST(a_session_resumes_with_id_and_password),
    TEST(a_wrong_password_gains_nothing),
    TEST(the_server_bounds_the_timeout),
    TEST(an_idle_session_lives),
    RESTARTS(a_session_outlives_a_killed_server),
    {0},
};

/* Watches of the C client, and how they come back. */
#include "harness.h"

#include <string.h>

static void make(struct stage *s, const char *path) {
    EQUAL(zoo_create(s->zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
}

static void one_shot_watches_fire_once(struct stage *s) {
    struct events data, absent, child;
    struct String_vector names;
    const char *n = under(s, "n"), *m = under(s, "m");
    int length = 0;
    events_init(&data);
    events_init(&absent);
    events_init(&child);
    make(s, n);
    EQUAL(zoo_wget(s->zh, n, tell, &data, NULL, &length, NULL), ZOK);
    EQUAL(zoo_wexists(s->zh, m, tell, &absent, NULL), ZNONODE);
    EQUAL(zoo_wget_children(s->zh, s->root, tell, &child, &names), ZOK);
    deallocate_String_vector(&names);
    for (int round = 0; round < 2; round++) EQUAL(zoo_set(s->zh, n, "x", 1, -1), ZOK);
    make(s, m);
    EQUAL(zoo_delete(s->zh, m, -1), ZOK);
    expect_event(&data, ZOO_CHANGED_EVENT, n);
    expect_event(&absent, ZOO_CREATED_EVENT, m);
    expect_event(&child, ZOO_CHILD_EVENT, s->root);
    expect_no_event(s->zh, &data);
    expect_no_event(s->zh, &absent);
    expect_no_event(s->zh, &child);
}

static void removed_watches_are_silent(struct stage *s) {
    struct events data;
    const char *n = under(s, "n");
    events_init(&data);
    make(s, n);
    EQUAL(zoo_wexists(s->zh, n, tell, &data, NULL), ZOK);
    EQUAL(zoo_remove_watches(s->zh, n, ZWATCHTYPE_DATA, tell, &data, 0), ZOK);
    EQUAL(zoo_set(s->zh, n, "x", 1, -1), ZOK);
    expect_no_event(s->zh, &data);
    EQUAL(zoo_remove_watches(s->zh, n, ZWATCHTYPE_DATA, tell, &data, 0), ZNOWATCHER);
}

static void watches_come_back_after_a_restart(struct stage *s) {
    struct events data, absent, child, session;
    struct String_vector names;
    int length = 0;
    events_init(&data);
    events_init(&absent);
    events_init(&child);
    make(s, under(s, "n"));
    EQUAL(zoo_wget(s->zh, under(s, "n"), tell, &data, NULL, &length, NULL), ZOK);
    EQUAL(zoo_wexists(s->zh, under(s, "m"), tell, &absent, NULL), ZNONODE);
    EQUAL(zoo_wget_children(s->zh, under(s, "n"), tell, &child, &names), ZOK);
    deallocate_String_vector(&names);
    restart_server();
    /* Another client: its changes may come before or after the first has its watches again. */
    zhandle_t *other = connect_to(s->server, SESSION_MS, NULL, &session);
    EQUAL(zoo_set(other, under(s, "n"), "x", 1, -1), ZOK);
    EQUAL(zoo_create(other, under(s, "m"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    EQUAL(zoo_create(other, under(s, "n/c"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    expect_event(&data, ZOO_CHANGED_EVENT, under(s, "n"));
    expect_event(&absent, ZOO_CREATED_EVENT, under(s, "m"));
    expect_event(&child, ZOO_CHILD_EVENT, under(s, "n"));
    zookeeper_close(other);
}

const struct test watch_tests[] = {
    TEST(one_shot_watches_fire_once),
    TEST(removed_watches_are_silent),
    RESTARTS(watches_come_back_after_a_restart),
    {0},
};

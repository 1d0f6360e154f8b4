/* Nodes, transactions and access control. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static int make(zhandle_t *zh, const char *path, const char *data, int mode) {
    return zoo_create(zh, path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE, mode, NULL, 0);
}

static void a_node_is_made_read_changed_and_removed(struct stage *s) {
    const char *n = under(s, "n");
    char data[64];
    int length = sizeof data;
    struct Stat made, stat;
    EQUAL(zoo_create2(s->zh, n, "one", 3, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0, &made),
          ZOK);
    EQUAL(made.version, 0);
    EQUAL(made.czxid, made.mzxid);
    EQUAL(zoo_get(s->zh, n, 0, data, &length, &stat), ZOK);
    EQUAL(length, 3);
    EQUAL(memcmp(data, "one", 3), 0);
    EQUAL(zoo_set2(s->zh, n, "three", 5, 0, &stat), ZOK);
    EQUAL(stat.version, 1);
    EQUAL(stat.dataLength, 5);
    EQUAL(zoo_delete(s->zh, n, 1), ZOK);
    EQUAL(zoo_exists(s->zh, n, 0, &stat), ZNONODE);
}

static void refusals_name_their_reason(struct stage *s) {
    const char *a = under(s, "a"), *b = under(s, "a/b"), *e = under(s, "e");
    EQUAL(make(s->zh, a, "", ZOO_PERSISTENT), ZOK);
    EQUAL(make(s->zh, b, "", ZOO_PERSISTENT), ZOK);
    EQUAL(make(s->zh, e, "", ZOO_EPHEMERAL), ZOK);
    EQUAL(make(s->zh, a, "", ZOO_PERSISTENT), ZNODEEXISTS);
    EQUAL(make(s->zh, under(s, "x/y"), "", ZOO_PERSISTENT), ZNONODE);
    EQUAL(make(s->zh, under(s, "e/c"), "", ZOO_PERSISTENT), ZNOCHILDRENFOREPHEMERALS);
    EQUAL(zoo_delete(s->zh, a, -1), ZNOTEMPTY);
    EQUAL(zoo_delete(s->zh, b, 3), ZBADVERSION);
    EQUAL(zoo_set(s->zh, b, "", 0, 3), ZBADVERSION);
}

static void kinds_of_nodes(struct stage *s) {
    char name[PATH_MAX_BYTES];
    struct Stat stat;
    EQUAL(zoo_create(s->zh, under(s, "s-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                     ZOO_PERSISTENT_SEQUENTIAL, name, sizeof name),
          ZOK);
    EQUAL_TEXT(name, under(s, "s-0000000000"));
    EQUAL(zoo_create(s->zh, under(s, "e-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                     ZOO_EPHEMERAL_SEQUENTIAL, name, sizeof name),
          ZOK);
    EQUAL_TEXT(name, under(s, "e-0000000001"));
    EQUAL(zoo_exists(s->zh, name, 0, &stat), ZOK);
    EQUAL(stat.ephemeralOwner, zoo_client_id(s->zh)->client_id);
    EQUAL(zoo_create2_ttl(s->zh, under(s, "t"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                          ZOO_PERSISTENT_WITH_TTL, 600000, NULL, 0, &stat),
          ZOK);
    EQUAL(stat.ephemeralOwner, 0);
}

static void containers_and_times_to_live_end(struct stage *s) {
    struct events container, ttl;
    events_init(&container);
    events_init(&ttl);
    EQUAL(make(s->zh, under(s, "c"), "", ZOO_CONTAINER), ZOK);
    EQUAL(zoo_wexists(s->zh, under(s, "c"), tell, &container, NULL), ZOK);
    EQUAL(make(s->zh, under(s, "c/x"), "", ZOO_PERSISTENT), ZOK);
    EQUAL(zoo_delete(s->zh, under(s, "c/x"), -1), ZOK);
    expect_event(&container, ZOO_DELETED_EVENT, under(s, "c"));
    EQUAL(zoo_create_ttl(s->zh, under(s, "t"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                         ZOO_PERSISTENT_WITH_TTL, 1500, NULL, 0),
          ZOK);
    EQUAL(zoo_wexists(s->zh, under(s, "t"), tell, &ttl, NULL), ZOK);
    expect_event(&ttl, ZOO_DELETED_EVENT, under(s, "t"));
}

static void children_are_listed(struct stage *s) {
    struct String_vector names;
    struct Stat stat;
    EQUAL(make(s->zh, under(s, "b"), "", ZOO_PERSISTENT), ZOK);
    EQUAL(make(s->zh, under(s, "größe"), "", ZOO_PERSISTENT), ZOK);
    EQUAL(zoo_get_children2(s->zh, s->root, 0, &names, &stat), ZOK);
    EQUAL(names.count, 2);
    EQUAL(stat.numChildren, 2);
    EQUAL(strcmp(names.data[0], "b") == 0 || strcmp(names.data[1], "b") == 0, 1);
    EQUAL(strcmp(names.data[0], "größe") == 0 || strcmp(names.data[1], "größe") == 0, 1);
    deallocate_String_vector(&names);
}

static void a_large_value_survives(struct stage *s) {
    int size = 1000000, length = size;
    char *sent = malloc(size), *got = malloc(size);
    for (int n = 0; n < size; n++) sent[n] = (char)(n * 7);
    EQUAL(zoo_create(s->zh, under(s, "n"), sent, size, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    EQUAL(zoo_get(s->zh, under(s, "n"), 0, got, &length, NULL), ZOK);
    EQUAL(length, size);
    EQUAL(memcmp(sent, got, size), 0);
}

static void a_transaction_is_all_or_nothing(struct stage *s) {
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    char name[PATH_MAX_BYTES];
    struct Stat stat;
    const char *n = under(s, "n");
    zoo_create_op_init(&ops[0], n, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, name, sizeof name);
    zoo_set_op_init(&ops[1], n, "new", 3, 0, &stat);
    zoo_check_op_init(&ops[2], n, 1);
    zoo_delete_op_init(&ops[3], n, 1);
    EQUAL(zoo_multi(s->zh, 3, ops, results), ZOK);
    EQUAL_TEXT(name, n);
    EQUAL(stat.version, 1);
    EQUAL(stat.dataLength, 3);
    zoo_delete_op_init(&ops[0], n, 1);
    zoo_check_op_init(&ops[1], under(s, "missing"), 0);
    zoo_create_op_init(&ops[2], under(s, "m"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    EQUAL(zoo_multi(s->zh, 3, ops, results), ZNONODE);
    EQUAL(results[0].err, ZOK);
    EQUAL(results[1].err, ZNONODE);
    EQUAL(results[2].err, ZRUNTIMEINCONSISTENCY);
    EQUAL(zoo_exists(s->zh, n, 0, &stat), ZOK);
}

static void set_flag(int rc, const void *flag) {
    *(volatile int *)flag = rc == ZOK ? 1 : -1;
}

static void acls_admit_whom_they_name(struct stage *s) {
    struct events session;
    struct ACL_vector acl;
    struct Stat stat;
    volatile int done = 0;
    const char *n = under(s, "n");
    zhandle_t *bob = connect_to(s->server, SESSION_MS, NULL, &session);
    EQUAL(zoo_create(bob, n, "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZINVALIDACL);
    EQUAL(zoo_add_auth(bob, "digest", "bob:1", 5, set_flag, (void *)&done), ZOK);
    EQUAL(zoo_create(bob, n, "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZOK);
    EQUAL(done, 1);
    EQUAL(zoo_set(s->zh, n, "", 0, -1), ZNOAUTH);
    EQUAL(zoo_get_acl(bob, n, &acl, &stat), ZOK);
    EQUAL(acl.count, 1);
    EQUAL_TEXT(acl.data[0].id.scheme, "digest");
    EQUAL(strncmp(acl.data[0].id.id, "bob:", 4), 0);
    deallocate_ACL_vector(&acl);
    EQUAL(zoo_set_acl(bob, n, 0, &ZOO_OPEN_ACL_UNSAFE), ZOK);
    EQUAL(zoo_set(s->zh, n, "", 0, -1), ZOK);
    zookeeper_close(bob);
}

struct count {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int answered, wrong;
};

static void count_name(int rc, const char *name, const void *context) {
    struct count *count = (struct count *)context;
    pthread_mutex_lock(&count->lock);
    count->wrong += rc != ZOK || atoi(name + strlen(name) - 10) != count->answered;
    count->answered++;
    pthread_cond_signal(&count->more);
    pthread_mutex_unlock(&count->lock);
}

static void pipelined_requests_are_answered_in_order(struct stage *s) {
    struct count count = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    for (int n = 0; n < 1000; n++)
        EQUAL(zoo_acreate(s->zh, under(s, "n-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                          ZOO_PERSISTENT_SEQUENTIAL, count_name, &count),
              ZOK);
    pthread_mutex_lock(&count.lock);
    while (count.answered < 1000) pthread_cond_wait(&count.more, &count.lock);
    pthread_mutex_unlock(&count.lock);
    EQUAL(count.wrong, 0);
}

const struct test node_tests[] = {
    TEST(a_node_is_made_read_changed_and_removed),
    TEST(refusals_name_their_reason),
    TEST(kinds_of_nodes),
    TEST(containers_and_times_to_live_end),
    TEST(children_are_listed),
    TEST(a_large_value_survives),
    TEST(a_transaction_is_all_or_nothing),
    TEST(acls_admit_whom_they_name),
    TEST(pipelined_requests_are_answered_in_order),
    {0},
};

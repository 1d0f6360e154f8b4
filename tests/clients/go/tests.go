package main

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/samuel/go-zookeeper/zk"
)

var tests = []test{
	{"a_node_is_made_read_changed_and_removed", nodes, false},
	{"refusals_name_their_reason", refusals, false},
	{"sequential_and_protected_names", names, false},
	{"children_and_unicode_names", children, false},
	{"a_large_value_survives", largeValue, false},
	{"a_transaction_is_all_or_nothing", transaction, false},
	{"acls_admit_whom_they_name", acls, false},
	{"one_shot_watches_fire_once", oneShotWatches, false},
	{"watches_come_back_on_a_new_connection", watchesComeBack, false},
	{"ephemerals_go_with_their_session", ephemerals, false},
	{"a_client_that_is_gone_expires", expiry, false},
	{"a_lock_excludes", locks, false},
	{"four_letter_words_are_understood", fourLetterWords, false},
	{"sync_shows_the_writes_of_others", syncs, false},
	{"sessions_and_watches_outlive_a_killed_server", restart, true},
}

func nodes(s *stage) {
	n := s.node("n", "one")
	data, stat, err := s.conn.Get(n)
	check(err)
	equal(string(data), "one")
	equal(stat.Version, int32(0))
	equal(stat.Czxid, stat.Mzxid)
	changed, err := s.conn.Set(n, []byte("three"), 0)
	check(err)
	equal(changed.Version, int32(1))
	equal(changed.DataLength, int32(5))
	check(s.conn.Delete(n, 1))
	there, _, err := s.conn.Exists(n)
	check(err)
	equal(there, false)
}

func refusals(s *stage) {
	s.node("a", "")
	s.node("a/b", "")
	_, err := s.conn.Create(s.path("a"), nil, 0, world)
	equal(err, zk.ErrNodeExists)
	_, err = s.conn.Create(s.path("x/y"), nil, 0, world)
	equal(err, zk.ErrNoNode)
	_, err = s.conn.Create(s.path("e"), nil, zk.FlagEphemeral, world)
	check(err)
	_, err = s.conn.Create(s.path("e/c"), nil, 0, world)
	equal(err, zk.ErrNoChildrenForEphemerals)
	equal(s.conn.Delete(s.path("a"), -1), zk.ErrNotEmpty)
	equal(s.conn.Delete(s.path("a/b"), 3), zk.ErrBadVersion)
	_, err = s.conn.Set(s.path("a/b"), nil, 3)
	equal(err, zk.ErrBadVersion)
	_, _, err = s.conn.Get(s.path("missing"))
	equal(err, zk.ErrNoNode)
}

func names(s *stage) {
	first, err := s.conn.Create(s.path("n-"), nil, zk.FlagSequence, world)
	check(err)
	equal(first, s.path("n-0000000000"))
	second, err := s.conn.CreateProtectedEphemeralSequential(s.path("p-"), nil, world)
	check(err)
	equal(strings.HasPrefix(second, s.path("_c_")), true)
	equal(strings.HasSuffix(second, "-p-0000000001"), true)
}

func children(s *stage) {
	wanted := []string{"b", "größe", "日本語"}
	for _, name := range wanted {
		s.node(name, name)
	}
	found, stat, err := s.conn.Children(s.root)
	check(err)
	sort.Strings(found)
	equal(fmt.Sprint(found), fmt.Sprint(wanted))
	equal(stat.NumChildren, int32(3))
}

func largeValue(s *stage) {
	value := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err := s.conn.Create(s.path("n"), value, 0, world)
	check(err)
	got, _, err := s.conn.Get(s.path("n"))
	check(err)
	equal(bytes.Equal(got, value), true)
}

func transaction(s *stage) {
	n := s.path("n")
	results, err := s.conn.Multi(
		&zk.CreateRequest{Path: n, Acl: world},
		&zk.SetDataRequest{Path: n, Data: []byte("x"), Version: 0},
		&zk.CheckVersionRequest{Path: n, Version: 1},
		&zk.CreateRequest{Path: s.path("m"), Acl: world},
		&zk.DeleteRequest{Path: s.path("m"), Version: 0},
	)
	check(err)
	equal(len(results), 5)
	equal(results[0].String, n)
	equal(results[1].Stat.Version, int32(1))
	results, err = s.conn.Multi(
		&zk.DeleteRequest{Path: n, Version: 1},
		&zk.CheckVersionRequest{Path: s.path("missing"), Version: 0},
	)
	equal(err, zk.ErrNoNode)
	there, _, err := s.conn.Exists(n)
	check(err)
	equal(there, true)
}

func acls(s *stage) {
	bob := s.client(sessionTimeout)
	defer bob.Close()
	check(bob.AddAuth("digest", []byte("bob:1")))
	n, err := bob.Create(s.path("n"), []byte("mine"), 0, zk.AuthACL(zk.PermAll))
	check(err)
	_, _, err = s.conn.Get(n)
	equal(err, zk.ErrNoAuth)
	list, _, err := bob.GetACL(n)
	check(err)
	equal(list[0], zk.DigestACL(zk.PermAll, "bob", "1")[0])
	stat, err := bob.SetACL(n, world, 0)
	check(err)
	equal(stat.Aversion, int32(1))
	data, _, err := s.conn.Get(n)
	check(err)
	equal(string(data), "mine")
}

type watches struct{ data, absent, child <-chan zk.Event }

func watch(s *stage, conn *client) (w watches) {
	var err error
	s.node("data", "")
	s.node("child", "")
	_, _, w.data, err = conn.GetW(s.path("data"))
	check(err)
	_, _, w.absent, err = conn.ExistsW(s.path("absent"))
	check(err)
	_, _, w.child, err = conn.ChildrenW(s.path("child"))
	check(err)
	return w
}

func (w watches) changeAndExpect(s *stage) {
	_, err := s.conn.Set(s.path("data"), nil, -1)
	check(err)
	s.node("absent", "")
	s.node("child/c", "")
	expectEvent(w.data, zk.EventNodeDataChanged, s.path("data"))
	expectEvent(w.absent, zk.EventNodeCreated, s.path("absent"))
	expectEvent(w.child, zk.EventNodeChildrenChanged, s.path("child"))
}

func oneShotWatches(s *stage) {
	w := watch(s, s.conn)
	w.changeAndExpect(s)
	_, _, deleted, err := s.conn.GetW(s.path("data"))
	check(err)
	check(s.conn.Delete(s.path("data"), -1))
	expectEvent(deleted, zk.EventNodeDeleted, s.path("data"))
}

func watchesComeBack(s *stage) {
	other := s.client(sessionTimeout)
	defer other.Close()
	w := watch(s, other)
	other.cut(false)
	other.await(zk.StateDisconnected)
	other.await(zk.StateHasSession)
	w.changeAndExpect(s)
}

func ephemerals(s *stage) {
	other := s.client(sessionTimeout)
	e, err := other.Create(s.path("e"), nil, zk.FlagEphemeral, world)
	check(err)
	_, stat, gone, err := s.conn.ExistsW(e)
	check(err)
	equal(stat.EphemeralOwner, other.SessionID())
	other.Close()
	expectEvent(gone, zk.EventNodeDeleted, e)
}

func expiry(s *stage) {
	other := s.client(4 * time.Second)
	e, err := other.Create(s.path("e"), nil, zk.FlagEphemeral, world)
	check(err)
	_, _, gone, err := s.conn.ExistsW(e)
	check(err)
	session := other.SessionID()
	other.cut(true)
	expectEvent(gone, zk.EventNodeDeleted, e)
	other.lock.Lock()
	other.barred = false
	other.lock.Unlock()
	other.await(zk.StateExpired)
	other.await(zk.StateHasSession)
	equal(other.SessionID() != session, true)
	other.Close()
}

func locks(s *stage) {
	total := 0
	together(4, func() {
		conn := s.client(sessionTimeout)
		defer conn.Close()
		for round := 0; round < 10; round++ {
			lock := zk.NewLock(conn.Conn, s.path("lock"), world)
			check(lock.Lock())
			value := total
			_, _, err := conn.Exists("/")
			check(err)
			total = value + 1
			check(lock.Unlock())
		}
	})
	equal(total, 40)
}

func fourLetterWords(s *stage) {
	for _, ok := range zk.FLWRuok(s.members, wait) {
		equal(ok, true)
	}
	// This client parses neither the `srvr` of a 3.9 server nor, in `cons`, the probe itself.
	answers, _ := zk.FLWCons(s.members, wait)
	mine := 0
	for _, answer := range answers {
		for _, client := range answer.Clients {
			if client.SessionID == s.conn.SessionID() {
				mine++
			}
		}
	}
	equal(mine, 1)
}

func syncs(s *stage) {
	other := s.elsewhere()
	defer other.Close()
	n := s.node("n", "")
	for round := 0; round < 50; round++ {
		value := fmt.Sprint(round)
		_, err := other.Set(n, []byte(value), -1)
		check(err)
		path, err := s.conn.Sync(n)
		check(err)
		equal(path, n)
		data, _, err := s.conn.Get(n)
		check(err)
		equal(string(data), value)
	}
}

func restart(s *stage) {
	other := s.client(sessionTimeout)
	defer other.Close()
	e, err := other.Create(s.path("e"), nil, zk.FlagEphemeral, world)
	check(err)
	w := watch(s, other)
	session := other.SessionID()
	s.restartServer()
	other.await(zk.StateHasSession)
	equal(other.SessionID(), session)
	eventually("reconnected", func() bool {
		there, stat, err := s.conn.Exists(e)
		return err == nil && there && stat.EphemeralOwner == session
	})
	w.changeAndExpect(s)
}

// Runs the tests of the Go client and reports them. A test is a function of a stage: a root node
// and a connection of its own. A claim that does not hold panics, and fails that test only.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/samuel/go-zookeeper/zk"
)

const (
	wait           = 15 * time.Second
	sessionTimeout = 10 * time.Second
	testTimeMax    = 60 * time.Second
	atATime        = 4
)

var world = zk.WorldACL(zk.PermAll)

type test struct {
	name     string
	run      func(*stage)
	restarts bool
}

type stage struct {
	// Of an ensemble, its members in an order of this test: its clients meet on one member, where
	// they see each other's writes at once, and each moves on to the next when it reconnects.
	members []string
	root    string
	conn    *client
}

// inOrder has a client try members in their order; the library's own provider shuffles them.
type inOrder struct {
	members     []string
	next, tried int
}

func (o *inOrder) Init([]string) error { return nil }

func (o *inOrder) Len() int { return len(o.members) }

func (o *inOrder) Connected() { o.tried = 0 }

func (o *inOrder) Next() (member string, allTried bool) {
	allTried = o.tried == len(o.members)
	if allTried {
		o.tried = 0
	}
	member = o.members[o.next%len(o.members)]
	o.next++
	o.tried++
	return member, allTried
}

// client is a connection whose way to the server can be cut.
type client struct {
	*zk.Conn
	events <-chan zk.Event
	lock   sync.Mutex
	socket net.Conn
	barred bool
}

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

func (c *client) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.barred {
		return nil, errors.New("barred by the test")
	}
	socket, err := net.DialTimeout(network, address, timeout)
	c.socket = socket
	return socket, err
}

// cut closes the connection; when barred, the client cannot come back.
func (c *client) cut(barred bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.barred = barred
	c.socket.Close()
}

func (c *client) await(state zk.State) {
	deadline := time.After(wait)
	for {
		select {
		case event := <-c.events:
			if event.Type == zk.EventSession && event.State == state {
				return
			}
		case <-time.After(100 * time.Millisecond):
			// A client that tries one server after the other says more than its channel holds.
			if c.State() == state {
				return
			}
		case <-deadline:
			panic(fmt.Sprintf("the session is not %v within %v", state, wait))
		}
	}
}

func (s *stage) client(timeout time.Duration) *client { return connect(s.members, timeout) }

// elsewhere is a client that begins on another member than the others, where there is one.
func (s *stage) elsewhere() *client {
	return connect(rotated(s.members, 1), sessionTimeout)
}

func connect(members []string, timeout time.Duration) *client {
	c := &client{}
	conn, events, err := zk.Connect(members, timeout, zk.WithDialer(c.dial),
		zk.WithHostProvider(&inOrder{members: members}), zk.WithLogger(silent{}))
	check(err)
	c.Conn, c.events = conn, events
	c.await(zk.StateHasSession)
	return c
}

func rotated(members []string, by int) []string {
	by %= len(members)
	return append(append([]string{}, members[by:]...), members[:by]...)
}

func (s *stage) path(name string) string { return s.root + "/" + name }

func (s *stage) node(name, data string) string {
	path, err := s.conn.Create(s.path(name), []byte(data), 0, world)
	check(err)
	return path
}

func (s *stage) restartServer() {
	check(exec.Command("sh", "-c", os.Getenv("CLIENTS_RESTART")).Run())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(actual, expected interface{}) {
	if actual != expected {
		panic(fmt.Sprintf("%v where %v was expected", actual, expected))
	}
}

func expectEvent(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		equal(event.Type, kind)
		equal(event.Path, path)
	case <-time.After(wait):
		panic(fmt.Sprintf("no event on %s within %v", path, wait))
	}
}

func eventually(what string, claim func() bool) {
	for deadline := time.Now().Add(wait); !claim(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("%s: not within %v", what, wait))
		}
	}
}

// together runs the work on several goroutines and passes on the first fault.
func together(count int, work func()) {
	faults := make(chan interface{}, count)
	for n := 0; n < count; n++ {
		go func() {
			defer func() { faults <- recover() }()
			work()
		}()
	}
	for n := 0; n < count; n++ {
		if fault := <-faults; fault != nil {
			panic(fault)
		}
	}
}

func runOne(members []string, t test) bool {
	outcome := make(chan interface{}, 1)
	go func() {
		defer func() {
			fault := recover()
			if fault != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n%s", t.name, fault, debug.Stack())
			}
			outcome <- fault
		}()
		s := &stage{members: members, root: fmt.Sprintf("/go-%d-%s", os.Getpid(), t.name)}
		s.conn = s.client(sessionTimeout)
		defer s.conn.Close()
		_, err := s.conn.Create(s.root, nil, 0, world)
		check(err)
		t.run(s)
	}()
	var fault interface{}
	select {
	case fault = <-outcome:
	case <-time.After(testTimeMax):
		fault = fmt.Sprintf("still running after %v", testTimeMax)
	}
	if fault == nil {
		fmt.Println("ok " + t.name)
	} else {
		fmt.Printf("FAIL %s: %v\n", t.name, fault)
	}
	return fault == nil
}

func runAll(members []string, tests []test, restarts bool, lanes int) bool {
	var group sync.WaitGroup
	passed := true
	var lock sync.Mutex
	free := make(chan struct{}, lanes)
	for n, t := range tests {
		if t.restarts != restarts || !strings.Contains(t.name, os.Getenv("CLIENTS_ONLY")) {
			continue
		}
		group.Add(1)
		free <- struct{}{}
		go func(n int, t test) {
			result := runOne(rotated(members, n), t)
			lock.Lock()
			passed = passed && result
			lock.Unlock()
			<-free
			group.Done()
		}(n, t)
	}
	group.Wait()
	return passed
}

func main() {
	members := strings.Split(os.Args[1], ",")
	passed := runAll(members, tests, false, atATime)
	if os.Getenv("CLIENTS_RESTART") != "" {
		passed = runAll(members, tests, true, 1) && passed
	}
	if !passed {
		os.Exit(1)
	}
}

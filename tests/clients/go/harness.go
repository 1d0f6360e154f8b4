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
	server string
	root   string
	conn   *client
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

func (s *stage) servers() []string { return strings.Split(s.server, ",") }

func (s *stage) client(timeout time.Duration) *client {
	c := &client{}
	conn, events, err := zk.Connect(
		s.servers(), timeout, zk.WithDialer(c.dial), zk.WithLogger(silent{}))
	check(err)
	c.Conn, c.events = conn, events
	c.await(zk.StateHasSession)
	return c
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

func runOne(server string, t test) bool {
	outcome := make(chan interface{}, 1)
	go func() {
		defer func() {
			fault := recover()
			if fault != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n%s", t.name, fault, debug.Stack())
			}
			outcome <- fault
		}()
		s := &stage{server: server, root: fmt.Sprintf("/go-%d-%s", os.Getpid(), t.name)}
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

func runAll(server string, tests []test, restarts bool, lanes int) bool {
	var group sync.WaitGroup
	passed := true
	var lock sync.Mutex
	free := make(chan struct{}, lanes)
	for _, t := range tests {
		if t.restarts != restarts || !strings.Contains(t.name, os.Getenv("CLIENTS_ONLY")) {
			continue
		}
		group.Add(1)
		free <- struct{}{}
		go func(t test) {
			result := runOne(server, t)
			lock.Lock()
			passed = passed && result
			lock.Unlock()
			<-free
			group.Done()
		}(t)
	}
	group.Wait()
	return passed
}

func main() {
	passed := runAll(os.Args[1], tests, false, atATime)
	if os.Getenv("CLIENTS_RESTART") != "" {
		passed = runAll(os.Args[1], tests, true, 1) && passed
	}
	if !passed {
		os.Exit(1)
	}
}

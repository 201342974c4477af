// Command workload-client is a workload made of go-spiffe: it takes SVIDs from a Workload API
// socket and shows what it gets as JSON lines, or uses them for mTLS.
//
//	-once            print what the Workload API gives, once
//	-watch           print a line for each update until -updates of them came
//	-jwt AUDIENCE    fetch a JWT-SVID, verify it here and by the Workload API, print what it says
//	-dial ADDR       mTLS as a client: send one line, print the reply
//	-listen ADDR     mTLS as a server: echo lines; the first output line has the bound address
//
// -plain makes -dial and -listen use bare TCP: the workload behind a proxy.
//
// Exit status: 0 done; 1 the connection was refused or broke (a JSON line with "error" says how);
// 2 wrong use; 3 no identity, or not the updates asked for, within -timeout.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	exitRefused    = 1
	exitUsage      = 2
	exitNoIdentity = 3
)

type options struct {
	socket   string
	once     bool
	watch    bool
	jwt      string
	updates  int
	distinct bool
	timeout  time.Duration
	writeDir string
	dial     string
	listen   string
	plain    bool
	message  string
	expect   idList
	allow    idList
}

// idList is a flag that may be given more than once.
type idList []spiffeid.ID

func (l *idList) String() string { return fmt.Sprint(*l) }

func (l *idList) Set(text string) error {
	id, err := spiffeid.FromString(text)
	if err == nil {
		*l = append(*l, id)
	}
	return err
}

func parseOptions() (options, error) {
	var o options
	flag.StringVar(&o.socket, "socket", os.Getenv("SPIFFE_ENDPOINT_SOCKET"), "Workload API address, unix:///path")
	flag.BoolVar(&o.once, "once", false, "print the identities once")
	flag.BoolVar(&o.watch, "watch", false, "print a line for each update")
	flag.StringVar(&o.jwt, "jwt", "", "fetch and verify a token for this audience")
	flag.IntVar(&o.updates, "updates", 2, "with -watch: how many updates to wait for")
	flag.BoolVar(&o.distinct, "distinct", false, "with -watch: count only updates that bring other serials than the one before")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long everything but -listen may take")
	flag.StringVar(&o.writeDir, "write", "", "with -once: also write svid.pem, key.pem and bundle.pem into this folder")
	flag.StringVar(&o.dial, "dial", "", "host:port to connect to")
	flag.StringVar(&o.listen, "listen", "", "host:port to serve on")
	flag.BoolVar(&o.plain, "plain", false, "bare TCP instead of mTLS")
	flag.StringVar(&o.message, "message", "hello", "with -dial: the line to send")
	flag.Var(&o.expect, "expect-id", "with -dial: SPIFFE ID that the server must have (repeatable)")
	flag.Var(&o.allow, "allow-id", "with -listen: SPIFFE ID of a client to serve (repeatable)")
	flag.Parse()
	return o, o.check()
}

func (o options) check() error {
	modes := 0
	for _, chosen := range []bool{o.once, o.watch, o.jwt != "", o.dial != "", o.listen != ""} {
		if chosen {
			modes++
		}
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case modes != 1:
		return errors.New("exactly one of -once, -watch, -jwt, -dial and -listen is needed")
	case o.plain && o.dial == "" && o.listen == "":
		return errors.New("-plain goes with -dial or -listen")
	case !o.plain && o.socket == "":
		return errors.New("-socket (or SPIFFE_ENDPOINT_SOCKET) is needed")
	case !o.plain && o.dial != "" && len(o.expect) == 0:
		return errors.New("-dial needs -expect-id")
	case !o.plain && o.listen != "" && len(o.allow) == 0:
		return errors.New("-listen needs -allow-id")
	case o.watch && o.updates < 1:
		return errors.New("-updates must be positive")
	}
	return nil
}

// printLine writes one JSON line; os.Stdout is unbuffered, so a reader sees it at once.
func printLine(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "workload-client:", err)
		os.Exit(exitRefused)
	}
}

func run(ctx context.Context, o options) int {
	if o.listen == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	if o.plain {
		return connect(ctx, o, nil)
	}
	if o.jwt != "" {
		return showToken(ctx, o.socket, o.jwt)
	}
	identities, err := openIdentities(ctx, o.socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload-client: no identity:", err)
		return exitNoIdentity
	}
	defer identities.Close()
	switch {
	case o.once:
		return identities.showOnce(o.writeDir)
	case o.watch:
		return identities.watch(ctx, o.updates, o.distinct)
	default:
		return connect(ctx, o, identities)
	}
}

func main() {
	o, err := parseOptions()
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload-client:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, o))
}

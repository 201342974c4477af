package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const (
	maxLine        = 64 * 1024
	serverPatience = 30 * time.Second
)

// connectionLine is what is said about one connection. Stage is where it ended when Error is set:
// "connect", "handshake" or "exchange". With TLS 1.3 a server's refusal of the client's certificate
// reaches the client after its own handshake is done, so it shows as "exchange" there.
type connectionLine struct {
	Event   string `json:"event"`
	PeerID  string `json:"peer_id,omitempty"`
	TLS     string `json:"tls,omitempty"`
	Message string `json:"message,omitempty"`
	Reply   string `json:"reply,omitempty"`
	Stage   string `json:"stage,omitempty"`
	Error   string `json:"error,omitempty"`
}

type listeningLine struct {
	Listening string `json:"listening"`
}

// connect serves or dials. Without identities it is bare TCP.
func connect(ctx context.Context, o options, ids *identities) int {
	var config *tls.Config
	if o.listen != "" {
		if ids != nil {
			config = tlsconfig.MTLSServerConfig(ids, ids, tlsconfig.AuthorizeOneOf(o.allow...))
		}
		return serve(ctx, o.listen, config)
	}
	if ids != nil {
		config = tlsconfig.MTLSClientConfig(ids, ids, tlsconfig.AuthorizeOneOf(o.expect...))
	}
	line := dial(ctx, o.dial, o.message, config)
	printLine(line)
	if line.Error != "" {
		return exitRefused
	}
	return 0
}

func dial(ctx context.Context, address, message string, config *tls.Config) connectionLine {
	line := connectionLine{Event: "dial", Message: message}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return line.failed("connect", err)
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	if config != nil {
		secured := tls.Client(connection, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return line.failed("handshake", err)
		}
		line.describePeer(secured)
		connection = secured
	}
	if _, err := fmt.Fprintln(connection, message); err != nil {
		return line.failed("exchange", err)
	}
	if line.Reply, err = readLine(connection); err != nil {
		return line.failed("exchange", err)
	}
	return line
}

func serve(ctx context.Context, address string, config *tls.Config) int {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		printLine(connectionLine{Event: "listen"}.failed("connect", err))
		return exitRefused
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	printLine(listeningLine{Listening: listener.Addr().String()})
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return 0
		}
		if err == nil {
			go echo(ctx, connection, config)
		}
	}
}

// echo answers each line with "echo: " and the line, and reports the connection once it ended.
func echo(ctx context.Context, connection net.Conn, config *tls.Config) {
	defer connection.Close()
	line := connectionLine{Event: "served"}
	_ = connection.SetDeadline(time.Now().Add(serverPatience))
	if config != nil {
		secured := tls.Server(connection, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			printLine(line.failed("handshake", err))
			return
		}
		line.describePeer(secured)
		connection = secured
	}
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line.Message = lines.Text()
		if _, err := fmt.Fprintf(connection, "echo: %s\n", line.Message); err != nil {
			printLine(line.failed("exchange", err))
			return
		}
	}
	if err := lines.Err(); err != nil {
		line = line.failed("exchange", err)
	}
	printLine(line)
}

func (l connectionLine) failed(stage string, err error) connectionLine {
	l.Event, l.Stage, l.Error = l.Event+" failed", stage, err.Error()
	return l
}

func (l *connectionLine) describePeer(connection *tls.Conn) {
	state := connection.ConnectionState()
	l.TLS = tls.VersionName(state.Version)
	if id, err := x509svid.IDFromCert(state.PeerCertificates[0]); err == nil {
		l.PeerID = id.String()
	}
}

func readLine(from io.Reader) (string, error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	if lines.Scan() {
		return lines.Text(), nil
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", errors.New("the peer closed the connection without a reply")
}

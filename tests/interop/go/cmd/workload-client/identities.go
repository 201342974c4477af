package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/logger"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// identities is an X509Source that also remembers every SVID of an update, not only the default
// one, and queues updates so that none is missed between two reads.
type identities struct {
	*workloadapi.X509Source
	arrived chan struct{}

	mutex   sync.Mutex
	pending [][]*x509svid.SVID
}

func openIdentities(ctx context.Context, socket string) (*identities, error) {
	ids := &identities{arrived: make(chan struct{}, 1)}
	source, err := workloadapi.NewX509Source(ctx,
		workloadapi.WithClientOptions(
			workloadapi.WithAddr(socket),
			workloadapi.WithLogger(logger.Writer(os.Stderr))),
		workloadapi.WithDefaultX509SVIDPicker(ids.pick))
	if err != nil {
		return nil, err
	}
	ids.X509Source = source
	return ids, nil
}

// pick is called by the source once for each update, before the source serves that update.
func (ids *identities) pick(svids []*x509svid.SVID) *x509svid.SVID {
	ids.mutex.Lock()
	ids.pending = append(ids.pending, svids)
	ids.mutex.Unlock()
	select {
	case ids.arrived <- struct{}{}:
	default:
	}
	return svids[0]
}

func (ids *identities) takePending() [][]*x509svid.SVID {
	ids.mutex.Lock()
	defer ids.mutex.Unlock()
	taken := ids.pending
	ids.pending = nil
	return taken
}

type svidLine struct {
	SpiffeID    string    `json:"spiffe_id"`
	Serial      string    `json:"serial"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DNSNames    []string  `json:"dns_names,omitempty"`
	Hint        string    `json:"hint,omitempty"`
	ChainLength int       `json:"chain_length"`
	Verified    bool      `json:"verified"`
	VerifyError string    `json:"verify_error,omitempty"`
}

type updateLine struct {
	Update      int        `json:"update"`
	Time        time.Time  `json:"time"`
	Svids       []svidLine `json:"svids"`
	Authorities int        `json:"authorities"`
}

// describe also verifies each SVID against the bundle that came with it.
func (ids *identities) describe(number int, svids []*x509svid.SVID) updateLine {
	line := updateLine{Update: number, Time: time.Now().UTC(), Svids: []svidLine{}}
	for _, svid := range svids {
		leaf := svid.Certificates[0]
		entry := svidLine{
			SpiffeID:    svid.ID.String(),
			Serial:      leaf.SerialNumber.Text(16),
			NotBefore:   leaf.NotBefore,
			NotAfter:    leaf.NotAfter,
			DNSNames:    leaf.DNSNames,
			Hint:        svid.Hint,
			ChainLength: len(svid.Certificates),
			Verified:    true,
		}
		if _, _, err := x509svid.Verify(svid.Certificates, ids.X509Source); err != nil {
			entry.Verified, entry.VerifyError = false, err.Error()
		}
		line.Svids = append(line.Svids, entry)
	}
	if bundle, err := ids.GetX509BundleForTrustDomain(svids[0].ID.TrustDomain()); err == nil {
		line.Authorities = len(bundle.X509Authorities())
	}
	return line
}

func serials(line updateLine) []string {
	var list []string
	for _, svid := range line.Svids {
		list = append(list, svid.SpiffeID+" "+svid.Serial)
	}
	slices.Sort(list)
	return list
}

func (ids *identities) showOnce(writeDir string) int {
	svids := ids.takePending()[0]
	line := ids.describe(1, svids)
	if writeDir != "" {
		if err := ids.write(writeDir, svids[0]); err != nil {
			fmt.Fprintln(os.Stderr, "workload-client:", err)
			return exitNoIdentity
		}
	}
	printLine(line)
	return 0
}

func (ids *identities) watch(ctx context.Context, wanted int, distinct bool) int {
	var previous []string
	for number, counted := 0, 0; counted < wanted; {
		select {
		case <-ctx.Done():
			fmt.Fprintf(os.Stderr, "workload-client: %d of %d updates: %v\n", counted, wanted, ctx.Err())
			return exitNoIdentity
		case <-ids.arrived:
		}
		for _, svids := range ids.takePending() {
			number++
			line := ids.describe(number, svids)
			printLine(line)
			current := serials(line)
			if !distinct || !slices.Equal(current, previous) {
				counted++
			}
			previous = current
		}
	}
	return 0
}

func (ids *identities) write(dir string, svid *x509svid.SVID) error {
	chain, key, err := svid.Marshal()
	if err != nil {
		return err
	}
	bundle, err := ids.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{"svid.pem", chain}, {"key.pem", key}, {"bundle.pem", encode(bundle.X509Authorities())}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func encode(certificates []*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		block := pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}
		text = append(text, pem.EncodeToMemory(&block)...)
	}
	return text
}

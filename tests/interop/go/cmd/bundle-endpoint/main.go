// Command bundle-endpoint is go-spiffe's side of federation: it fetches a bundle from an endpoint
// with go-spiffe's client, or serves a bundle file with its handler.
//
//	bundle-endpoint -fetch URL -trust-domain NAME [-endpoint-id ID -bundle FILE | -web-roots FILE]
//	bundle-endpoint -serve ADDR -trust-domain NAME -bundle FILE -cert FILE -key FILE
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

var (
	fetch      = flag.String("fetch", "", "URL of a bundle endpoint; its bundle is printed")
	serve      = flag.String("serve", "", "address to serve on; it is printed once bound")
	domain     = flag.String("trust-domain", "", "trust domain of the bundle")
	endpointID = flag.String("endpoint-id", "", "SPIFFE ID of the endpoint (https_spiffe)")
	bundleFile = flag.String("bundle", "", "SPIFFE bundle: to verify by, or to serve")
	webRoots   = flag.String("web-roots", "", "PEM file of authorities (https_web)")
	certFile   = flag.String("cert", "", "PEM certificate to show")
	keyFile    = flag.String("key", "", "PEM key of the certificate")
)

func clientOptions() ([]federation.FetchOption, error) {
	if *endpointID == "" {
		pem, err := os.ReadFile(*webRoots)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate in " + *webRoots)
		}
		return []federation.FetchOption{federation.WithWebPKIRoots(pool)}, nil
	}
	id, err := spiffeid.FromString(*endpointID)
	if err != nil {
		return nil, err
	}
	bundle, err := spiffebundle.Load(id.TrustDomain(), *bundleFile)
	if err != nil {
		return nil, err
	}
	return []federation.FetchOption{federation.WithSPIFFEAuth(bundle, id)}, nil
}

func fetchBundle(td spiffeid.TrustDomain) error {
	options, err := clientOptions()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, td, *fetch, options...)
	if err != nil {
		return err
	}
	document, err := bundle.Marshal()
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(document))
	return err
}

func serveBundle(td spiffeid.TrustDomain) error {
	bundle, err := spiffebundle.Load(td, *bundleFile)
	if err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return err
	}
	handler, err := federation.NewHandler(td, bundle)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *serve)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	return server.ServeTLS(listener, "", "")
}

func main() {
	flag.Parse()
	td, err := spiffeid.TrustDomainFromString(*domain)
	if err == nil {
		if *fetch != "" {
			err = fetchBundle(td)
		} else {
			err = serveBundle(td)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bundle-endpoint:", err)
		os.Exit(1)
	}
}

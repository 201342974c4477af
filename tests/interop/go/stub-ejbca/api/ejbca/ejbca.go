// Package ejbca stands in for the client SDK of the EJBCA upstream authority.
//
// SPIRE's server compiles an upstream-authority plugin against that SDK, which module mirrors do
// not always serve. The interop tests never use the plugin, so this package has only the names
// that the plugin mentions, and everything that would reach a server fails with ErrNotAvailable.
package ejbca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

// ErrNotAvailable is what every operation of this package answers.
var ErrNotAvailable = errors.New("ejbca: not available in this build of spire-server (stub module)")

// Authenticator gives the HTTP client that carries the caller's credentials.
type Authenticator interface {
	GetHTTPClient() (*http.Client, error)
}

// MTLSAuthenticatorBuilder accepts credentials and never builds anything from them.
type MTLSAuthenticatorBuilder struct{}

func NewMTLSAuthenticatorBuilder() *MTLSAuthenticatorBuilder { return &MTLSAuthenticatorBuilder{} }

func (b *MTLSAuthenticatorBuilder) WithClientCertificate(*tls.Certificate) *MTLSAuthenticatorBuilder {
	return b
}

func (b *MTLSAuthenticatorBuilder) WithCaCertificates([]*x509.Certificate) *MTLSAuthenticatorBuilder {
	return b
}

func (b *MTLSAuthenticatorBuilder) Build() (Authenticator, error) { return nil, ErrNotAvailable }

// Configuration is where the plugin puts the server's address.
type Configuration struct {
	Host string
}

func NewConfiguration() *Configuration { return &Configuration{} }

func (c *Configuration) SetAuthenticator(Authenticator) {}

// APIClient is never made: NewAPIClient fails.
type APIClient struct {
	V1CertificateApi *V1CertificateApiService
}

func NewAPIClient(*Configuration) (*APIClient, error) { return nil, ErrNotAvailable }

type V1CertificateApiService struct{}

func (s *V1CertificateApiService) EnrollPkcs10Certificate(context.Context) ApiEnrollPkcs10CertificateRequest {
	return ApiEnrollPkcs10CertificateRequest{}
}

type ApiEnrollPkcs10CertificateRequest struct{}

func (r ApiEnrollPkcs10CertificateRequest) EnrollCertificateRestRequest(EnrollCertificateRestRequest) ApiEnrollPkcs10CertificateRequest {
	return r
}

func (r ApiEnrollPkcs10CertificateRequest) Execute() (*CertificateRestResponse, *http.Response, error) {
	return nil, nil, ErrNotAvailable
}

// EnrollCertificateRestRequest drops what is put into it.
type EnrollCertificateRestRequest struct{}

func NewEnrollCertificateRestRequest() *EnrollCertificateRestRequest {
	return &EnrollCertificateRestRequest{}
}

func (r *EnrollCertificateRestRequest) SetUsername(string)                 {}
func (r *EnrollCertificateRestRequest) SetPassword(string)                 {}
func (r *EnrollCertificateRestRequest) SetCertificateRequest(string)       {}
func (r *EnrollCertificateRestRequest) SetCertificateAuthorityName(string) {}
func (r *EnrollCertificateRestRequest) SetCertificateProfileName(string)   {}
func (r *EnrollCertificateRestRequest) SetEndEntityProfileName(string)     {}
func (r *EnrollCertificateRestRequest) SetIncludeChain(bool)               {}
func (r *EnrollCertificateRestRequest) SetAccountBindingId(string)         {}

// CertificateRestResponse is always empty.
type CertificateRestResponse struct {
	CertificateChain []string
}

func (r *CertificateRestResponse) GetResponseFormat() string { return "" }
func (r *CertificateRestResponse) GetCertificate() string    { return "" }

// GenericOpenAPIError never occurs; the plugin looks for it with errors.As.
type GenericOpenAPIError struct{}

func (e GenericOpenAPIError) Error() string { return ErrNotAvailable.Error() }
func (e GenericOpenAPIError) Body() []byte  { return nil }

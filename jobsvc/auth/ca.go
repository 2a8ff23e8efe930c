package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const (
	maxCSR     = 4096 // characters of PEM
	minRSABits = 2048
	// serverValidity is the longest that every TLS client accepts of a server.
	serverValidity = 825 * 24 * time.Hour
	// backdate lets a device whose clock is a little slow use its certificate at once.
	backdate = 2 * time.Minute

	typeCertificate = "CERTIFICATE"
	typePrivateKey  = "PRIVATE KEY"
)

// deviceNotAfter ends the certificates of devices, and the CA that vouches for
// them, on the day that AWS's do: nobody has to visit a device to renew one.
var deviceNotAfter = time.Date(2049, time.December, 31, 23, 59, 59, 0, time.UTC)

// CA is the installation's certificate authority: it issues the server's own
// certificate and those of devices. It is safe for concurrent use.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewCA makes a CA with an ECDSA P-256 key. It is to be kept, by CertificatePEM
// and PrivateKeyPEM: devices trust it, and a fleet has to survive a reinstallation.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	serial := serialNumber()
	template := &x509.Certificate{
		SerialNumber: serial,
		// The serial number keeps the names of two installations apart: TLS stacks
		// look issuers up by name.
		Subject:               pkix.Name{CommonName: "thingjobs CA", SerialNumber: hex.EncodeToString(serial.Bytes()[:8])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              deviceNotAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// LoadCA takes a kept CA: a PEM certificate that may issue others, and its private
// key in PKCS#8, SEC 1 or PKCS#1.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != typeCertificate {
		return nil, errors.New("load CA: no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	if !cert.IsCA {
		return nil, errors.New("load CA: the certificate is not one of a CA")
	}
	if block, _ = pem.Decode(keyPEM); block == nil {
		return nil, errors.New("load CA: no PEM private key")
	}
	key, err := parsePrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, errors.New("load CA: the private key is not that of the certificate")
	}
	return &CA{cert: cert, key: key}, nil
}

func parsePrivateKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("the private key is not one that signs")
}

// Certificate is the CA's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// CertificatePEM is the CA's certificate, which clients are to trust.
func (ca *CA) CertificatePEM() []byte { return encodePEM(typeCertificate, ca.cert.Raw) }

// PrivateKeyPEM is the CA's private key in PKCS#8.
func (ca *CA) PrivateKeyPEM() ([]byte, error) { return marshalKey(ca.key) }

// IssueServer makes an ECDSA P-256 key and a server certificate for host names and
// IP addresses. It is valid for 825 days, at most as long as the CA; the caller
// renews it in time.
func (ca *CA) IssueServer(hosts []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make server key: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "thingjobs"},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(serverValidity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := ca.issue(template, key.Public())
	if err != nil {
		return nil, nil, err
	}
	if keyPEM, err = marshalKey(key); err != nil {
		return nil, nil, err
	}
	return encodePEM(typeCertificate, der), keyPEM, nil
}

// IssueKeys makes an RSA 2048 key and a device certificate for it, in PEM: the
// private key in PKCS#1, as AWS hands it out, the public key in PKIX.
//
// AWS: CreateKeysAndCertificate.
func (ca *CA) IssueKeys(now time.Time) (certPEM, privateKeyPEM, publicKeyPEM string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", "", fmt.Errorf("make device key: %w", err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", "", fmt.Errorf("make device key: %w", err)
	}
	if certPEM, err = ca.issueDevice(key.Public(), now); err != nil {
		return "", "", "", err
	}
	return certPEM, string(encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))), string(encodePEM("PUBLIC KEY", pub)), nil
}

// IssueCSR makes a device certificate for the key of a PEM certificate signing
// request of at most 4,096 characters: RSA of at least 2,048 bits, or ECDSA on
// P-256, P-384 or P-521. Its subject and extensions are not taken over. The same
// request twice gives two certificates.
//
// Errors: CodeInvalidRequest.
//
// AWS: CreateCertificateFromCsr.
func (ca *CA) IssueCSR(csrPEM string, now time.Time) (certPEM string, err error) {
	key, err := parseCSR(csrPEM)
	if err != nil {
		return "", err
	}
	return ca.issueDevice(key, now)
}

func parseCSR(csrPEM string) (crypto.PublicKey, error) {
	refuse := func(format string, args ...any) error {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The certificateSigningRequest "+format, args...)
	}
	if n := len([]rune(csrPEM)); n < 1 || n > maxCSR {
		return nil, refuse("must have 1 to %d characters, not %d.", maxCSR, n)
	}
	block, rest := pem.Decode([]byte(csrPEM))
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, refuse("must be one certificate request in PEM.")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, refuse("cannot be parsed.")
	}
	switch k := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return nil, refuse("has an RSA key of %d bits, fewer than %d.", k.N.BitLen(), minRSABits)
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return nil, refuse("has a key on the curve %s; P-256, P-384 and P-521 are allowed.", k.Curve.Params().Name)
		}
	default:
		return nil, refuse("must have an RSA or an ECDSA key.")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, refuse("is not signed with its own key.")
	}
	return csr.PublicKey, nil
}

func (ca *CA) issueDevice(key crypto.PublicKey, now time.Time) (certPEM string, err error) {
	der, err := ca.issue(&x509.Certificate{
		Subject:   pkix.Name{CommonName: "AWS IoT Certificate"},
		NotBefore: now.Add(-backdate),
		NotAfter:  deviceNotAfter,
		KeyUsage:  x509.KeyUsageDigitalSignature,
		// Differs from AWS, whose certificates may be used for anything: the server's
		// comes from the same CA, and no device is to pass for it.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	if err != nil {
		return "", err
	}
	return string(encodePEM(typeCertificate, der)), nil
}

func (ca *CA) issue(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	template.SerialNumber = serialNumber()
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return der, nil
}

// CertificateID is how AWS IoT names a certificate: the lower-case hex SHA-256 of
// its DER form.
func CertificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// serialNumber is random, positive and of 20 bytes, the most that RFC 5280 allows.
func serialNumber() *big.Int {
	b := make([]byte, 20)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40 // positive, and never shorter
	return new(big.Int).SetBytes(b)
}

func encodePEM(blockType string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}

func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return encodePEM(typePrivateKey, der), nil
}

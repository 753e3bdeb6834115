package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// runGenCerts writes ca.crt, tls.crt and tls.key of a server on loopback, and token.key, the key of pods' tokens.
func runGenCerts(args []string) {
	fs := flag.NewFlagSet("gencerts", flag.ExitOnError)
	dir := fs.String("dir", ".", "output")
	_ = fs.Parse(args)
	die(os.MkdirAll(*dir, 0o755))
	write := func(name, typ string, der []byte) {
		die(os.WriteFile(filepath.Join(*dir, name), pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600))
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		die(err)
		return k
	}
	caKey, serverKey, tokenKey := newKey(), newKey(), newKey()
	from, until := time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 2)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mountload"}, NotBefore: from,
		NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	die(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: from,
		NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &serverKey.PublicKey, caKey)
	die(err)
	write("ca.crt", "CERTIFICATE", caDER)
	write("tls.crt", "CERTIFICATE", leafDER)
	for name, key := range map[string]*ecdsa.PrivateKey{"tls.key": serverKey, "token.key": tokenKey} {
		der, err := x509.MarshalECPrivateKey(key)
		die(err)
		write(name, "EC PRIVATE KEY", der)
	}
}

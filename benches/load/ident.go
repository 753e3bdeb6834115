package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

type ident struct{ i, ns, sa, pod, uid string }

func identity(i int, ns, sa string) ident {
	if ns == "" {
		ns = "app"
	}
	if sa == "" {
		sa = "sa-{{i}}"
	}
	n := strconv.Itoa(i)
	r := strings.NewReplacer("{{i}}", n)
	return ident{i: n, ns: r.Replace(ns), sa: r.Replace(sa), pod: "pod-" + n, uid: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}
}

var tokenRE = regexp.MustCompile(`\{\{token(?::([^}]*))?\}\}`)

func fillIn(s string, id ident, aud string, signer *tokenSigner) (string, error) {
	s = strings.NewReplacer("{{i}}", id.i, "{{ns}}", id.ns, "{{sa}}", id.sa, "{{pod}}", id.pod, "{{uid}}", id.uid,
		"{{node}}", "node-0", "{{exp}}", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)).Replace(s)
	var err error
	s = tokenRE.ReplaceAllStringFunc(s, func(m string) string {
		if signer == nil {
			err = fmt.Errorf("template needs tokens: give -key")
			return ""
		}
		a := aud
		if g := tokenRE.FindStringSubmatch(m); g[1] != "" {
			a = g[1]
		}
		var as []string
		if a != "" {
			as = []string{a}
		}
		return signer.serviceAccount(id, as, time.Hour)
	})
	return s, err
}

type tokenSigner struct{ k *ecdsa.PrivateKey }

func loadSigner(file string) (*tokenSigner, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, _ := pem.Decode(b)
	if p == nil {
		return nil, fmt.Errorf("%s: no PEM", file)
	}
	k, err := x509.ParseECPrivateKey(p.Bytes)
	return &tokenSigner{k}, err
}

func (t *tokenSigner) serviceAccount(id ident, aud []string, ttl time.Duration) string {
	if len(aud) == 0 {
		aud = []string{"https://kubernetes.default.svc"}
	}
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:" + id.ns + ":" + id.sa, "aud": aud,
		"iat": now, "nbf": now, "exp": now + int64(ttl.Seconds()), "jti": id.uid,
		"kubernetes.io": map[string]any{"namespace": id.ns,
			"serviceaccount": map[string]string{"name": id.sa, "uid": "sa-uid-" + id.ns + "-" + id.sa},
			"pod":            map[string]string{"name": id.pod, "uid": id.uid}},
	}
	enc := base64.RawURLEncoding.EncodeToString
	h, _ := json.Marshal(map[string]string{"alg": "ES256", "typ": "JWT", "kid": "fake"})
	c, _ := json.Marshal(claims)
	in := enc(h) + "." + enc(c)
	sum := sha256.Sum256([]byte(in))
	r, s, err := ecdsa.Sign(rand.Reader, t.k, sum[:])
	die(err)
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return in + "." + enc(sig)
}

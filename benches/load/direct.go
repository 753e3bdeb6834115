package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

// runDirect makes the calls of a pod's first mount straight at the server: a login, then the reads in parallel. It says
// what a mount would take if the provider cost nothing.
func runDirect(args []string) {
	fs := flag.NewFlagSet("direct", flag.ExitOnError)
	address := fs.String("address", "", "of the server")
	ca := fs.String("ca", "", "PEM file of its authority")
	key := fs.String("key", "", "token key (gencerts)")
	paths := fs.String("paths", "", "comma list of what is read, below /v1/")
	n := fs.Int("n", 100, "pods")
	interval := fs.Duration("interval", 0, "pace; 0 = all at once")
	label := fs.String("label", "", "copied to the output")
	_ = fs.Parse(args)
	signer, err := loadSigner(*key)
	die(err)
	client := directClient(*ca)
	one := func(i int) float64 {
		jwt := signer.serviceAccount(identity(i, "", ""), []string{"vault"}, time.Hour)
		start := time.Now()
		token := login(client, *address, jwt)
		var wg sync.WaitGroup
		for _, path := range strings.Split(*paths, ",") {
			wg.Add(1)
			go func() {
				defer wg.Done()
				call(client, "GET", *address+"/v1/"+path, token, nil)
			}()
		}
		wg.Wait()
		return float64(time.Since(start).Microseconds()) / 1000
	}
	one(*n) // opens the connections
	ms := make([]float64, *n)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range *n {
		if *interval > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * *interval)))
			ms[i] = one(i)
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			ms[i] = one(i)
		}()
	}
	wg.Wait()
	wall := time.Since(start)
	sort.Float64s(ms)
	b, _ := json.Marshal(map[string]any{"label": *label, "pods": *n, "wall_s": round(wall.Seconds(), 3), "min_ms": ms[0],
		"p50_ms": ms[len(ms)/2], "p99_ms": ms[len(ms)*99/100], "max_ms": ms[len(ms)-1]})
	fmt.Println(string(b))
}

func directClient(ca string) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 1024, 1024
	if ca != "" {
		pem, err := os.ReadFile(ca)
		die(err)
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			die(fmt.Errorf("%s: no certificate", ca))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}
}

func login(client *http.Client, address, jwt string) string {
	body, _ := json.Marshal(map[string]string{"role": "app", "jwt": jwt})
	var reply struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	die(json.Unmarshal(call(client, "POST", address+"/v1/auth/kubernetes/login", "", body), &reply))
	return reply.Auth.Token
}

func call(client *http.Client, method, url, token string, body []byte) []byte {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	die(err)
	req.Header.Set("X-Vault-Request", "true")
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	r, err := client.Do(req)
	die(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	die(err)
	if r.StatusCode != http.StatusOK {
		die(fmt.Errorf("%s: %s %s", url, r.Status, b))
	}
	return b
}

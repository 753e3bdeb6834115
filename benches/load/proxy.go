package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counter counts requests by class, and serves /_counts and /_reset.
type counter struct {
	mu             sync.Mutex
	calls          map[string]int
	inFlight, peak int
	conns          atomic.Int64
}

func (c *counter) enter(class string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[class]++
	c.inFlight++
	c.peak = max(c.peak, c.inFlight)
}

func (c *counter) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
}

func (c *counter) report(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]any{"new_connections": c.conns.Load(), "peak_in_flight": c.peak}
	for class, n := range c.calls {
		out[class] = n
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (c *counter) reset(http.ResponseWriter, *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.peak = map[string]int{}, c.inFlight
	c.conns.Store(0)
}

var reLogin = regexp.MustCompile(`^/v1/auth/[^/]+/login$`)

// classify names the kind of a request to Vault or OpenBao.
func classify(r *http.Request) string {
	switch p := r.URL.Path; {
	case reLogin.MatchString(p):
		return "login"
	case strings.HasPrefix(p, "/v1/auth/token/"):
		return "token " + strings.TrimPrefix(p, "/v1/auth/token/")
	case strings.HasPrefix(p, "/v1/secret/data/"):
		return "read"
	default:
		return r.Method + " " + p
	}
}

// fault makes requests whose class and path match fail, so many times.
type fault struct {
	match *regexp.Regexp
	code  int
	hang  bool
	left  atomic.Int64
}

// runProxy passes requests on to a backend, counts them, and delays or fails them as its admin address is told.
func runProxy(args []string) {
	fs := flag.NewFlagSet("proxy", flag.ExitOnError)
	listen := fs.String("listen", "127.0.0.1:8300", "where clients connect")
	admin := fs.String("admin", "127.0.0.1:8301", "/_counts /_reset /_latency?ms= /_fault?match=&code=&hang=1&count= /_nofault")
	target := fs.String("target", "http://127.0.0.1:8200", "backend")
	cert, key := fs.String("cert", "", "serve TLS"), fs.String("tls-key", "", "")
	_ = fs.Parse(args)
	to, err := url.Parse(*target)
	die(err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 1024, 1024
	onward := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	c := &counter{calls: map[string]int{}}
	var delay atomic.Int64
	var failing atomic.Pointer[fault]
	go serveAdmin(*admin, c, &delay, &failing)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		class := classify(r)
		c.enter(class)
		defer c.leave()
		time.Sleep(time.Duration(delay.Load()))
		if f := failing.Load(); f != nil && f.match.MatchString(class+" "+r.URL.Path) && f.left.Add(-1) >= 0 {
			if f.hang {
				<-r.Context().Done()
				return
			}
			w.WriteHeader(f.code)
			fmt.Fprint(w, `{"errors":["injected"]}`)
			return
		}
		onward.ServeHTTP(w, r)
	})
	srv := &http.Server{Addr: *listen, Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			c.conns.Add(1)
		}
	}}
	if *cert != "" {
		die(srv.ListenAndServeTLS(*cert, *key))
	}
	die(srv.ListenAndServe())
}

func serveAdmin(addr string, c *counter, delay *atomic.Int64, failing *atomic.Pointer[fault]) {
	mux := http.NewServeMux()
	mux.HandleFunc("/_counts", c.report)
	mux.HandleFunc("/_reset", c.reset)
	mux.HandleFunc("/_latency", func(_ http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.ParseFloat(r.FormValue("ms"), 64)
		delay.Store(int64(ms * 1e6))
	})
	mux.HandleFunc("/_fault", func(w http.ResponseWriter, r *http.Request) {
		match, err := regexp.Compile(r.FormValue("match"))
		if err != nil {
			http.Error(w, "match is no expression", http.StatusBadRequest)
			return
		}
		f := &fault{match: match, hang: r.FormValue("hang") != ""}
		if f.code, err = strconv.Atoi(r.FormValue("code")); err != nil {
			f.code = http.StatusServiceUnavailable
		}
		count, err := strconv.ParseInt(r.FormValue("count"), 10, 64)
		if err != nil {
			count = 1 << 60
		}
		f.left.Store(count)
		failing.Store(f)
	})
	mux.HandleFunc("/_nofault", func(http.ResponseWriter, *http.Request) { failing.Store(nil) })
	die(http.ListenAndServe(addr, mux))
}

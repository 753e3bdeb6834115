package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"strings"
)

// runKubeAPI answers TokenReview, which a server's kubernetes auth asks at each login. It believes every token, so that
// it costs next to nothing: for load on loopback only, and it proves nothing about identity.
func runKubeAPI(args []string) {
	fs := flag.NewFlagSet("kubeapi", flag.ExitOnError)
	listen := fs.String("listen", "127.0.0.1:6443", "TLS")
	cert, key := fs.String("cert", "", ""), fs.String("tls-key", "", "")
	_ = fs.Parse(args)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/tokenreviews") {
			http.NotFound(w, r)
			return
		}
		var review struct {
			Spec struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
			"status": believed(review.Spec.Token, review.Spec.Audiences)})
	})
	die((&http.Server{Addr: *listen, Handler: h}).ListenAndServeTLS(*cert, *key))
}

// believed is what a token says of itself.
func believed(token string, audiences []string) map[string]any {
	var claims struct {
		Sub string `json:"sub"`
		K   struct {
			NS string            `json:"namespace"`
			SA map[string]string `json:"serviceaccount"`
		} `json:"kubernetes.io"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return map[string]any{"authenticated": false}
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return map[string]any{"authenticated": false}
	}
	return map[string]any{"authenticated": true, "audiences": audiences, "user": map[string]any{
		"username": claims.Sub, "uid": claims.K.SA["uid"],
		"groups": []string{"system:serviceaccounts", "system:serviceaccounts:" + claims.K.NS, "system:authenticated"}}}
}

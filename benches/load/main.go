// Command mountload drives a Secrets Store CSI provider over its unix socket the way driver 1.6 does: one HTTP/2
// connection, authority `localhost`, attributes as JSON, `secrets` = `null`, permission `420`, three tries on
// UNAVAILABLE. Every file's sha256 is checked. With it come the small servers that a load of Vault's store needs.
package main

import (
	"fmt"
	"os"
)

func main() {
	modes := map[string]func([]string){
		"mount": runMount, "version": runVersion,
		"direct": runDirect, "proxy": runProxy, "kubeapi": runKubeAPI, "gencerts": runGenCerts,
	}
	if len(os.Args) > 1 {
		if mode, ok := modes[os.Args[1]]; ok {
			mode(os.Args[2:])
			return
		}
	}
	fmt.Fprintln(os.Stderr, `usage: mountload MODE [flags]
  mount      load a provider with Mount calls
  version    time from process start to the first answered Version
  direct     the calls of pods' first mounts straight at a Vault or OpenBao server
  proxy      counts, delays and fails what passes on its way to a server
  kubeapi    TokenReview that believes every token
  gencerts   certificates of a server on loopback, and the key of pods' tokens`)
	os.Exit(2)
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mountload:", err)
		os.Exit(1)
	}
}

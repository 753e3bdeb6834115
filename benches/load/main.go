// Command mountload drives a Secrets Store CSI provider over its unix socket the way driver 1.6 does: one HTTP/2
// connection, authority `localhost`, attributes as JSON, `secrets` = `null`, permission `420`, three tries on
// UNAVAILABLE. Every file's sha256 is checked.
package main

import (
	"fmt"
	"os"
)

func main() {
	modes := map[string]func([]string){"mount": runMount, "version": runVersion}
	if len(os.Args) > 1 {
		if mode, ok := modes[os.Args[1]]; ok {
			mode(os.Args[2:])
			return
		}
	}
	fmt.Fprintln(os.Stderr, `usage: mountload MODE [flags]
  mount      load a provider with Mount calls
  version    time from process start to the first answered Version`)
	os.Exit(2)
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mountload:", err)
		os.Exit(1)
	}
}

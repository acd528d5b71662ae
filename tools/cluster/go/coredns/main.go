// Builds CoreDNS with the plugins that the node's Corefile names, and none of the clouds' that its own main carries.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// The order in which a query passes them: the template answers what no other knows.
	dnsserver.Directives = []string{"bind", "errors", "cache", "loadbalance", "kubernetes", "template"}
	coremain.Run()
}

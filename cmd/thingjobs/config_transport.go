package main

import (
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// TLSConfig is the certificate that the broker shows.
type TLSConfig struct {
	CertFile string `yaml:"certFile" name:"cert-file" help:"PEM file with a server certificate of your own and its chain. Default: one of the CA in the data directory. A file that changes is taken up within a minute."`
	KeyFile  string `yaml:"keyFile" name:"key-file" help:"PEM file with its key."`
}

// ProxyProtocolConfig is about load balancers in front of the broker.
type ProxyProtocolConfig struct {
	Trusted []string `yaml:"trusted" name:"trusted" help:"Addresses or networks (10.0.0.0/8) of load balancers. Their connections to mqttsAddr and httpsAddr must begin with a header of the PROXY protocol, version 1 or 2, which tells the address of the client. That of others is not believed. Not this machine's own address, from which the commands of thingjobs connect."`
}

// proxyHeaderTimeout is how long a load balancer may take to send its header.
const proxyHeaderTimeout = 5 * time.Second

func (c *Config) validateTransport(bad func(key, format string, args ...any)) {
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls", "certFile and keyFile go together")
	}
	if _, err := c.ProxyProtocol.networks(); err != nil {
		bad("proxyProtocol.trusted", "%v", err)
	}
}

func (c *ProxyProtocolConfig) networks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, s := range c.Trusted {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, failed := netip.ParseAddr(s)
			if failed != nil {
				return nil, err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// policy tells of a new connection whether it must begin with a header.
func (c *ProxyProtocolConfig) policy() (proxyproto.ConnPolicyFunc, error) {
	networks, err := c.networks()
	if err != nil {
		return nil, err
	}
	return func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		from, err := netip.ParseAddrPort(o.Upstream.String())
		if err == nil {
			for _, n := range networks {
				if n.Contains(from.Addr().Unmap()) {
					return proxyproto.REQUIRE, nil
				}
			}
		}
		return proxyproto.SKIP, nil
	}, nil
}

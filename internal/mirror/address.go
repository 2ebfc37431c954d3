package mirror

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
)

// A registry can send the copier elsewhere: by a redirect, by the realm of its token server, by the location of an
// upload. There is one rule for all of them. A registry may send the copier to public addresses, and to what is no
// closer to the copier than the registry itself is: from a private network into private networks, from this machine
// anywhere but to link-local addresses. A host that is named by --allow-private-host may be in a private network all
// the same. Link-local addresses, where clouds serve their metadata, are reached only if the registry has the very same
// address.
//
// The rule is for addresses, not for names: it is applied to what a name resolves to, when a connection is made. A
// proxy resolves names by itself, and then decides where they lead; addresses are still checked here.

// zone says how close an address is.
type zone int

const (
	publicZone zone = iota
	// privateZone is a network such as a company's own, which strangers cannot reach.
	privateZone
	// loopbackZone is this machine, or this pod.
	loopbackZone
	// linkLocalZone also has the metadata services, wherever they are, and what is no address of a host.
	linkLocalZone
)

func (z zone) String() string {
	return [...]string{"a public", "a private", "a loopback", "a link-local or metadata"}[z]
}

var (
	metadataServices = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
		netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
		netip.MustParseAddr("168.63.129.16"),   // Azure
		netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	}
	// carrierGrade is RFC 6598's address space, which clusters use like that of RFC 1918.
	carrierGrade = netip.MustParsePrefix("100.64.0.0/10")
	thisNetwork  = netip.MustParsePrefix("0.0.0.0/8")
	// nat64 addresses end with an IPv4 address.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// zoneOf expects an address as canonical returns it.
func zoneOf(addr netip.Addr) zone {
	for _, service := range metadataServices {
		if addr == service {
			return linkLocalZone
		}
	}
	switch {
	case addr.IsLoopback():
		return loopbackZone
	case addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr.IsUnspecified(), thisNetwork.Contains(addr):
		return linkLocalZone
	case addr.IsPrivate(), carrierGrade.Contains(addr):
		return privateZone
	}
	return publicZone
}

// canonical returns an address as it is connected to: without its zone, and as IPv4 where that is what it stands for.
func canonical(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if nat64.Contains(addr) {
		bytes := addr.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return addr
}

// literal returns the address that a URL's host consists of. Second, it reports whether the host is one, in a form that
// can be understood or not: hosts whose last label is a number are addresses to many resolvers, such as 127.1.
func literal(hostname string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(hostname); err == nil {
		return canonical(addr), true
	}
	last := strings.TrimSuffix(hostname, ".")
	last = strings.ToLower(last[strings.LastIndexByte(last, '.')+1:])
	digits, hexadecimal := strings.CutPrefix(last, "0x")
	numeric := strings.Trim(digits, "0123456789") == "" || (hexadecimal && strings.Trim(digits, "0123456789abcdef") == "")
	return netip.Addr{}, last != "" && numeric
}

// reach is the rule for one registry.
type reach struct {
	// allowed has the hosts of --allow-private-host, in lower case.
	allowed map[string]bool

	mu sync.Mutex
	// own has the addresses that the registry's name led to, whether they could be connected to or not.
	own map[netip.Addr]bool
}

func newReach(registry string, allowed []string) *reach {
	r := &reach{allowed: hostSet(allowed), own: make(map[netip.Addr]bool)}
	if host, _ := splitPort(registry); host != "" {
		if addr, ok := literal(host); ok && addr.IsValid() {
			r.own[addr] = true
		}
	}
	return r
}

func hostSet(hosts []string) map[string]bool {
	set := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		set[strings.ToLower(host)] = true
	}
	return set
}

// foundAt notes an address of the registry itself.
func (r *reach) foundAt(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own[addr] = true
}

// check returns an addressError unless the registry may send the copier to addr. host is what the registry called it, with its
// port if one is given.
func (r *reach) check(host string, addr netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := zoneOf(addr)
	switch {
	case !addr.IsValid():
		return &addressError{host: host, zone: linkLocalZone}
	case to == publicZone, to <= r.zoneLocked() && (to != linkLocalZone || r.own[addr]):
		return nil
	case to == privateZone && r.allows(host):
		return nil
	}
	return &addressError{host: host, zone: to, addr: addr}
}

func (r *reach) allows(host string) bool {
	host = strings.ToLower(host)
	bare, _ := splitPort(host)
	return r.allowed[host] || r.allowed[bare]
}

// zoneLocked returns the registry's zone: the farthest of its addresses counts, because whoever decides what a name
// resolves to can add a private address to it.
func (r *reach) zoneLocked() zone {
	closest := publicZone
	first := true
	for addr := range r.own {
		if z := zoneOf(addr); first || z < closest {
			closest, first = z, false
		}
	}
	return closest
}

// addressError is returned for an address that a registry may not send the copier to.
type addressError struct {
	host string
	zone zone
	// addr is invalid when host is an address of a form that is not understood.
	addr netip.Addr
}

func (e *addressError) Error() string {
	if !e.addr.IsValid() {
		return e.host + " is an address in a form that hides where it leads"
	}
	at := ""
	if bare, _ := splitPort(e.host); bare != e.addr.String() {
		at = " at " + e.addr.String()
	}
	if e.zone == privateZone {
		return fmt.Sprintf("%s%s is in a private network, and the registry is not; --allow-private-host=%s would allow it", e.host, at, e.host)
	}
	return fmt.Sprintf("%s%s is %s address, to which no registry elsewhere may send", e.host, at, e.zone)
}

// visit goes with the context of a request that is sent without a proxy.
type visit struct {
	reach *reach
	// host is the host that the request asks, with the port if one is given.
	host string
	// own is true if the host is the registry itself, and not one that it has sent the copier to.
	own bool
}

type visitKey struct{}

// mayConnect applies the rule to an address that is about to be connected to for ctx.
func mayConnect(ctx context.Context, addr netip.Addr) error {
	v, ok := ctx.Value(visitKey{}).(visit)
	if !ok {
		return nil
	}
	addr = canonical(addr)
	if v.own {
		v.reach.foundAt(addr)
		return nil
	}
	return v.reach.check(v.host, addr)
}

// controlConnect is mayConnect for a net.Dialer, which calls it with each address that a name has resolved to.
func controlConnect(ctx context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return &net.AddrError{Err: "not an address", Addr: address}
	}
	return mayConnect(ctx, addr.Addr())
}

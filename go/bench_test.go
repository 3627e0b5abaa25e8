package tollbar

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// What is compared, all in one run: the same addresses in the same order, the same limits, the system's time on both sides, and every
// event is admitted. `make bench` runs the whole several times, and compares the best of each: other programs can only slow one down.
const (
	benchLimit = 40_000_000
	filled     = 0.7 // of the counters, and of the LRU
)

// peer is the rate limiter of most Go servers, APM Server among them: a mutex, an LRU and golang.org/x/time/rate.
type peer struct {
	mu  sync.Mutex
	lru *simplelru.LRU[netip.Addr, *rate.Limiter]
}

func newPeer(size int) *peer {
	lru, err := simplelru.NewLRU[netip.Addr, *rate.Limiter](size, nil)
	if err != nil {
		panic(err)
	}
	return &peer{lru: lru}
}

func (p *peer) allow(addr netip.Addr) bool {
	p.mu.Lock()
	limiter, known := p.lru.Get(addr)
	if !known {
		limiter = rate.NewLimiter(benchLimit, 3*benchLimit)
		p.lru.Add(addr, limiter)
	}
	p.mu.Unlock()
	return limiter.AllowN(time.Now(), 1)
}

// setting is an engine and a peer that know n addresses, which are visited in a random order.
type setting struct {
	engine  *Engine
	peer    *peer
	addrs   []netip.Addr
	charges []Charge
	// cursor is where the next round begins: rounds are short, and must not visit the same few addresses again and again.
	cursor atomic.Int64
}

// from is where a round of n visits begins.
func (s *setting) from(n int) int { return int(s.cursor.Add(int64(n))) % len(s.addrs) }

// settings are made once a process: a million addresses take a while.
var settings sync.Map

func settingOf(b *testing.B, n int) *setting {
	made, _ := settings.LoadOrStore(n, sync.OnceValue(func() *setting {
		size := int(float64(n) / filled)
		engine, err := Parse(fmt.Sprintf(`
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    anonymous: {enabled: true, allow_service: [shop], rate_limit: {ip_limit: %d, event_limit: %d}}
`, size, benchLimit))
		if err != nil {
			b.Fatal(err)
		}
		s := &setting{engine: engine, peer: newPeer(size)}
		rng := rand.New(rand.NewPCG(3, 4))
		for _, i := range rng.Perm(n) {
			s.addrs = append(s.addrs, address(i))
		}
		// The order in which they are visited is not that in which they came.
		for _, i := range rng.Perm(n) {
			if !engine.AdmitAddr(s.addrs[i], 1).Allowed() || !s.peer.allow(s.addrs[i]) {
				b.Fatal("not admitted")
			}
		}
		for _, addr := range s.addrs {
			s.charges = append(s.charges, ChargeOf(addr, 1))
		}
		return s
	}))
	return made.(func() *setting)()
}

func (s *setting) contestant(who string) func(netip.Addr) bool {
	if who == "tollbar" {
		return func(addr netip.Addr) bool { return s.engine.AdmitAddr(addr, 1).Allowed() }
	}
	return s.peer.allow
}

// BenchmarkAdmit is an address in and a verdict out.
func BenchmarkAdmit(b *testing.B) {
	for _, ips := range []int{1000, 1_000_000} {
		for _, who := range []string{"tollbar", "mutex+lru+rate"} {
			b.Run(fmt.Sprintf("ips=%d/goroutines=1/%s", ips, who), func(b *testing.B) {
				s := settingOf(b, ips)
				allow := s.contestant(who)
				b.ResetTimer()
				b.ReportAllocs()
				refused := 0
				for i, j := 0, s.from(b.N); i < b.N; i++ {
					if !allow(s.addrs[j]) {
						refused++
					}
					if j++; j == len(s.addrs) {
						j = 0
					}
				}
				if refused != 0 {
					b.Fatalf("%d were refused", refused)
				}
			})
			b.Run(fmt.Sprintf("ips=%d/goroutines=2/%s", ips, who), func(b *testing.B) {
				s := settingOf(b, ips)
				allow := s.contestant(who)
				b.ResetTimer()
				b.ReportAllocs()
				var refused, started atomic.Int64
				begin := s.from(b.N)
				b.RunParallel(func(pb *testing.PB) {
					n := int64(0)
					// Each begins elsewhere.
					for j := (begin + int(started.Add(1))*len(s.addrs)/3) % len(s.addrs); pb.Next(); {
						if j++; j >= len(s.addrs) {
							j = 0
						}
						if !allow(s.addrs[j]) {
							n++
						}
					}
					refused.Add(n)
				})
				if refused.Load() != 0 {
					b.Fatalf("%d were refused", refused.Load())
				}
			})
		}
	}
}

// BenchmarkAdmitBatch is 64 addresses in and 64 verdicts out; the time is of one.
func BenchmarkAdmitBatch(b *testing.B) {
	const batch = 64
	for _, ips := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("ips=%d/tollbar", ips), func(b *testing.B) {
			s := settingOf(b, ips)
			b.ResetTimer()
			b.ReportAllocs()
			var charges [batch]Charge
			var verdicts [batch]Verdict
			refused := 0
			for i, j := 0, s.from(b.N); i < b.N; i += batch {
				// From addresses, as they come.
				for k := range charges {
					charges[k] = ChargeOf(s.addrs[j], 1)
					if j++; j == len(s.addrs) {
						j = 0
					}
				}
				if err := s.engine.AdmitAddrs(charges[:], verdicts[:]); err != nil {
					b.Fatal(err)
				}
				for k := range verdicts {
					if !verdicts[k].Allowed() {
						refused++
					}
				}
			}
			if refused != 0 {
				b.Fatalf("%d were refused", refused)
			}
		})
		b.Run(fmt.Sprintf("ips=%d/mutex+lru+rate", ips), func(b *testing.B) {
			s := settingOf(b, ips)
			b.ResetTimer()
			b.ReportAllocs()
			refused := 0
			for i, j := 0, s.from(b.N); i < b.N; i++ {
				if !s.peer.allow(s.addrs[j]) {
					refused++
				}
				if j++; j == len(s.addrs) {
					j = 0
				}
			}
			if refused != 0 {
				b.Fatalf("%d were refused", refused)
			}
		})
	}
}

// BenchmarkCheck is a whole request: address, agent and service in, a decision out. Beside it a call of the same signature in which C
// does nothing, and the engine's own time in a loop of C's.
func BenchmarkCheck(b *testing.B) {
	s := settingOf(b, 1000)
	question := Question{Resource: browser}
	b.Run("tollbar", func(b *testing.B) {
		b.ReportAllocs()
		for i, j := 0, s.from(b.N); i < b.N; i++ {
			if !s.engine.Check(Request{Peer: s.addrs[j]}, question).Allowed {
				b.Fatal("refused")
			}
			if j++; j == len(s.addrs) {
				j = 0
			}
		}
	})
	b.Run("empty-call", func(b *testing.B) {
		for i, j := 0, s.from(b.N); i < b.N; i++ {
			request := Request{Peer: s.addrs[j]}
			if s.engine.nothing(&request, &question).Allowed {
				b.Fatal("allowed")
			}
			if j++; j == len(s.addrs) {
				j = 0
			}
		}
	})
	b.Run("engine-alone", func(b *testing.B) {
		if n := s.engine.checkLoop(s.charges, b.N); n != uint64(b.N) {
			b.Fatalf("%d of %d were allowed", n, b.N)
		}
	})
	b.Run("batch", func(b *testing.B) {
		b.ReportAllocs()
		queries, decisions := make([]Query, 64), make([]Decision, 64)
		for i, j := 0, s.from(b.N); i < b.N; i += 64 {
			for k := range queries {
				queries[k].Peer, queries[k].Question = s.addrs[j], question
				if j++; j == len(s.addrs) {
					j = 0
				}
			}
			if err := s.engine.CheckBatch(queries, decisions); err != nil {
				b.Fatal(err)
			}
		}
	})
}

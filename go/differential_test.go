package tollbar

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// The same verdicts as golang.org/x/time/rate on 10,000 random traces. Tolerated is one thing only:
//
//   - Rounding at the edge. x/time/rate counts tokens in a float64, and advances them by float seconds, so what it holds is off by up to
//     some 1e-9 of an event a step; GCRA counts whole nanoseconds, and rounds the emission interval's multiples by less than one. Where
//     the batch is within `edge` events of what fits, either verdict is right: it differs by the events of a few nanoseconds. The verdict
//     is then tolerated, and the trace ends, since from there on the two have charged different batches.
//
// A clock that runs backwards is left out: there they differ on purpose (SPEC 7; Go issue 71360).
func TestVerdictsAreThoseOfXTimeRate(t *testing.T) {
	const traces, steps = 10_000, 60
	rng := rand.New(rand.NewPCG(1, 2))
	compared, edges, admitted := 0, 0, 0
	type shape struct{ limit, multiplier int }
	shapes := []shape{{1, 1}, {1, 3}, {3, 3}, {7, 5}, {300, 3}, {1000, 1}, {999, 7}, {12345, 2}, {1_000_000, 3}}
	engines := make([]*Engine, len(shapes))
	for i, s := range shapes {
		engines[i] = parse(t, limited(traces, s.limit, s.multiplier))
	}
	for trace := range traces {
		s, engine := shapes[trace%len(shapes)], engines[trace%len(shapes)]
		burst := s.limit * s.multiplier
		limiter := rate.NewLimiter(rate.Limit(s.limit), burst)
		addr := address(trace)
		// Both begin full. The engine's clock begins later than a full burst after 0, so that neither owes anything.
		now := uint64(3600e9) + rng.Uint64N(1e12)
		var n int
		var refused Verdict
		var refusedAt uint64
		for step := range steps {
			again := refused.RetryAfter() != 0 && refused.RetryAfter() != Never && rng.IntN(10) == 0
			switch rng.IntN(4) {
			case 0: // the same instant
			case 1:
				now += rng.Uint64N(uint64(1e9/s.limit) + 2)
			case 2:
				now += rng.Uint64N(uint64(3e9/s.limit) + 2)
			default:
				now += rng.Uint64N(uint64(s.multiplier)*1e9 + 1)
			}
			if again { // the refused batch once more, at the instant at which it fits, or two nanoseconds off
				now = refusedAt + uint64(refused.RetryAfter()) + rng.Uint64N(5) - 2
			} else {
				n = 1 + rng.IntN(max(burst/2, 1))
			}
			switch choice := rng.IntN(8); {
			case again:
			case choice == 0:
				n = burst
			case choice == 1:
				n = burst + 1 + rng.IntN(3)
			case choice <= 3:
				n = 1
			}
			instant := time.Unix(0, 0).Add(time.Duration(now))
			tokens := limiter.TokensAt(instant)
			theirs := limiter.AllowN(instant, n)
			refused = engine.AdmitAddrAt(addr, uint64(n), now)
			refusedAt = now
			ours := refused.Allowed()
			compared++
			if ours {
				admitted++
			}
			if ours == theirs {
				continue
			}
			// The events of two nanoseconds, and the error of a float64 that has held up to `burst` for `steps` steps.
			edge := 2e-9*float64(s.limit) + float64(steps)*float64(burst)*0x1p-52
			if difference := tokens - float64(n); difference > edge || difference < -edge {
				t.Fatalf("trace %d, step %d: %d events with %.12f left of %d at %d a second: Tollbar says %v, x/time/rate %v",
					trace, step, n, tokens, burst, s.limit, ours, theirs)
			}
			edges++
			break
		}
	}
	t.Logf("%d verdicts compared, %d of them admitted, %d traces ended at an edge", compared, admitted, edges)
	if compared < traces*steps/2 || admitted < compared/4 || admitted > compared*3/4 {
		t.Errorf("%d verdicts compared, %d of them admitted: too few to prove anything", compared, admitted)
	}
}

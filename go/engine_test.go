package tollbar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLayout(t *testing.T) {
	c, goes := layout()
	if !slices.Equal(c, goes) {
		t.Fatalf("C lays the shared structs out as %v, Go as %v", c, goes)
	}
}

func TestCheckDecides(t *testing.T) {
	engine := parse(t, shop)
	decision := engine.Check(Request{Peer: stranger}, Question{Resource: browser})
	if !decision.Allowed || decision.Method != MethodAnonymous || decision.Remaining() != 899 || decision.Burst() != 900 {
		t.Errorf("an allowed browser: %+v", decision)
	}
	decision = engine.Check(Request{Peer: stranger}, Question{Resource: Resource{"rum-js", "blog"}})
	err := decision.ErrFor(Resource{"rum-js", "blog"})
	if !errors.Is(err, ErrForbidden) || errors.Is(err, ErrRateLimited) || !strings.Contains(err.Error(), "blog") {
		t.Errorf("a service that is not allowed: %v", err)
	}
	decision = engine.Check(Request{Peer: stranger, Authorization: "Bearer wrong"}, Question{})
	if err := decision.Err(); !errors.Is(err, ErrUnauthenticated) || decision.WWWAuthenticate() == "" || decision.HTTPStatus != 401 {
		t.Errorf("a wrong token: %v, %+v", err, decision)
	}
	decision = engine.Check(Request{Peer: stranger, Headers: http.Header{"Authorization": {"Bearer correct-horse-battery-staple"}}}, Question{Action: Sourcemap})
	if err := decision.Err(); err != nil || decision.Method != MethodSecretToken || decision.Remaining() != Unlimited {
		t.Errorf("the token, among the headers: %v, %+v", err, decision)
	}
	if decision = engine.Check(Request{Peer: stranger}, Question{Action: 3}); decision.Allowed || decision.Err() == nil {
		t.Errorf("an action that stands for nothing: %+v", decision)
	}
	if decision = engine.Check(Request{}, Question{Resource: browser}); decision.Allowed || decision.Err() == nil {
		t.Errorf("no peer: %+v", decision)
	}
	if decision = engine.Check(Request{Peer: stranger}, Question{Resource: Resource{"rum-js", "\xff"}}); decision.HTTPStatus != 403 {
		t.Errorf("a name that is no UTF-8: %+v", decision)
	}
}

func TestErrorsTellWhenToRetry(t *testing.T) {
	engine := parse(t, limited(10, 2, 3))
	client := engine.AuthenticateAt(Request{Peer: stranger}, 0)
	if err := client.AdmitAt(6, 0).Err(); err != nil {
		t.Fatal(err)
	}
	err := client.AdmitAt(1, 0).Err()
	var limit *RateLimitError
	if !errors.As(err, &limit) || limit.RetryAfter != 500*time.Millisecond || !errors.Is(err, ErrRateLimited) {
		t.Errorf("one too many: %v", err)
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Decision.RetryAfterSeconds() != 1 {
		t.Errorf("as a refusal: %+v", refusal)
	}
	if err = client.AdmitAt(7, 0).Err(); !errors.As(err, &limit) || limit.RetryAfter != Never {
		t.Errorf("more than the burst: %v", err)
	}
	if err = engine.AdmitAddrAt(stranger, 1, 0).Err(); !errors.As(err, &limit) || limit.RetryAfter != 500*time.Millisecond {
		t.Errorf("by the address alone: %v", err)
	}
}

// The short way says what the long one does, single and in a batch, for every kind of configuration.
func TestAdmitAddrIsAuthenticateAndAdmit(t *testing.T) {
	for _, config := range []string{limited(10, 2, 3), "", "apm-server.auth.secret_token: correct-horse-battery-staple"} {
		long, short, batch := parse(t, config), parse(t, config), parse(t, config)
		verdicts := make([]Verdict, 1)
		for i := range 200 {
			addr, n, now := address(i%7), uint64(i%5), uint64(i)*1e8
			client := long.AuthenticateAt(Request{Peer: addr}, now)
			decision := client.AdmitAt(n, now)
			verdict := short.AdmitAddrAt(addr, n, now)
			if verdict.Reason != decision.Reason || verdict.Method != decision.Method || verdict.RetryAfter() != decision.RetryAfter() {
				t.Fatalf("step %d: %+v, but %+v", i, verdict, decision)
			}
			if err := batch.AdmitAddrsAt([]Charge{ChargeOf(addr, n)}, verdicts, now); err != nil || verdicts[0] != verdict {
				t.Fatalf("step %d: %+v, but %+v in a batch (%v)", i, verdict, verdicts[0], err)
			}
			if (verdict.Err() == nil) != (decision.Err() == nil) || kindOf(verdict.Err()) != kindOf(decision.Err()) {
				t.Fatalf("step %d: %v, but %v", i, verdict.Err(), decision.Err())
			}
		}
	}
	if addr := ChargeOf(stranger, 1).Addr(); addr.Unmap() != stranger {
		t.Errorf("the charge is of %v", addr)
	}
}

func kindOf(err error) error {
	for _, kind := range []error{ErrUnauthenticated, ErrForbidden, ErrRateLimited, ErrUnavailable} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

func TestBatchesAnswerAsSinglesDo(t *testing.T) {
	singles, batches := parse(t, shop+"tollbar.trusted_proxies: [10.0.0.0/8]\n"), parse(t, shop+"tollbar.trusted_proxies: [10.0.0.0/8]\n")
	queries := make([]Query, 150)
	for i := range queries {
		q := &queries[i]
		q.Peer = address(i % 3)
		q.Resource = []Resource{browser, {"rum-js", "blog"}, {}}[i%3]
		q.Authorization = []string{"", "", "", "Bearer correct-horse-battery-staple", "Bearer wrong"}[i%5]
		q.Cost = uint64(i % 400)
		q.Action = Action(i % 5) // 3 and 4 stand for nothing
		q.RUM = i%11 == 0
		switch i % 4 {
		case 0:
			q.Headers = http.Header{"X-Forwarded-For": {"192.0.2.1", "192.0.2.2, 10.1.1.1"}, "X-Real-Ip": {""}}
		case 1:
			q.Headers = http.Header{"Forwarded": {`for="[2001:db8::7]:80"`}, "X-Forwarded-For": {"192.0.2.9"}}
		}
	}
	decisions := make([]Decision, len(queries))
	if err := batches.CheckBatchAt(queries, decisions, 5); err != nil {
		t.Fatal(err)
	}
	for i := range queries {
		single := singles.CheckAt(queries[i].Request, queries[i].Question, 5)
		if decisions[i].Reason != single.Reason || decisions[i].ClientText() != single.ClientText() || decisions[i].RetryAfter() != single.RetryAfter() {
			t.Errorf("query %d: %+v in the batch, %+v alone", i, decisions[i], single)
		}
	}
	var mismatch *LengthError
	if err := batches.CheckBatch(queries, decisions[1:]); !errors.As(err, &mismatch) {
		t.Errorf("one place too few: %v", err)
	}
	if err := batches.AdmitAddrs(make([]Charge, 2), nil); !errors.As(err, &mismatch) {
		t.Errorf("no places: %v", err)
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	engine := parse(t, limited(1000, 1, 1)+"\n")
	forwarded := parse(t, shop+"tollbar.trusted_proxies: [203.0.113.0/24]\n")
	header := http.Header{"Authorization": {"Bearer correct-horse-battery-staple"}, "X-Forwarded-For": {"192.0.2.1"}}
	client := engine.Authenticate(Request{Peer: stranger})
	queries := make([]Query, 64)
	charges := make([]Charge, 64)
	for i := range queries {
		queries[i] = Query{Request{Peer: address(i)}, Question{Resource: browser}}
		charges[i] = ChargeOf(address(i), 1)
	}
	decisions, verdicts := make([]Decision, 64), make([]Verdict, 64)
	var allowed bool
	for name, call := range map[string]func(){
		"Check": func() {
			allowed = engine.Check(Request{Peer: stranger, Authorization: "Bearer x"}, Question{Resource: browser}).Allowed
		},
		"Check, refused": func() { allowed = engine.Check(Request{Peer: stranger}, Question{Resource: browser, Cost: 5}).Allowed },
		"Check, forwarded": func() {
			allowed = forwarded.Check(Request{Peer: stranger, Headers: header}, Question{Resource: browser}).Allowed
		},
		"Authenticate": func() { client = engine.Authenticate(Request{Peer: stranger}) },
		"Authorize":    func() { allowed = client.Authorize(Ingest, browser).Allowed },
		"Admit":        func() { allowed = client.Admit(1).Allowed },
		"Reserve":      func() { allowed = client.Reserve(1, time.Second).Allowed },
		"Client.Check": func() { allowed = client.Check(Question{Resource: browser}).Allowed },
		"AdmitAddr":    func() { allowed = engine.AdmitAddr(stranger, 1).Allowed() },
		"AdmitAddrs":   func() { engine.AdmitAddrs(charges, verdicts) },
		"CheckBatch":   func() { engine.CheckBatch(queries, decisions) },
		"AllowsOrigin": func() { allowed = engine.AllowsOrigin("https://shop.example") },
		"ParsePeer":    func() { allowed = ParsePeer("203.0.113.9:8200").IsValid() },
		"AdmitContext": func() { client.AdmitContext(context.Background(), 0) },
	} {
		if raceEnabled && name == "CheckBatch" {
			continue // under the race detector, a sync.Pool drops some of what it is given
		}
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	_ = allowed
}

func TestConfigErrorsNameAllProblemsAndNoSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tollbar.yml")
	os.WriteFile(file, []byte("apm-server.auth:\n  secret_tokn: correct-horse-battery-staple\n  anonymous.enabled: perhaps\n"), 0o600)
	_, err := Open(file)
	var wrong *ConfigError
	if !errors.As(err, &wrong) || len(wrong.Problems) != 2 {
		t.Fatalf("the error is %v", err)
	}
	first := wrong.Problems[0]
	if first.File == "" || first.Line != 2 || first.Key == "" || first.Accepted == "" || first.Hint == "" || !quiet(err.Error()) {
		t.Errorf("the first problem is %+v", first)
	}
	if _, err = Open(file + ".none"); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "tollbar.yml.none") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err = New(Config{SecretTokens: []string{"a"}, EventLimit: 1, TrustedProxies: make([]netip.Prefix, 1)}); err == nil {
		t.Errorf("a network that is none: %v", err)
	}
}

func TestAConfigIsWhatItsYAMLIs(t *testing.T) {
	yaml := parse(t, `
apm-server:
  auth:
    secret_token: [one-secret-token, another-secret-token]
    anonymous: {enabled: true, allow_agent: [a, b], allow_service: [s], rate_limit: {ip_limit: 16, event_limit: 2}}
  rum: {enabled: true, allow_origins: ["https://*.shop.example"], allow_headers: [X-Trace, X-More]}
tollbar: {trusted_proxies: [10.0.0.0/8, "2001:db8::/32"], ipv6_prefix: 48, burst_multiplier: 5}
`)
	built, err := New(Config{
		SecretTokens: []string{"one-secret-token", "another-secret-token"}, Anonymous: On, AllowAgent: []string{"a", "b"},
		AllowService: []string{"s"}, IPLimit: 16, EventLimit: 2, RUM: true, BurstMultiplier: 5, IPv6Prefix: 48,
		RUMAllowOrigins: []string{"https://*.shop.example"}, RUMAllowHeaders: []string{"X-Trace", "X-More"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer built.Close()
	if err := built.Reload(); err == nil {
		t.Error("an engine without a file can't read it again")
	}
	for _, q := range []Query{
		{Request{Peer: address(1), Authorization: "Bearer another-secret-token"}, Question{}},
		{Request{Peer: stranger, Authorization: "Bearer third"}, Question{}},
		{Request{Peer: stranger}, Question{Resource: Resource{"b", "s"}, RUM: true, Cost: 10}},
		{Request{Peer: stranger}, Question{Resource: Resource{"b", "s"}, Cost: 1}},
		{Request{Peer: stranger}, Question{Resource: Resource{"c", "s"}, Peek: true}},
		{Request{Peer: address(1), Headers: http.Header{"Forwarded": {`for="[2001:db9:1:2::1]"`}}}, Question{Resource: Resource{"b", "s"}}},
	} {
		a, b := yaml.CheckAt(q.Request, q.Question, 0), built.CheckAt(q.Request, q.Question, 0)
		if a != b {
			t.Errorf("%+v: %+v by YAML, %+v built", q, a, b)
		}
	}
	for _, engine := range []*Engine{yaml, built} {
		if !engine.AllowsOrigin("https://www.shop.example") || engine.AllowsOrigin("https://shop.example.evil.example") || engine.AllowsOrigin("") {
			t.Error("origins are not as configured")
		}
		if headers := engine.AllowHeaders(); !slices.Equal(headers, []string{"X-Trace", "X-More"}) {
			t.Errorf("headers besides the agents': %q", headers)
		}
	}
}

func TestCrossOriginRulesFollowReloads(t *testing.T) {
	engine := parse(t, shop)
	if !engine.AllowsOrigin("https://evil.example") || !engine.AllowsOrigin("") || engine.AllowHeaders() != nil {
		t.Error("by default all origins are allowed, and no more headers")
	}
	if err := engine.ReloadYAML(shop + "apm-server.rum: {allow_origins: ['https://shop.example'], allow_headers: [X-Trace]}\n"); err != nil {
		t.Fatal(err)
	}
	if engine.AllowsOrigin("https://evil.example") || engine.AllowsOrigin("") || !engine.AllowsOrigin("HTTPS://Shop.Example") {
		t.Error("the reload is not followed")
	}
	if headers := engine.AllowHeaders(); !slices.Equal(headers, []string{"X-Trace"}) {
		t.Errorf("headers besides the agents': %q", headers)
	}
}

func TestAdmitContextWaitsForRoom(t *testing.T) {
	engine := parse(t, limited(10, 20, 1))
	client := engine.Authenticate(Request{Peer: stranger})
	begun := time.Now()
	for range 4 {
		if err := client.AdmitContext(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	// 20 at once, and 20 more at 20 a second.
	if took := time.Since(begun); took < 900*time.Millisecond {
		t.Errorf("40 events took %v", took)
	}
	if err := client.AdmitContext(t.Context(), 21); !errors.Is(err, ErrRateLimited) {
		t.Errorf("more than the burst: %v", err)
	}
	client.Reserve(20, time.Second)
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := client.AdmitContext(soon, 20); err == nil {
		t.Error("what can't fit before the deadline is refused")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.AdmitContext(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestAFloodIsLimitedByTheRealClock(t *testing.T) {
	engine := parse(t, limited(10, 100, 1))
	begun, admitted := time.Now(), 0
	for time.Since(begun) < 300*time.Millisecond {
		if engine.AdmitAddr(stranger, 1).Allowed() {
			admitted++
		}
	}
	most := 100 + int(time.Since(begun).Seconds()*100) + 1
	if admitted < 100 || admitted > most {
		t.Errorf("%d events were admitted, at most %d fit", admitted, most)
	}
}

func TestReloadKeepsCountersAndRefusesWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tollbar.yml")
	os.WriteFile(file, []byte(limited(10, 2, 3)), 0o600)
	engine, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if !engine.AdmitAddrAt(stranger, 6, 0).Allowed() {
		t.Fatal("the burst")
	}
	if err := engine.Reload(); err != nil {
		t.Fatal(err)
	}
	if engine.AdmitAddrAt(stranger, 1, 0).Allowed() {
		t.Error("a reload refilled a counter")
	}
	os.WriteFile(file, []byte("apm-server.auth.secret_tokn: correct-horse-battery-staple"), 0o600)
	if err := engine.Reload(); err == nil || !quiet(err.Error()) {
		t.Errorf("a wrong file: %v", err)
	}
	records, err := engine.Reloads()
	if err != nil || len(records) != 2 || !records[0].Taken || records[1].Taken || len(records[1].Problems) != 1 {
		t.Errorf("the reloads are %+v (%v)", records, err)
	}
	if stats := engine.Stats(); stats.Generation != 2 || stats.ReloadErrors != 1 || stats.Allowed[MethodAnonymous] != 1 || stats.Refused[ReasonRateLimited] != 1 {
		t.Errorf("the statistics are %+v", stats)
	}
	refusals := engine.RecentRefusals()
	if len(refusals) != 1 || refusals[0].Client.Addr() != stranger || refusals[0].Reason != ReasonRateLimited {
		t.Errorf("the refusals are %+v", refusals)
	}
	if page := engine.Prometheus(); !strings.Contains(page, "tollbar") {
		t.Errorf("the page for Prometheus is %q", page)
	}
	if files := engine.Files(); !slices.Equal(files, []string{file}) {
		t.Errorf("the files are %q", files)
	}
}

func TestWatchReloadsWhatChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tollbar.yml")
	os.WriteFile(file, []byte("apm-server.auth.secret_token: of-last-year"), 0o600)
	engine, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.Watch(WatchOptions{Debounce: 10 * time.Millisecond, Poll: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, []byte("apm-server.auth.secret_token: of-this-year"), 0o600)
	for begun := time.Now(); !engine.Check(Request{Peer: stranger, Authorization: "Bearer of-this-year"}, Question{}).Allowed; {
		if time.Since(begun) > time.Minute {
			t.Fatal("the file was not read")
		}
		time.Sleep(5 * time.Millisecond)
	}
	engine.StopWatching()
	if err := parse(t, shop).Watch(WatchOptions{}); err == nil {
		t.Error("there is no file to watch")
	}
}

func TestAVerifierIsWaitedForWithoutBlocking(t *testing.T) {
	engine := parse(t, "apm-server.auth.api_key.enabled: true")
	var asked atomic.Int32
	release := make(chan struct{})
	verifier := func(id string, key []byte) (Privileges, error) {
		asked.Add(1)
		<-release
		switch id {
		case "known":
			return EventWrite, nil
		case "down":
			return 0, errors.New("down")
		case "panics":
			panic("in the verifier")
		}
		return 0, nil
	}
	if err := engine.SetVerifier(verifier); err != nil {
		t.Fatal(err)
	}
	known := Request{Peer: stranger, Authorization: "ApiKey a25vd246c2VjcmV0LXNlY3JldC1zZWNyZXQ="}
	if decision := engine.Check(known, Question{}); !decision.Pending() || decision.HTTPStatus != 503 {
		t.Fatalf("before the verdict: %+v", decision)
	}
	gone, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if client, err := engine.Verify(gone, known); !errors.Is(err, context.DeadlineExceeded) || !client.Pending() {
		t.Errorf("who stops waiting: %v", err)
	}
	threads, _ := runtime.ThreadCreateProfile(nil)
	var waiting sync.WaitGroup
	for range 200 {
		waiting.Go(func() {
			client, err := engine.Verify(t.Context(), known)
			if decision := client.Check(Question{}); err != nil || !decision.Allowed || decision.Method != MethodAPIKey {
				t.Errorf("a valid key: %v, %+v", err, decision)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	if now, _ := runtime.ThreadCreateProfile(nil); now > threads+50 {
		t.Errorf("200 that wait took %d threads", now-threads)
	}
	close(release)
	waiting.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("one key was verified %d times", n)
	}
	for authorization, status := range map[string]uint16{
		"ApiKey ZG93bjpzZWNyZXQtc2VjcmV0LXNlY3JldA==":     503,
		"ApiKey cGFuaWNzOnNlY3JldC1zZWNyZXQtc2VjcmV0":     503,
		"ApiKey dW5rbm93bjpzZWNyZXQtc2VjcmV0LXNlY3JldA==": 401,
	} {
		client, err := engine.Verify(t.Context(), Request{Peer: stranger, Authorization: authorization})
		if decision := client.Identified(); err != nil || decision.HTTPStatus != status {
			t.Errorf("%s: %v, %+v", authorization, err, decision)
		}
	}
	if stats := engine.Stats(); stats.VerificationsUnavailable != 2 || stats.VerificationError == "" {
		t.Errorf("the statistics are %+v", stats)
	}
}

func TestStormWithReloadsAndClose(t *testing.T) {
	engine, err := Parse(limited(64, 1000, 1))
	if err != nil {
		t.Fatal(err)
	}
	var storm sync.WaitGroup
	stop := make(chan struct{})
	var admitted atomic.Int64
	begun := time.Now()
	for worker := range 8 {
		storm.Go(func() {
			client := engine.Authenticate(Request{Peer: address(worker)})
			queries, decisions := make([]Query, 9), make([]Decision, 9)
			charges, verdicts := make([]Charge, 9), make([]Verdict, 9)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				addr := address(i % 200)
				if engine.Check(Request{Peer: addr}, Question{Resource: browser}).Allowed {
					admitted.Add(1)
				}
				if engine.AdmitAddr(addr, 2).Allowed() {
					admitted.Add(2)
				}
				if client.Admit(3).Allowed {
					admitted.Add(3)
				}
				for j := range queries {
					queries[j] = Query{Request{Peer: address(i + j)}, Question{Resource: browser}}
					charges[j] = ChargeOf(address(i+j), 1)
				}
				if engine.CheckBatch(queries, decisions) == nil {
					for j := range decisions {
						if decisions[j].Allowed {
							admitted.Add(1)
						}
					}
				}
				if engine.AdmitAddrs(charges, verdicts) == nil {
					for _, verdict := range verdicts {
						if verdict.Allowed() {
							admitted.Add(1)
						}
					}
				}
			}
		})
	}
	for i := range 30 {
		if err := engine.ReloadYAML(limited(32+i%33, 500+i*17%501, 1)); err != nil {
			t.Fatal(err)
		}
		engine.Stats()
		engine.RecentRefusals()
		time.Sleep(3 * time.Millisecond)
	}
	elapsed := time.Since(begun)
	total := admitted.Load()
	// P1 for the larger of all configurations; the counting lags behind by less than what is under way.
	if most := int64(64 * (1000 + 1000*elapsed.Seconds())); total == 0 || total > most {
		t.Errorf("%d events were admitted, at most %d fit", total, most)
	}
	engine.Close()
	time.Sleep(5 * time.Millisecond)
	if engine.Check(Request{Peer: stranger}, Question{}).Allowed || engine.AdmitAddr(stranger, 1).Allowed() {
		t.Error("a closed engine lets someone in")
	}
	close(stop)
	storm.Wait()
}

// The profiler's signals, preemption and the garbage collector meet goroutines in the midst of calls, whichever way these go, and stacks that
// move between them.
func TestCallsUnderSignals(t *testing.T) {
	engine := parse(t, shop)
	// More often than anybody would.
	runtime.SetCPUProfileRate(2000)
	defer runtime.SetCPUProfileRate(0)
	var calls sync.WaitGroup
	var wrong atomic.Int64
	end := time.Now().Add(500 * time.Millisecond)
	for worker := range 4 {
		calls.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				if !deeper(i%50, func() bool {
					token := engine.Check(Request{Peer: stranger, Authorization: "Bearer correct-horse-battery-staple"}, Question{})
					agent := fmt.Sprint("agent ", worker, " ", i)
					other := engine.Check(Request{Peer: address(i)}, Question{Resource: Resource{agent, "shop"}})
					return token.Allowed &&
						(other.Reason == ReasonAgentNotAllowed || other.Reason == ReasonRateLimited) && engine.AdmitAddr(address(i), 1).Method == MethodAnonymous
				}) {
					wrong.Add(1)
				}
			}
		})
	}
	for time.Now().Before(end) {
		runtime.GC()
		runtime.Stack(make([]byte, 64<<10), true)
	}
	calls.Wait()
	if wrong.Load() != 0 {
		t.Errorf("%d decisions were wrong", wrong.Load())
	}
}

// deeper calls f with a stack that is some kilobytes deeper, and grew on the way.
func deeper(levels int, f func() bool) bool {
	var room [512]byte
	if levels > 0 {
		return deeper(levels-1, f) && room[levels] == 0
	}
	return f()
}

func TestLongTextsAreDecidedAsShortOnesAre(t *testing.T) {
	engine := parse(t, shop)
	for _, length := range []int{brief - 10, brief, brief + 1, 1 << 20} {
		long := strings.Repeat("x", length)
		decision := engine.Check(Request{Peer: stranger, Authorization: "Bearer " + long}, Question{})
		client := engine.Authenticate(Request{Peer: stranger, Authorization: "Bearer " + long})
		if decision.Reason != ReasonInvalidToken || client.Identified().Reason != ReasonInvalidToken {
			t.Errorf("a token of %d bytes: %v, %v", length, decision, client.Identified())
		}
		client = engine.Authenticate(Request{Peer: stranger})
		for _, decision := range []Decision{
			engine.Check(Request{Peer: stranger}, Question{Resource: Resource{"rum-js", long}}),
			client.Authorize(Ingest, Resource{"rum-js", long}),
			client.Check(Question{Resource: Resource{"rum-js", long}}),
		} {
			if decision.Reason != ReasonServiceNotAllowed {
				t.Errorf("a service of %d bytes: %v", length, decision)
			}
		}
	}
}

func TestAClosedEngineRefusesEverything(t *testing.T) {
	engine := parse(t, "")
	client := engine.Authenticate(Request{Peer: stranger})
	engine.Close()
	engine.Close()
	if err := engine.Check(Request{Peer: stranger}, Question{}).Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("Check: %v", err)
	}
	if err := client.Admit(1).Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("Admit: %v", err)
	}
	if err := engine.AdmitAddr(stranger, 1).Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("AdmitAddr: %v", err)
	}
	if err := engine.AdmitAddrs(make([]Charge, 1), make([]Verdict, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("AdmitAddrs: %v", err)
	}
	for _, err := range []error{engine.Reload(), engine.ReloadYAML(""), engine.Watch(WatchOptions{}), engine.SetVerifier(nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
	if _, err := engine.Reloads(); !errors.Is(err, ErrClosed) {
		t.Errorf("Reloads: %v", err)
	}
	if engine.Stats().Generation != 0 || engine.RecentRefusals() != nil || engine.Prometheus() != "" || engine.AllowsOrigin("") || engine.AllowHeaders() != nil {
		t.Error("there is something to tell of a closed engine")
	}
	var nobody Client
	if decision := nobody.Admit(1); decision.Allowed || nobody.Identified().Allowed {
		t.Errorf("the zero client: %+v", decision)
	}
	if other := parse(t, ""); true {
		stolen := Client{other, client.opaque}
		if stolen.Admit(1).Allowed {
			t.Error("another engine's client")
		}
	}
}

func TestAnEngineThatIsLetGoIsFreed(t *testing.T) {
	freed := make(chan struct{})
	func() {
		engine := parse0(t)
		verifier := &struct{ name string }{"kept by C until the engine is freed"}
		engine.SetVerifier(func(string, []byte) (Privileges, error) { return 0, errors.New(verifier.name) })
		runtime.AddCleanup(verifier, func(c chan struct{}) { close(c) }, freed)
	}()
	for begun := time.Now(); ; {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("the engine was not freed: its verifier is still held")
		}
	}
}

func parse0(t *testing.T) *Engine {
	file := filepath.Join(t.TempDir(), "tollbar.yml")
	os.WriteFile(file, []byte("apm-server.auth.api_key.enabled: true"), 0o600)
	engine, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Watch(WatchOptions{}); err != nil {
		t.Fatal(err)
	}
	return engine
}

package httpgate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"tollbar"
)

const config = `
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    api_key.enabled: true
    anonymous: {enabled: true, allow_service: [shop], rate_limit: {event_limit: 2}}
tollbar: {trusted_proxies: [10.0.0.0/8]}
`

func engine(t *testing.T) *tollbar.Engine {
	t.Helper()
	engine, err := tollbar.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	err = engine.SetVerifier(func(id string, _ []byte) (tollbar.Privileges, error) {
		if id == "known" {
			return tollbar.EventWrite, nil
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// welcome answers 202 with the client's method.
var welcome = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	client, ok := tollbar.FromContext(r.Context())
	if ok {
		w.Header().Set("Method", client.Method().String())
	}
	w.WriteHeader(http.StatusAccepted)
})

func ask(t *testing.T, gate http.Handler, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "203.0.113.9:4711"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Peer" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	gate.ServeHTTP(w, r)
	return w.Result()
}

func TestWhoIsLetInAndWhoIsNot(t *testing.T) {
	gate := Handler(engine(t), welcome)
	for _, c := range []struct {
		method, target string
		headers        []string
		status         int
		identified     string
	}{
		{"POST", "/intake/v2/events", nil, 202, "anonymous"},
		{"POST", "/intake/v2/events", []string{"Authorization", "Bearer correct-horse-battery-staple"}, 202, "secret_token"},
		{"POST", "/intake/v2/events", []string{"Authorization", "ApiKey a25vd246c2VjcmV0LXNlY3JldC1zZWNyZXQ="}, 202, "api_key"},
		{"POST", "/intake/v2/events", []string{"Authorization", "ApiKey bm9ib2R5OnNlY3JldC1zZWNyZXQtc2VjcmV0"}, 401, ""},
		{"POST", "/intake/v2/events", []string{"Authorization", "Bearer wrong"}, 401, ""},
		{"POST", "/intake/v3/rum/events", nil, 403, ""},
		{"OPTIONS", "/intake/v3/rum/events", []string{"Access-Control-Request-Method", "POST"}, 202, ""},
		{"OPTIONS", "/intake/v3/rum/events", nil, 403, ""},
		{"POST", "/assets/v1/sourcemaps", nil, 403, ""},
		{"POST", "/assets/v1/sourcemaps", []string{"Authorization", "Bearer correct-horse-battery-staple"}, 202, "secret_token"},
		{"POST", "/assets/v1/sourcemaps", []string{"Authorization", "ApiKey a25vd246c2VjcmV0LXNlY3JldC1zZWNyZXQ="}, 403, ""},
		{"GET", "/anything/else", []string{"Authorization", "Bearer wrong"}, 401, ""},
	} {
		response := ask(t, gate, c.method, c.target, c.headers...)
		if response.StatusCode != c.status || response.Header.Get("Method") != c.identified {
			t.Errorf("%s %s %v: %d %q, expected %d %q", c.method, c.target, c.headers, response.StatusCode, response.Header.Get("Method"), c.status, c.identified)
		}
	}
}

func TestARefusalIsAProblemDocument(t *testing.T) {
	gate := Handler(engine(t), welcome)
	response := ask(t, gate, "POST", "/v1/traces", "Authorization", "Bearer wrong")
	if response.Header.Get("WWW-Authenticate") == "" || response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the headers are %v", response.Header)
	}
	for range 6 {
		if response = ask(t, gate, "POST", "/v1/traces"); response.StatusCode != 202 {
			t.Fatalf("within the burst: %d", response.StatusCode)
		}
	}
	response = ask(t, gate, "POST", "/v1/traces")
	var document map[string]any
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 429 || response.Header.Get("Retry-After") != "1" || document["reason"] != "rate_limited" || document["status"] != 429.0 {
		t.Errorf("one too many: %d %v %v", response.StatusCode, response.Header, document)
	}
}

func TestForwardingHeadersCountBehindATrustedProxyOnly(t *testing.T) {
	gate := Handler(engine(t), welcome)
	for range 6 {
		ask(t, gate, "POST", "/v1/traces", "Peer", "10.1.2.3:80", "X-Forwarded-For", "192.0.2.1")
	}
	if status := ask(t, gate, "POST", "/v1/traces", "Peer", "192.0.2.1:80", "X-Forwarded-For", "192.0.2.2").StatusCode; status != 429 {
		t.Errorf("the client itself, which claims to be another one: %d", status)
	}
	if status := ask(t, gate, "POST", "/v1/traces", "Peer", "10.1.2.3:80", "X-Forwarded-For", "192.0.2.2").StatusCode; status != 202 {
		t.Errorf("another client of the proxy: %d", status)
	}
	if status := ask(t, gate, "POST", "/v1/traces", "Peer", "@").StatusCode; status != 202 {
		t.Errorf("a Unix socket: %d", status)
	}
}

func TestOptions(t *testing.T) {
	rules := map[string]Rule{
		"/free":  {Free: true},
		"/dear":  {Cost: 7},
		"/named": {Resource: Names("X-Agent", "X-Service")},
		"/query": {Action: tollbar.AgentConfig, Resource: ServiceOfQuery},
	}
	gate := Handler(engine(t), welcome,
		WithRules(rules, nil),
		WithSkip(func(r *http.Request) bool { return r.URL.Path == "/health" }),
		WithPeer(func(r *http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.7") }),
		WithDenial(func(w http.ResponseWriter, _ *http.Request, refusal *tollbar.Refusal) {
			w.WriteHeader(int(refusal.Decision.HTTPStatus))
			w.Write([]byte("no: " + refusal.Error()))
		}))
	for _, c := range []struct {
		target  string
		headers []string
		status  int
	}{
		{"/health", []string{"Authorization", "Bearer wrong"}, 202},
		{"/unlisted", []string{"Authorization", "Bearer wrong"}, 202},
		{"/free", nil, 202}, {"/free", nil, 202}, {"/free", nil, 202}, {"/free", nil, 202}, {"/free", nil, 202},
		{"/free", []string{"Authorization", "Bearer wrong"}, 401},
		{"/dear", nil, 429},
		{"/named", []string{"X-Agent", "rum-js", "X-Service", "shop"}, 202},
		{"/named", []string{"X-Agent", "rum-js", "X-Service", "blog"}, 403},
		{"/query?service.name=shop", nil, 202},
		{"/query?service.name=blog", nil, 403},
	} {
		response := ask(t, gate, "POST", c.target, c.headers...)
		if response.StatusCode != c.status {
			t.Errorf("%s %v: %d, expected %d", c.target, c.headers, response.StatusCode, c.status)
		}
		if c.status >= 400 && response.Header.Get("Content-Type") == "application/problem+json" {
			t.Errorf("%s: worded by the default", c.target)
		}
	}
}

func TestAClosedEngineLetsNobodyIn(t *testing.T) {
	engine := engine(t)
	gate := Handler(engine, welcome)
	engine.Close()
	if status := ask(t, gate, "POST", "/v1/traces").StatusCode; status != 503 {
		t.Errorf("closed: %d", status)
	}
}

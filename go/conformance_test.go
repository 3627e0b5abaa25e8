package tollbar

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func vectors(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "conformance", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// octets is text, or {"hex": ...}.
type octets string

func (o *octets) UnmarshalJSON(data []byte) error {
	var coded struct{ Hex string }
	if json.Unmarshal(data, &coded) == nil {
		raw, err := hex.DecodeString(coded.Hex)
		*o = octets(raw)
		return err
	}
	return json.Unmarshal(data, (*string)(o))
}

type step struct {
	Authorization *octets
	Peer          string
	Headers       [][2]octets
	Action        string
	Agent         *string
	Service       *string
	RUM           bool
	Cost          *uint64
	Now           *uint64
	Expect        map[string]any
}

func (s *step) request() Request {
	request := Request{Peer: stranger, Headers: headers(s.Headers)}
	if s.Peer != "" {
		request.Peer = ParsePeer(s.Peer)
	}
	if s.Authorization != nil {
		request.Authorization = string(*s.Authorization)
	}
	return request
}

func headers(pairs [][2]octets) map[string][]string {
	found := map[string][]string{}
	for _, pair := range pairs {
		name := strings.ToLower(string(pair[0]))
		found[name] = append(found[name], string(pair[1]))
	}
	return found
}

func (s *step) question(t *testing.T) Question {
	actions := map[string]Action{"": Ingest, "ingest": Ingest, "agent_config": AgentConfig, "sourcemap": Sourcemap}
	action, known := actions[s.Action]
	if !known {
		t.Fatalf("unknown action %q", s.Action)
	}
	question := Question{Action: action, RUM: s.RUM}
	if s.Agent != nil {
		question.Agent = *s.Agent
	}
	if s.Service != nil {
		question.Service = *s.Service
	}
	if s.Cost != nil {
		question.Cost, question.Peek = *s.Cost, *s.Cost == 0
	}
	return question
}

// said is what a decision says of what the vectors name.
func said(d *Decision, resource Resource, key string) any {
	switch key {
	case "message":
		return d.Message(resource)
	case "status":
		return float64(d.HTTPStatus)
	case "grpc_status":
		return float64(d.GRPCStatus)
	case "reason":
		return d.Reason.String()
	case "method":
		if d.Method == MethodUnidentified {
			return nil
		}
		return d.Method.String()
	case "remaining":
		if d.Remaining() == Unlimited {
			return nil
		}
		return float64(d.Remaining())
	case "client":
		return d.ClientText()
	case "retry_after_ns":
		// None of what fits now, and of what never does.
		if d.RetryAfter() == 0 || d.RetryAfter() == Never {
			return nil
		}
		return float64(d.retryAfterNs)
	case "www_authenticate":
		return d.WWWAuthenticate() != ""
	}
	return fmt.Errorf("%q is not known here", key)
}

func TestConformanceDecisions(t *testing.T) {
	for _, file := range []string{"decisions.json", "gcra.json"} {
		var cases []struct {
			Name   string
			Config string
			Steps  []step
		}
		vectors(t, file, &cases)
		if len(cases) == 0 {
			t.Fatalf("%s is empty", file)
		}
		for _, c := range cases {
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				single, batch := parse(t, c.Config), parse(t, c.Config)
				for i, s := range c.Steps {
					request, question := s.request(), s.question(t)
					var decisions [1]Decision
					var decision Decision
					if s.Now != nil {
						decision = single.CheckAt(request, question, *s.Now)
						batch.CheckBatchAt([]Query{{request, question}}, decisions[:], *s.Now)
					} else {
						decision = single.Check(request, question)
						batch.CheckBatch([]Query{{request, question}}, decisions[:])
					}
					for key, expected := range s.Expect {
						if found := said(&decision, question.Resource, key); found != expected {
							t.Errorf("step %d: %s is %v, expected %v", i, key, found, expected)
						}
						if found := said(&decisions[0], question.Resource, key); found != expected {
							t.Errorf("step %d, in a batch: %s is %v, expected %v", i, key, found, expected)
						}
					}
				}
			})
		}
	}
}

func TestConformanceClientIP(t *testing.T) {
	var file struct {
		Vectors []struct {
			Name           string
			Peer           string
			TrustedProxies []string    `json:"trusted_proxies"`
			IPv6Prefix     int         `json:"ipv6_prefix"`
			Headers        [][2]octets `json:"headers"`
			Client         string
		}
	}
	vectors(t, "client_ip.json", &file)
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			proxies, _ := json.Marshal(v.TrustedProxies)
			engine := parse(t, fmt.Sprintf("tollbar: {trusted_proxies: %s, ipv6_prefix: %d}", proxies, v.IPv6Prefix))
			request := Request{Peer: ParsePeer(v.Peer), Headers: headers(v.Headers)}
			decision := engine.Check(request, Question{})
			if found := decision.ClientText(); found != v.Client {
				t.Errorf("the client is %s, expected %s", found, v.Client)
			}
			client := engine.Authenticate(request)
			decision = client.Identified()
			if found := decision.ClientText(); found != v.Client {
				t.Errorf("in steps, the client is %s, expected %s", found, v.Client)
			}
		})
	}
}

// What a header presents can be seen through the engine by what becomes of it: the token that it presents is one that is valid.
func TestConformanceAuthorization(t *testing.T) {
	var file struct {
		Vectors []struct {
			Name   string
			Header *octets
			Expect octets
		}
	}
	vectors(t, "authorization.json", &file)
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	const anonymous = "apm-server.auth: {secret_token: some-other-token, anonymous: {enabled: true, allow_agent: []}, api_key.enabled: true}"
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			presented := make(chan string, 1)
			engine := parse(t, anonymous)
			if err := engine.SetVerifier(func(id string, key []byte) (Privileges, error) {
				presented <- base64.StdEncoding.EncodeToString([]byte(id + ":" + string(key)))
				return 0, nil
			}); err != nil {
				t.Fatal(err)
			}
			request := Request{Peer: stranger}
			if v.Header != nil {
				request.Authorization = string(*v.Header)
			}
			decision := engine.Check(request, Question{})
			kind, credential, _ := strings.Cut(string(v.Expect), ":")
			switch kind {
			case "none":
				if decision.Method != MethodAnonymous {
					t.Errorf("expected an anonymous client, got %s", decision.Reason)
				}
			case "unknown":
				if decision.Reason != ReasonUnknownScheme {
					t.Errorf("expected an unknown scheme, got %s", decision.Reason)
				}
			case "bearer":
				if decision.Reason != ReasonInvalidToken {
					t.Errorf("expected a wrong token, got %s", decision.Reason)
				}
				known, err := New(Config{SecretTokens: []string{credential}})
				if err != nil {
					return // no token that a configuration may have
				}
				defer known.Close()
				if decision := known.Check(request, Question{}); decision.Method != MethodSecretToken {
					t.Errorf("with that token configured: %s", decision.Reason)
				}
			case "api_key":
				if decision.Reason == ReasonPending {
					if _, err := engine.Verify(t.Context(), request); err != nil {
						t.Fatal(err)
					}
					select {
					case found := <-presented:
						if strings.TrimRight(found, "=") != strings.TrimRight(credential, "=") {
							t.Errorf("the verifier saw %q, expected %q", found, credential)
						}
					case <-time.After(time.Minute):
						t.Error("the verifier was not asked")
					}
				} else if decision.Reason != ReasonInvalidAPIKey {
					t.Errorf("expected an API key, got %s", decision.Reason)
				}
			default:
				t.Fatalf("unknown expectation %q", v.Expect)
			}
		})
	}
}

func TestConformanceConfig(t *testing.T) {
	var cases []struct {
		Name     string
		YAML     string
		Env      map[string]string
		Files    map[string]any
		OK       map[string]string
		Problems []map[string]any
		Warnings []any
	}
	vectors(t, "config.json", &cases)
	if len(cases) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range cases {
		if c.Files != nil {
			continue // run by core, which reads files
		}
		if strings.Contains(c.YAML, "/etc/pki/") {
			continue // of its values only: an engine reads the certificates, which are not there
		}
		t.Run(c.Name, func(t *testing.T) {
			for name, value := range c.Env {
				t.Setenv(name, value)
			}
			engine, err := Parse(c.YAML)
			var refused *ConfigError
			switch {
			case err == nil && c.OK != nil:
				if found := engine.Warnings(); len(found) != len(c.Warnings) {
					t.Errorf("the warnings are %q, expected %v", found, c.Warnings)
				}
				engine.Close()
			case !errors.As(err, &refused) || c.OK != nil:
				t.Fatalf("the error is %v", err)
			case len(refused.Problems) != len(c.Problems):
				t.Errorf("the problems are %v, expected %v", refused.Problems, c.Problems)
			default:
				for i, expected := range c.Problems {
					encoded, _ := json.Marshal(refused.Problems[i])
					found := map[string]any{}
					json.Unmarshal(encoded, &found)
					for key, value := range expected {
						if value == nil {
							continue // Go shows none as empty
						}
						if found[key] != value {
							t.Errorf("problem %d: %s is %v, expected %v", i, key, found[key], value)
						}
					}
				}
			}
		})
	}
}

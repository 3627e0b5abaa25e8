package otelcolauth

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"tollbar"
)

const config = `
apm-server.auth:
  secret_token: correct-horse-battery-staple
  api_key.enabled: true
  anonymous: {enabled: true, rate_limit: {event_limit: 2}}
`

// made is the extension as a collector makes and starts it.
func made(t *testing.T, change func(*Config)) extensionauth.Server {
	t.Helper()
	factory := NewFactory()
	settings := factory.CreateDefaultConfig().(*Config)
	change(settings)
	made, err := factory.Create(t.Context(), extension.Settings{ID: component.NewID(Type)}, settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Shutdown(context.Background()) })
	return made.(extensionauth.Server)
}

func from(ctx context.Context, ip string) context.Context {
	return client.NewContext(ctx, client.Info{Addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: 4711}})
}

func TestWhoIsLetIn(t *testing.T) {
	server := made(t, func(c *Config) { c.YAML = config })
	err := server.(*Extension).Engine().SetVerifier(func(id string, _ []byte) (tollbar.Privileges, error) {
		if id == "known" {
			return tollbar.EventWrite, nil
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		sources map[string][]string
		method  string
		code    codes.Code
	}{
		{"the token, over HTTP", map[string][]string{"Authorization": {"Bearer correct-horse-battery-staple"}}, "secret_token", codes.OK},
		{"the token, over gRPC", map[string][]string{"authorization": {"Bearer correct-horse-battery-staple"}}, "secret_token", codes.OK},
		{"an API key", map[string][]string{"authorization": {"ApiKey a25vd246c2VjcmV0LXNlY3JldC1zZWNyZXQ="}}, "api_key", codes.OK},
		{"another API key", map[string][]string{"authorization": {"ApiKey bm9ib2R5OnNlY3JldC1zZWNyZXQtc2VjcmV0"}}, "", codes.Unauthenticated},
		{"a wrong token", map[string][]string{"authorization": {"Bearer wrong"}}, "", codes.Unauthenticated},
		{"no credential", nil, "anonymous", codes.OK},
	} {
		ctx, err := server.Authenticate(from(t.Context(), "203.0.113.9"), c.sources)
		if status.Code(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var refusal *tollbar.Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("%s: %v is no refusal", c.name, err)
		}
		if err != nil {
			continue
		}
		found, ok := tollbar.FromContext(ctx)
		info := client.FromContext(ctx)
		if !ok || found.Method().String() != c.method || info.Auth.GetAttribute("method") != c.method || info.Auth.GetAttribute("client") != "203.0.113.9" || info.Addr == nil {
			t.Errorf("%s: the client is %v, %+v", c.name, found.Method(), info)
		}
		if names := info.Auth.GetAttributeNames(); !slices.Contains(names, "subject") || info.Auth.GetAttribute("none") != nil {
			t.Errorf("%s: the attributes are %v", c.name, names)
		}
	}
}

func TestTheRateLimitIsPerPeer(t *testing.T) {
	server := made(t, func(c *Config) { c.YAML = config })
	byGRPC := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP("203.0.113.9"), Port: 1}})
	for i, ctx := range []context.Context{from(t.Context(), "203.0.113.9"), byGRPC} {
		for range 3 {
			if _, err := server.Authenticate(ctx, nil); err != nil {
				t.Fatalf("%d: within the burst: %v", i, err)
			}
		}
	}
	_, err := server.Authenticate(byGRPC, nil)
	var limit *tollbar.RateLimitError
	if status.Code(err) != codes.ResourceExhausted || !errors.As(err, &limit) || len(status.Convert(err).Details()) != 1 {
		t.Errorf("one too many: %v", err)
	}
	if _, err := server.Authenticate(from(t.Context(), "203.0.113.10"), nil); err != nil {
		t.Errorf("another peer: %v", err)
	}
	if _, err := server.Authenticate(t.Context(), nil); status.Code(err) != codes.Unavailable {
		t.Errorf("no peer: %v", err)
	}
	unix := client.NewContext(t.Context(), client.Info{Addr: &net.UnixAddr{Name: "@"}})
	if _, err := server.Authenticate(unix, nil); err != nil {
		t.Errorf("a Unix socket: %v", err)
	}
	free := made(t, func(c *Config) { c.YAML, c.Cost = config, 0 })
	for range 10 {
		if _, err := free.Authenticate(byGRPC, nil); err != nil {
			t.Fatalf("nothing is charged: %v", err)
		}
	}
}

func TestAFileIsWatched(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tollbar.yml")
	os.WriteFile(file, []byte("apm-server.auth.secret_token: of-last-year"), 0o600)
	server := made(t, func(c *Config) { c.File = file })
	os.WriteFile(file, []byte("apm-server.auth.secret_token: of-this-year"), 0o600)
	sources := map[string][]string{"authorization": {"Bearer of-this-year"}}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := server.Authenticate(from(t.Context(), "203.0.113.9"), sources); err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("the file was not read again")
		}
	}
	server.(*Extension).Shutdown(t.Context())
	if _, err := server.Authenticate(from(t.Context(), "203.0.113.9"), sources); status.Code(err) != codes.Unavailable {
		t.Errorf("after the shutdown: %v", err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	factory := NewFactory()
	var wrong *tollbar.ConfigError
	for name, settings := range map[string]*Config{
		"neither": {}, "both": {File: "a", YAML: "b"}, "a file that is not there": {File: filepath.Join(t.TempDir(), "none.yml")}, "a key that is none": {YAML: "apm-server.auth.secret_tokn: x"},
	} {
		_, err := factory.Create(t.Context(), extension.Settings{ID: component.NewID(Type)}, settings)
		if err == nil || settings.Validate() == nil && !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Package otelcolauth is a server authenticator for the OpenTelemetry Collector (extensionauth.Server): receivers ask Tollbar who a request
// is from. Build it into a collector with the builder, name it in the configuration, and refer to it where a receiver says `auth`:
//
//	extensions:
//	  tollbar:
//	    file: /etc/collector/tollbar.yml
//	receivers:
//	  otlp:
//	    protocols:
//	      http: {auth: {authenticator: tollbar}}
//	      grpc: {auth: {authenticator: tollbar}}
//
// What is checked: the credential (an API key is waited for), and one event's charge if the client is anonymous. An authenticator sees no
// telemetry: names are authorized and batches admitted further on, by whoever asks [tollbar.FromContext] for the client. The
// context's client.Info has it as well: auth.method, auth.client and auth.subject are attributes of its Auth.
//
// A refusal is a gRPC status, with RetryInfo where it ends by itself, and a [*tollbar.Refusal] to errors.As.
package otelcolauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"tollbar"
	"tollbar/grpcgate"
)

// Type is what the extension is called in the collector's configuration.
var Type = component.MustNewType("tollbar")

// Config is the extension's configuration: one of File and YAML.
type Config struct {
	// File is a configuration in the shape of apm-server.yml.
	File string `mapstructure:"file"`
	// YAML is the same as text.
	YAML string `mapstructure:"yaml"`
	// Watch reloads when the file changes. Default true.
	Watch bool `mapstructure:"watch"`
	// Cost is how many events an anonymous client is charged for a request. Default 1; 0 leaves it to what comes after.
	Cost uint64 `mapstructure:"cost"`
}

// Validate says what is wrong with the settings; what is wrong with the file is said when the extension is made.
func (c *Config) Validate() error {
	if (c.File == "") == (c.YAML == "") {
		return errors.New("accepted is one of `file`, a configuration in the shape of apm-server.yml, and `yaml`, the same as text")
	}
	return nil
}

// NewFactory is what a collector is built with.
func NewFactory() extension.Factory {
	return extension.NewFactory(Type, func() component.Config { return &Config{Watch: true, Cost: 1} }, create, component.StabilityLevelAlpha)
}

func create(_ context.Context, _ extension.Settings, config component.Config) (extension.Extension, error) {
	settings, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("found a configuration of type %T; accepted is *otelcolauth.Config", config)
	}
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	var engine *tollbar.Engine
	var err error
	if settings.File != "" {
		engine, err = tollbar.Open(settings.File)
	} else {
		engine, err = tollbar.Parse(settings.YAML)
	}
	if err != nil {
		return nil, err
	}
	return &Extension{engine: engine, config: *settings}, nil
}

// Extension is the authenticator.
type Extension struct {
	engine *tollbar.Engine
	config Config
}

var (
	_ extension.Extension  = (*Extension)(nil)
	_ extensionauth.Server = (*Extension)(nil)
)

// Engine is what decides: for processors of the same build that admit batches, set a verifier, or show statistics.
func (e *Extension) Engine() *tollbar.Engine { return e.engine }

// Start begins to watch the configuration's files.
func (e *Extension) Start(context.Context, component.Host) error {
	if e.config.File != "" && e.config.Watch {
		return e.engine.Watch(tollbar.WatchOptions{})
	}
	return nil
}

// Shutdown refuses every request from now on.
func (e *Extension) Shutdown(context.Context) error { return e.engine.Close() }

// Authenticate says who it is. sources are the request's headers or metadata; its peer is the context's.
func (e *Extension) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	info := client.FromContext(ctx)
	found, err := e.engine.Verify(ctx, tollbar.Request{Peer: peerOf(ctx, info), Headers: sources})
	if err != nil {
		return ctx, deny(err)
	}
	identified := found.Identified()
	if err := identified.Err(); err != nil {
		return ctx, deny(err)
	}
	if e.config.Cost != 0 {
		if err := found.Admit(e.config.Cost).Err(); err != nil {
			return ctx, deny(err)
		}
	}
	info.Auth = &auth{identified}
	return client.NewContext(tollbar.NewContext(ctx, found), info), nil
}

// peerOf is the socket's peer as the receiver tells it, or as gRPC does.
func peerOf(ctx context.Context, info client.Info) netip.Addr {
	if addr := addrOf(info.Addr); addr.IsValid() {
		return addr
	}
	if from, ok := peer.FromContext(ctx); ok {
		return addrOf(from.Addr)
	}
	return netip.Addr{}
}

func addrOf(addr net.Addr) netip.Addr {
	switch addr := addr.(type) {
	case nil:
		return netip.Addr{}
	case *net.UnixAddr:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}) // this machine
	default:
		return tollbar.ParsePeer(addr.String())
	}
}

// auth is what the rest of the pipeline can ask.
type auth struct{ identified tollbar.Decision }

// GetAttribute is the value of one of GetAttributeNames, or nil.
func (a *auth) GetAttribute(name string) any {
	switch name {
	case "method":
		return a.identified.Method.String()
	case "client":
		return a.identified.ClientText()
	case "subject":
		return a.identified.Method.String() + ":" + a.identified.ClientText()
	}
	return nil
}

// GetAttributeNames are the names of what there is to ask.
func (a *auth) GetAttributeNames() []string { return []string{"method", "client", "subject"} }

// denied is a refusal that gRPC understands.
type denied struct {
	error
	status *status.Status
}

func deny(err error) error {
	return &denied{err, grpcgate.Status(err)}
}

// Unwrap is the [*tollbar.Refusal].
func (d *denied) Unwrap() error { return d.error }

// GRPCStatus is what gRPC answers.
func (d *denied) GRPCStatus() *status.Status { return d.status }

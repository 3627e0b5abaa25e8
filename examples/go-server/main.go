// Command go-server is an intake server for Elastic APM agents and OpenTelemetry exporters, gated by Tollbar: net/http and gRPC.
//
//	go run . --config ../tollbar.yml --listen 127.0.0.1:8200 --grpc 127.0.0.1:4317 --output events.ndjson
//
// SIGHUP reloads the configuration, as does a change of its file; SIGTERM drains and stops. What every file keeps: no rule of
// admission is here (the engine decides), memory is bounded whatever a client sends, and what was accepted is written before the
// client is told so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"tollbar"
	"tollbar/grpcgate"
)

const (
	unusable     = 2
	maxHeadBytes = 64 << 10
	headTimeout  = 10 * time.Second
	idleTimeout  = 30 * time.Second
	drainTimeout = 10 * time.Second
	// A client that was answered before it had sent all is heard for so long.
	unreadTimeout = 10 * time.Second
)

type options struct{ config, listen, grpc, output string }

func main() {
	var o options
	flag.StringVar(&o.config, "config", "", "the configuration `file`, in the shape of apm-server.yml")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8200", "`address` of HTTP")
	flag.StringVar(&o.grpc, "grpc", "", "`address` of OTLP over gRPC; none: it is not served")
	flag.StringVar(&o.output, "output", "-", "accepted events are appended to this `file` as ndjson; -: stdout")
	flag.Parse()
	// Until they are handled: a reload that comes early must not end the process.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	if err := run(o, signals); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(unusable)
	}
}

func run(o options, signals <-chan os.Signal) error {
	if o.config == "" || flag.NArg() != 0 {
		return errors.New("accepted are --config FILE [--listen ADDRESS] [--grpc ADDRESS] [--output FILE]")
	}
	engine, err := tollbar.Open(o.config)
	if err != nil {
		return err
	}
	defer engine.Close()
	for _, warning := range engine.Warnings() {
		log.Print(warning)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	out, err := openOutput(o.output)
	if err != nil {
		return err
	}
	defer out.close()

	server := &http.Server{Handler: newHandler(engine, out), ReadHeaderTimeout: headTimeout, MaxHeaderBytes: maxHeadBytes, IdleTimeout: idleTimeout}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	calls := grpc.NewServer(grpcgate.Unary(engine), grpc.MaxRecvMsgSize(maxOTLPBytes))
	registerOTLP(calls, out)
	if o.grpc != "" {
		plain, err := net.Listen("tcp", o.grpc)
		if err != nil {
			return err
		}
		go func() { failed <- calls.Serve(plain) }()
		log.Printf("listening for gRPC on %s", plain.Addr())
	}
	log.Printf("listening on http://%s", listener.Addr())

	reloads := newReloader(engine)
	defer reloads.stop()
	for {
		select {
		case err := <-failed:
			return err
		case received := <-signals:
			if received == syscall.SIGHUP {
				go reloads.reload("SIGHUP")
				continue
			}
			log.Printf("%v: draining, for up to %v", received, drainTimeout)
			drain(server, calls)
			log.Print("stopped")
			return nil
		}
	}
}

// drain lets the requests in flight finish, within the drain time-out.
func drain(server *http.Server, calls *grpc.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() { calls.GracefulStop(); close(done) }()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
	select {
	case <-done:
	case <-ctx.Done():
		calls.Stop()
	}
}

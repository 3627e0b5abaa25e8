package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"tollbar"
)

// origin is where events come from: what is the same for all of a stream or a resource.
type origin struct {
	Client   string `json:"client"`
	Method   string `json:"method"`
	Service  string `json:"service"`
	Agent    string `json:"agent"`
	Protocol string `json:"protocol"`
}

func originOf(client tollbar.Client, names tollbar.Resource, protocol string) origin {
	identified := client.Identified()
	return origin{identified.ClientText(), identified.Method.String(), names.Service, names.Agent, protocol}
}

// record is one accepted event.
type record struct {
	Type  string          `json:"type"`
	Event json.RawMessage `json:"event"`
}

// output appends accepted events, one a line. A batch is written whole before its client is told so.
type output struct {
	mu   sync.Mutex
	to   io.WriteCloser
	torn bool
}

func openOutput(target string) (*output, error) {
	if target == "-" {
		return &output{to: os.Stdout}, nil
	}
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	return &output{to: file}, nil
}

func (o *output) write(from origin, records []record) error {
	var lines []byte
	for _, r := range records {
		line, err := json.Marshal(struct {
			origin
			record
		}{from, r})
		if err != nil {
			return fail(400, "an event can't be written: %v", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.torn {
		// A write that failed half-way: this one starts on a line of its own.
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := o.to.Write(lines)
	o.torn = err != nil && (o.torn || n > 0)
	if err != nil {
		return fail(503, "cannot write the output")
	}
	return nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to.Close()
}

// failure ends a request, or the rest of it, with a status. Its text may be shown to the client.
type failure struct {
	status   int
	message  string
	document string
}

func (f *failure) Error() string { return f.message }

func fail(status int, format string, arguments ...any) *failure {
	return &failure{status: status, message: fmt.Sprintf(format, arguments...)}
}

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"tollbar"
	"tollbar/httpgate"
)

const (
	batchLines  = 10
	shownErrors = 5
	// A stream with more invalid events than this is cut: they cost time, but nobody is charged for them.
	maxInvalid = 1000
)

// stream is one stream of an admitted client.
type stream struct {
	client   tollbar.Client
	out      *output
	origin   *origin
	names    tollbar.Resource
	allowed  map[tollbar.Resource]bool
	batch    []event
	size     int
	accepted int
	invalid  int
	status   int
	errors   []map[string]string
	refusal  *tollbar.Refusal
}

// events is the endpoint of the event intake routes.
func events(out *output) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, _ := tollbar.FromContext(r.Context())
		s := &stream{client: client, out: out, allowed: map[tollbar.Resource]bool{}, status: http.StatusAccepted}
		if err := s.read(w, r); err != nil {
			s.add(err, true)
		}
		s.answer(w, r)
	}
}

func (s *stream) read(w http.ResponseWriter, r *http.Request) error {
	if kind := r.Header.Get("Content-Type"); kind != "" && !strings.Contains(strings.ToLower(kind), "application/x-ndjson") {
		return fail(http.StatusBadRequest, "invalid content type: %.80q; accepted is application/x-ndjson", kind)
	}
	from, err := body(w, r)
	if err != nil {
		return err
	}
	ctx, lines := r.Context(), newLines(from)
	for {
		if lines.waits() {
			// What was gathered need not wait for the client.
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		line, tooLong, err := lines.next()
		if err == io.EOF {
			return s.flush(ctx)
		}
		if err != nil {
			// The body broke off; the lines before are complete, and get their chance.
			return errors.Join(s.flush(ctx), err)
		}
		if err := s.take(ctx, line, tooLong); err != nil {
			return err
		}
	}
}

// take takes one line: the metadata if it is the first, else an event.
func (s *stream) take(ctx context.Context, line []byte, tooLong bool) error {
	if s.origin == nil {
		names, protocol, err := readMetadata(line, tooLong)
		if err != nil {
			return err
		}
		if err := s.authorize(names); err != nil {
			return err
		}
		origin := originOf(s.client, names, protocol)
		s.origin, s.names = &origin, names
		return nil
	}
	found, err := readEvent(line, tooLong)
	if err != nil {
		s.add(err, false)
		if s.invalid++; s.invalid > maxInvalid {
			return fail(http.StatusBadRequest, "more than %d events are invalid", maxInvalid)
		}
		return nil
	}
	s.batch = append(s.batch, found)
	if s.size += len(line); len(s.batch) >= batchLines || s.size >= maxEventBytes {
		return s.flush(ctx)
	}
	return nil
}

// flush admits and writes what has been gathered.
func (s *stream) flush(ctx context.Context) error {
	batch := s.batch
	s.batch, s.size = nil, 0
	if len(batch) == 0 {
		return nil
	}
	err := s.accept(ctx, batch)
	var refusal *tollbar.Refusal
	if !errors.As(err, &refusal) || refusal.Decision.Reason != tollbar.ReasonExceedsBurst || len(batch) == 1 {
		return err
	}
	// Together they are more than a small burst allows; one by one they may fit.
	for i := range batch {
		if err := s.accept(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) accept(ctx context.Context, batch []event) error {
	var records []record
	for _, event := range batch {
		for _, names := range event.names {
			if names.Agent == "" {
				names.Agent = s.names.Agent
			}
			if names.Service == "" {
				names.Service = s.names.Service
			}
			if err := s.authorize(names); err != nil {
				return err
			}
		}
		records = append(records, event.records...)
	}
	if err := s.client.AdmitContext(ctx, uint64(len(records))); err != nil {
		return err
	}
	if err := s.out.write(*s.origin, records); err != nil {
		return err
	}
	s.accepted += len(records)
	return nil
}

func (s *stream) authorize(names tollbar.Resource) error {
	if s.allowed[names] {
		return nil
	}
	if err := s.client.Authorize(tollbar.Ingest, names).ErrFor(names); err != nil {
		return err
	}
	if len(s.allowed) < batchLines {
		s.allowed[names] = true
	}
	return nil
}

// add notes an error. The highest status wins; one that ends the stream is always shown.
func (s *stream) add(err error, ends bool) {
	status, message, document := statusOf(err)
	if refusal := new(tollbar.Refusal); errors.As(err, &refusal) {
		s.refusal = refusal
	}
	s.status = max(s.status, status)
	if ends || len(s.errors) < shownErrors {
		about := map[string]string{"message": message}
		if document != "" {
			about["document"] = document
		}
		s.errors = append(s.errors, about)
	}
}

// answer leaves the body out if all is well and nobody asked for it.
func (s *stream) answer(w http.ResponseWriter, r *http.Request) {
	if s.refusal != nil {
		httpgate.Headers(w.Header(), s.refusal)
	}
	if s.status == http.StatusAccepted && !r.URL.Query().Has("verbose") {
		answerEmpty(w, s.status)
		return
	}
	about := map[string]any{"accepted": s.accepted}
	if len(s.errors) != 0 {
		about["errors"] = s.errors
	}
	answerJSON(w, s.status, about)
}

// statusOf is what a client is told of an error.
func statusOf(err error) (status int, message, document string) {
	var refusal *tollbar.Refusal
	var known *failure
	switch {
	case errors.As(err, &refusal):
		return int(refusal.Decision.HTTPStatus), refusal.Error(), ""
	case errors.As(err, &known):
		return known.status, known.message, known.document
	case errors.Is(err, tollbar.ErrClosed):
		return http.StatusServiceUnavailable, "the server is shutting down", ""
	}
	return http.StatusBadRequest, "the body could not be read", ""
}

package main

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tollbar"
	"tollbar/httpgate"
)

const (
	maxQueryBytes  = 64 << 10
	maxUploadBytes = 64 << 20
	maxFields      = 16
	configCache    = "max-age=30, must-revalidate"
	errorCache     = "max-age=300, must-revalidate"
	etag           = `"-"`
	// So many that were refused and send on are heard out at once: it costs them nothing, so it may not cost much here.
	maxHeardOut = 64
)

var heardOut = make(chan struct{}, maxHeardOut)

var started = time.Now().UTC().Format(time.RFC3339)

// newHandler is which path is answered by what.
func newHandler(engine *tollbar.Engine, out *output) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", root(engine))
	for _, path := range []string{"/intake/v2/events", "/intake/v2/rum/events", "/intake/v3/rum/events"} {
		mux.HandleFunc("POST "+path, events(out))
	}
	for _, path := range []string{"/config/v1/agents", "/config/v1/rum/agents"} {
		mux.HandleFunc("GET "+path, agentConfig)
		mux.HandleFunc("POST "+path, agentConfig)
	}
	mux.HandleFunc("POST /assets/v1/sourcemaps", sourcemap)
	for path, signal := range signals {
		mux.HandleFunc("POST "+path, signal.serve(out))
	}
	gated := httpgate.Handler(engine, mux, httpgate.WithRules(httpgate.APM(), nil), httpgate.WithDenial(deny))
	return patient(cors(engine, gated))
}

// root says what this server is, but only to the authenticated.
func root(engine *tollbar.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, err := engine.Verify(r.Context(), tollbar.Request{Peer: httpgate.Peer(r), Headers: r.Header})
		decision := client.Identified()
		switch {
		case err != nil || decision.HTTPStatus == http.StatusServiceUnavailable:
			answerJSON(w, http.StatusServiceUnavailable, map[string]string{"error": decision.Message(tollbar.Resource{})})
		case !decision.Allowed || decision.Method == tollbar.MethodAnonymous:
			w.WriteHeader(http.StatusOK)
		default:
			answerJSON(w, http.StatusOK, map[string]any{"build_date": started, "build_sha": "tollbar", "publish_ready": true, "version": tollbar.Version()})
		}
	}
}

// agentConfig answers that there is none, as APM Server does for a service without one. What matters is who may ask.
func agentConfig(w http.ResponseWriter, r *http.Request) {
	client, _ := tollbar.FromContext(r.Context())
	names, err := askedFor(w, r)
	if err != nil && client.Method() == tollbar.MethodAnonymous {
		err = fail(http.StatusBadRequest, "invalid query") // as APM Server: an anonymous client is not told more
	}
	if err == nil {
		err = client.Authorize(tollbar.AgentConfig, names).ErrFor(names)
	}
	if err != nil {
		w.Header().Set("Cache-Control", errorCache)
		answerError(w, err)
		return
	}
	w.Header().Set("Cache-Control", configCache)
	w.Header().Set("Etag", etag)
	w.Header().Set("Access-Control-Expose-Headers", "Etag")
	known := strings.ReplaceAll(r.Header.Get("If-None-Match"), `"`, "")
	if known == "" {
		known = r.URL.Query().Get("ifnonematch")
	}
	if known == "-" {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{})
}

// askedFor is the service's name: of the query (GET) or of the JSON body (POST).
func askedFor(w http.ResponseWriter, r *http.Request) (tollbar.Resource, error) {
	names := httpgate.ServiceOfQuery(r)
	if r.Method == http.MethodPost {
		data, err := whole(w, r, maxQueryBytes)
		if err != nil {
			return names, err
		}
		var query object
		if err := json.Unmarshal(data, &query); err != nil {
			return names, fail(http.StatusBadRequest, `the body is no JSON; accepted is {"service": {"name": …, "environment": …}}`)
		}
		names.Service = text(child(query, "service"), "name")
	}
	if names.Service == "" {
		return names, fail(http.StatusBadRequest, "service.name is required")
	}
	return names, nil
}

// sourcemap checks and acknowledges a source map, which is not kept. The gate lets no anonymous client in.
func sourcemap(w http.ResponseWriter, r *http.Request) {
	if err := readSourcemap(w, r); err != nil {
		answerError(w, err)
		return
	}
	answerEmpty(w, http.StatusAccepted)
}

func readSourcemap(w http.ResponseWriter, r *http.Request) error {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || parameters["boundary"] == "" {
		return fail(http.StatusBadRequest, "invalid content type; accepted is multipart/form-data with a boundary")
	}
	from, err := body(w, r)
	if err != nil {
		return err
	}
	missing := []string{"bundle_filepath", "service_name", "service_version", "sourcemap"}
	limited := &io.LimitedReader{R: from, N: maxUploadBytes}
	form := multipart.NewReader(limited, parameters["boundary"])
	for fields := 0; ; fields++ {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, part)
		}
		var known *failure
		switch {
		case limited.N <= 0:
			return fail(http.StatusRequestEntityTooLarge, "request body too large: accepted are up to %d bytes", maxUploadBytes)
		case errors.As(err, &known):
			return known
		case err != nil:
			return fail(http.StatusBadRequest, "the form data is damaged or truncated")
		case fields >= maxFields:
			return fail(http.StatusBadRequest, "too many fields; accepted are up to %d", maxFields)
		case n > 0:
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == part.FormName() })
		}
	}
	if len(missing) != 0 {
		return fail(http.StatusBadRequest, "error validating sourcemap: %s must be sent", strings.Join(missing, ", "))
	}
	return nil
}

// unread is a body, and whether it was asked for, and its end seen.
type unread struct {
	io.ReadCloser
	asked, ended bool
}

func (u *unread) Read(p []byte) (int, error) {
	u.asked = true
	n, err := u.ReadCloser.Read(p)
	u.ended = u.ended || err == io.EOF
	return n, err
}

// patient answers at once, also a client that is still sending, and then hears it out, within bounds. net/http would close the connection
// of one that has much left to send: it might never read why it was refused, and would have to connect again.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.ContentLength == 0 || control.EnableFullDuplex() != nil {
			next.ServeHTTP(w, r)
			return
		}
		heard := r.WithContext(r.Context())
		body := &unread{ReadCloser: r.Body}
		heard.Body = body
		next.ServeHTTP(w, heard)
		if body.ended {
			return
		}
		if !body.asked && r.Header.Get("Expect") != "" {
			// Who asks before it sends will send nothing now. net/http closes that connection, but would wait.
			_ = control.SetReadDeadline(time.Now())
			return
		}
		if w.Header().Get("Content-Length") == "" {
			return // the end of such an answer is sent only when all is over
		}
		select {
		case heardOut <- struct{}{}:
			defer func() { <-heardOut }()
		default:
			return
		}
		ends := time.Now().Add(unreadTimeout)
		if control.SetWriteDeadline(ends) == nil && control.Flush() == nil && control.SetReadDeadline(ends) == nil {
			// However it ends: net/http closes the connection if something is left.
			_, _ = io.CopyN(io.Discard, body, maxUploadBytes)
		}
		_ = control.SetWriteDeadline(time.Time{})
	})
}

// cors lets browsers send from the sites that apm-server.rum.allow_origins lists: the origin is echoed, a preflight is answered without
// authentication, and refusals too can be read by the page that caused them. Pages of other origins are turned away before anything else
// is looked at.
func cors(engine *tollbar.Engine, next http.Handler) http.Handler {
	rules := httpgate.APM()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rules[r.URL.Path].RUM {
			next.ServeHTTP(w, r)
			return
		}
		origin, header := r.Header.Get("Origin"), w.Header()
		allowed := engine.AllowsOrigin(origin)
		header.Add("Vary", "Origin")
		if origin != "" && allowed {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "Etag, Retry-After")
		}
		switch {
		case r.Method == http.MethodOptions:
			header.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
			header.Set("Access-Control-Allow-Headers", strings.Join(append(agentHeaders(), engine.AllowHeaders()...), ", "))
			header.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusOK)
		case !allowed:
			answerError(w, fail(http.StatusForbidden, "forbidden request: origin: '%.100s' is not allowed", origin))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// agentHeaders are what RUM agents send.
func agentHeaders() []string {
	return []string{"Content-Type", "Content-Encoding", "Accept", "If-None-Match"}
}

// deny words the gate's refusals as APM Server does, and OTLP's as OTLP does.
func deny(w http.ResponseWriter, r *http.Request, refusal *tollbar.Refusal) {
	if _, isOTLP := signals[r.URL.Path]; isOTLP {
		answerStatus(w, r, refusal)
		return
	}
	answerError(w, refusal)
}

func answerError(w http.ResponseWriter, err error) {
	var refusal *tollbar.Refusal
	if errors.As(err, &refusal) {
		httpgate.Headers(w.Header(), refusal)
	}
	status, message, _ := statusOf(err)
	answerJSON(w, status, map[string]string{"error": message})
}

func answerJSON(w http.ResponseWriter, status int, about any) {
	data, err := json.Marshal(about)
	if err != nil {
		status, data = http.StatusInternalServerError, nil
	}
	answerBytes(w, status, jsonType, append(data, '\n'))
}

func answerEmpty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// answerBytes says how long the answer is, so that a client that still sends has it whole before it has been heard out.
func answerBytes(w http.ResponseWriter, status int, kind string, data []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	// Whether it arrives is the client's business.
	_, _ = w.Write(data)
}

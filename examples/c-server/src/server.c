#include "server.h"

#include "connections.h"
#include "cors.h"
#include "log.h"
#include "request.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What libmicrohttpd may hold for a connection: the head of a request, and what is being read of its body.
static const size_t CONNECTION_BYTES = 64 * 1024;

// A body of which so much has come that nobody reads, because its answer is made or there should be none, is not waited
// for any longer.
static const size_t MAX_DROPPED_BYTES = (size_t)16 * 1024 * 1024;

struct server {
    const tollbar_engine *engine;
    struct output *output;
    struct MHD_Daemon *daemon;
    int listener;
    unsigned idle_timeout_seconds;
    atomic_bool draining;
};

const char *request_field(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static const struct route *route_of(const char *path)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strcmp(ROUTES[i].path, path) == 0) {
            return &ROUTES[i];
        }
    }
    return NULL;
}

static bool answered(const struct request *request)
{
    return request->reply.status != 0;
}

// What is known from the head alone: the path, the page's origin, the method, the credential, one event's charge, is
// the RUM route open.
static void enter(struct request *request, const char *path, const char *method)
{
    const struct route *route = request->route = route_of(path);
    struct refusal refusal;
    request->post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (!route) {
        refuse(&refusal, 404, "404 page not found");
        reply_refusal(&request->reply, &refusal);
    } else if (route->rum && strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        cors_preflight(&request->reply, request->engine);
    } else if (route->rum && !cors_enter(request->engine, request_field(request, MHD_HTTP_HEADER_ORIGIN), &refusal)) {
        reply_refusal(&request->reply, &refusal);
    } else if (!(get && route->get) && !(request->post && route->post)) {
        refuse(&refusal, 405, "method not supported: %.20s", method);
        reply_refusal(&request->reply, &refusal);
        reply_field(&request->reply, MHD_HTTP_HEADER_ALLOW,
                    !route->post ? "GET, HEAD"
                    : route->get ? "GET, HEAD, POST"
                                 : "POST");
    } else if (!route->open &&
               !gate_enter(&request->guest, request->engine, request->connection, route->rum, &refusal)) {
        route->fail(request, &refusal);
    } else if (route->begin) {
        route->begin(request);
    }
}

static enum MHD_Result send_answer(const struct server *server, struct request *request)
{
    if (request->route && request->route->rum) {
        cors_allow(&request->reply, server->engine, request_field(request, MHD_HTTP_HEADER_ORIGIN));
    }
    // Relaxed: a request that misses it by a hair is one that came before.
    if (atomic_load_explicit(&server->draining, memory_order_relaxed)) {
        reply_field(&request->reply, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    return reply_send(&request->reply, request->connection);
}

// Whether the client waits to be told before it sends its body: then it is told at once, and need not send it.
static bool expects_continue(const struct request *request)
{
    return request_field(request, MHD_HTTP_HEADER_EXPECT) != NULL;
}

static enum MHD_Result begin_request(struct server *server, struct MHD_Connection *connection, const char *path,
                                     const char *method, void **context)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request) {
        return MHD_NO;
    }
    *context = request;
    connections_request_begins(connection);
    request->engine = server->engine;
    request->output = server->output;
    request->connection = connection;
    body_open(&request->body, request_field(request, MHD_HTTP_HEADER_CONTENT_ENCODING));
    enter(request, path, method);
    return answered(request) && expects_continue(request) ? send_answer(server, request) : MHD_YES;
}

static enum MHD_Result take_body(struct request *request, const char *data, size_t size)
{
    const struct route *route = request->route;
    struct refusal refusal;
    if (answered(request) || !request->post || !route->take) {
        request->dropped += size;
        return request->dropped <= MAX_DROPPED_BYTES ? MHD_YES : MHD_NO;
    }
    if (!body_feed(&request->body, data, size, route->take, request, &refusal) ||
        (route->pause && !route->pause(request, &refusal))) {
        route->fail(request, &refusal);
    }
    return MHD_YES;
}

static void end_body(struct request *request)
{
    const struct route *route = request->route;
    struct refusal refusal;
    if (route->take && !body_finish(&request->body, route->take, request, &refusal)) {
        route->fail(request, &refusal);
    } else {
        route->end(request);
    }
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **request_context)
{
    (void)version;
    struct server *server = context;
    struct request *request = *request_context;
    if (!request) {
        return begin_request(server, connection, path, method, request_context);
    }
    if (*size > 0) {
        enum MHD_Result result = take_body(request, data, *size);
        *size = 0;
        return result;
    }
    if (!answered(request)) {
        end_body(request);
    }
    return send_answer(server, request);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)code;
    struct request *request = *request_context;
    if (!request) {
        return;
    }
    *request_context = NULL;
    if (request->state && request->route->release) {
        request->route->release(request);
    }
    body_close(&request->body);
    reply_free(&request->reply);
    free(request);
    connections_request_ends(connection);
}

struct server *server_start(const tollbar_engine *engine, struct output *output, int listener,
                            const struct options *options)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server) {
        log_line(LOG_ERROR, "out of memory");
        return NULL;
    }
    server->engine = engine;
    server->output = output;
    server->listener = listener;
    server->idle_timeout_seconds = options->idle_timeout_seconds;
    atomic_init(&server->draining, false);
    // clang-format off
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC,
        0, NULL, NULL, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_CONNECTION_LIMIT, options->max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, options->idle_timeout_seconds,
        MHD_OPTION_NOTIFY_CONNECTION, connections_notify, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
    // clang-format on
    if (!server->daemon) {
        log_line(LOG_ERROR, "the HTTP server can't be started");
        free(server);
        return NULL;
    }
    return server;
}

void server_tick(struct server *server)
{
    connections_end_idle(server->idle_timeout_seconds);
}

void server_drain(struct server *server)
{
    atomic_store_explicit(&server->draining, true, memory_order_relaxed);
    if (MHD_quiesce_daemon(server->daemon) != MHD_INVALID_SOCKET) {
        close(server->listener);
        server->listener = -1;
    }
}

void server_stop(struct server *server)
{
    MHD_stop_daemon(server->daemon);
    free(server);
}

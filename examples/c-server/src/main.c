// An intake server for Elastic APM agents and OTLP/HTTP exporters, gated by Tollbar: the command line, signals, and an
// orderly end.
//
// Invariants: whatever is unusable is found before the first request is accepted (exit code 2). SIGHUP reloads. SIGTERM
// and SIGINT stop accepting and let the requests in flight finish within the drain time-out (exit code 0); a second one
// ends at once. Signals are blocked in every thread and fetched here, so no handler interrupts anything.
#include "connections.h"
#include "listen.h"
#include "log.h"
#include "memory.h"
#include "options.h"
#include "output.h"
#include "reload.h"
#include "server.h"
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const int UNUSABLE = 2;

static tollbar_str text_of(const char *text)
{
    return (tollbar_str){.data = text, .len = strlen(text)};
}

static tollbar_engine *load(const char *config)
{
    static char problems[64 * 1024];
    tollbar_engine *engine;
    tollbar_error error = TOLLBAR_ERROR_INIT;
    error.text = problems;
    error.text_capacity = sizeof problems;
    if (tollbar_engine_from_file(text_of(config), &engine, &error) != TOLLBAR_STATUS_OK) {
        fprintf(stderr, "%s\n", problems);
    }
    return engine;
}

static tollbar_watcher *watch(const tollbar_engine *engine)
{
    char problem[1024];
    tollbar_watcher *watcher;
    tollbar_error error = TOLLBAR_ERROR_INIT;
    error.text = problem;
    error.text_capacity = sizeof problem;
    if (tollbar_watch_start(engine, NULL, &watcher, &error) != TOLLBAR_STATUS_OK) {
        log_line(LOG_WARNING, "%s; reload with SIGHUP", problem);
    }
    return watcher;
}

// The next of these signals, or 0 after so many milliseconds.
static int wait_for_signal(const sigset_t *signals, long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    int caught = sigtimedwait(signals, NULL, &time);
    return caught < 0 ? 0 : caught;
}

// Returns the signal that ends it.
static int serve(struct server *server, const tollbar_engine *engine, const sigset_t *signals)
{
    for (;;) {
        int caught = wait_for_signal(signals, 500);
        if (caught == SIGHUP) {
            reload_now(engine);
        } else if (caught) {
            return caught;
        }
        reload_tell(engine);
        server_tick(server);
    }
}

static void drain(struct server *server, const sigset_t *signals, unsigned seconds, int caught)
{
    log_line(LOG_INFO, "SIG%s: draining, for up to %u s", sigabbrev_np(caught), seconds);
    server_drain(server);
    for (unsigned looks = 0; connections_in_flight() > 0 && looks < seconds * 50; looks++) {
        caught = wait_for_signal(signals, 20);
        if (caught && caught != SIGHUP) {
            log_line(LOG_WARNING, "SIG%s again: ending at once", sigabbrev_np(caught));
            return;
        }
    }
}

// Connections are file descriptors, of which a process often may have few until it asks for more.
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const struct options *options, const tollbar_engine *engine, const sigset_t *signals)
{
    struct output output;
    int listener = listen_on(options->listen);
    if (listener < 0) {
        return UNUSABLE;
    }
    int error = output_open(&output, options->output);
    if (error) {
        fprintf(stderr, "cannot write to %s: %s\n", options->output, strerror(error));
        return UNUSABLE;
    }
    struct server *server = server_start(engine, &output, listener, options);
    if (!server) {
        return UNUSABLE;
    }
    tollbar_watcher *watcher = watch(engine);
    char url[1200];
    listen_url(listener, url, sizeof url);
    log_line(LOG_INFO, "listening on %s", url);
    int caught = serve(server, engine, signals);
    drain(server, signals, options->drain_timeout_seconds, caught);
    tollbar_watch_stop(watcher);
    server_stop(server);
    output_close(&output);
    log_line(LOG_INFO, "stopped");
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    int exit_code;
    if (!options_read(&options, argc, argv, &exit_code)) {
        return exit_code;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); // threads that are started later inherit it
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    json_set_alloc_funcs(memory_alloc, memory_free);
    json_object_seed(0); // now, from the system's randomness: before there are threads

    tollbar_engine *engine = load(options.config);
    if (!engine) {
        return UNUSABLE;
    }
    reload_log_warnings(engine);
    exit_code = run(&options, engine, &signals);
    tollbar_engine_free(engine);
    return exit_code;
}

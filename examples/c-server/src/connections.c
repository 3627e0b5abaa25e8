#include "connections.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

struct link {
    int descriptor;
    atomic_llong idle_since; // seconds of the monotonic clock; 0: a request is in flight
    struct link *next, **before;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct link *first;
static atomic_uint in_flight;

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1; // never 0
}

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static struct link *add(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct link *link = info ? calloc(1, sizeof *link) : NULL;
    if (link) {
        link->descriptor = info->connect_fd;
        atomic_init(&link->idle_since, now());
        pthread_mutex_lock(&mutex);
        link->next = first;
        link->before = &first;
        if (first) {
            first->before = &link->next;
        }
        first = link;
        pthread_mutex_unlock(&mutex);
    }
    return link;
}

static void remove_link(struct link *link)
{
    pthread_mutex_lock(&mutex);
    *link->before = link->next;
    if (link->next) {
        link->next->before = link->before;
    }
    pthread_mutex_unlock(&mutex);
    free(link);
}

void connections_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code)
{
    (void)context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = add(connection);
    } else if (*socket_context) {
        // The socket is closed after this, so no other one can have its number while it is listed.
        remove_link(*socket_context);
        *socket_context = NULL;
    }
}

// Relaxed throughout: the numbers are read for themselves, nothing else is published by them.
void connections_request_begins(struct MHD_Connection *connection)
{
    struct link *link = link_of(connection);
    if (link) {
        atomic_store_explicit(&link->idle_since, 0, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&in_flight, 1, memory_order_relaxed);
}

void connections_request_ends(struct MHD_Connection *connection)
{
    struct link *link = link_of(connection);
    if (link) {
        atomic_store_explicit(&link->idle_since, now(), memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&in_flight, 1, memory_order_relaxed);
}

unsigned connections_in_flight(void)
{
    return atomic_load_explicit(&in_flight, memory_order_relaxed);
}

void connections_end_idle(unsigned limit_seconds)
{
    long long latest = now() - limit_seconds;
    pthread_mutex_lock(&mutex);
    for (struct link *link = first; link; link = link->next) {
        long long since = atomic_load_explicit(&link->idle_since, memory_order_relaxed);
        if (since != 0 && since < latest) {
            shutdown(link->descriptor, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&mutex);
}

// The HTTP server: one thread a connection, so a request that waits (for the verification of its API key, for room, for
// the disk) holds up nobody else.
//
// Invariants: a request's head, the number of connections and the time that a client is waited for are bounded. A
// request is answered when its body is at its end: libmicrohttpd can't answer within a body, and an answer before one
// closes the connection on a client that may still be sending, which would lose it the answer.
#ifndef C_SERVER_SERVER_H
#define C_SERVER_SERVER_H

#include "options.h"
#include "output.h"
#include <tollbar.h>

struct server;

// Serves on this socket, which is the server's from now on. Null: why has been logged.
struct server *server_start(const tollbar_engine *engine, struct output *output, int listener,
                            const struct options *options);

// To be called about once a second.
void server_tick(struct server *server);

// Accepts no more connections.
void server_drain(struct server *server);

// Ends all connections, and with them the server.
void server_stop(struct server *server);

#endif

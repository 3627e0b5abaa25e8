// The connections that are open: how many requests are in flight, and since when the others are waited for.
//
// Invariant: a connection whose client has not sent a complete head `limit` seconds after the last answer (or after it
// connected) is shut down, however slowly the head trickles in. (While a body is read, libmicrohttpd ends a connection
// that is idle.) Thread-safe; a process has one such list.
#ifndef C_SERVER_CONNECTIONS_H
#define C_SERVER_CONNECTIONS_H

#include <microhttpd.h>

// For MHD_OPTION_NOTIFY_CONNECTION.
void connections_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);

void connections_request_begins(struct MHD_Connection *connection);
void connections_request_ends(struct MHD_Connection *connection);
unsigned connections_in_flight(void);
void connections_end_idle(unsigned limit_seconds);

#endif

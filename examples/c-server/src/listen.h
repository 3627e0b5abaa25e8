// The socket that the server listens on.
#ifndef C_SERVER_LISTEN_H
#define C_SERVER_LISTEN_H

#include <stddef.h>

// Listens on `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (all interfaces). Returns the socket, or -1: why has been said on
// standard error.
int listen_on(const char *address);

// Where that is, as a URL.
void listen_url(int listener, char *url, size_t room);

#endif

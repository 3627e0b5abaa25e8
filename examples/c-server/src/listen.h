// The socket that the server listens on.
#ifndef C_SERVER_LISTEN_H
#define C_SERVER_LISTEN_H

// Listens on `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (all interfaces). Returns the socket, or -1: why has been said on
// standard error.
int listen_on(const char *address);

#endif

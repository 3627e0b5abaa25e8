#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const int BACKLOG = 2048;

// Splits the address; false if it has another shape.
static bool split(const char *address, char host[256], char port[6])
{
    const char *colon = strrchr(address, ':');
    if (!colon || strlen(colon + 1) < 1 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    size_t length = (size_t)(colon - address);
    bool bracketed = length >= 2 && address[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        address++;
        length -= 2;
    }
    if (length >= 256 || (!bracketed && memchr(address, ':', length))) {
        return false;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
    return true;
}

static int open_socket(const struct addrinfo *at, bool every_interface)
{
    int one = 1, zero = 0;
    int listener = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) {
        return -1;
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (at->ai_family == AF_INET6 && every_interface) {
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    }
    if (bind(listener, at->ai_addr, at->ai_addrlen) == 0 && listen(listener, BACKLOG) == 0) {
        return listener;
    }
    int error = errno;
    close(listener);
    errno = error;
    return -1;
}

int listen_on(const char *address)
{
    char host[256], port[6];
    if (!split(address, host, port)) {
        fprintf(stderr, "cannot listen on %s: accepted are HOST:PORT, [IPV6]:PORT and :PORT\n", address);
        return -1;
    }
    bool every_interface = host[0] == '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int error = getaddrinfo(every_interface ? "::" : host, port, &hints, &found);
    int listener = error ? -1 : open_socket(found, every_interface);
    if (listener < 0 && every_interface) {
        // A machine without IPv6.
        freeaddrinfo(found);
        found = NULL;
        error = getaddrinfo("0.0.0.0", port, &hints, &found);
        listener = error ? -1 : open_socket(found, false);
    }
    if (listener < 0) {
        fprintf(stderr, "cannot listen on %s: %s\n", address, error ? gai_strerror(error) : strerror(errno));
    }
    if (found) {
        freeaddrinfo(found);
    }
    return listener;
}

void listen_url(int listener, char *url, size_t room)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    url[0] = '\0';
    if (getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(url, room, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
    }
}

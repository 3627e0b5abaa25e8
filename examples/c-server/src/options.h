// The command line.
#ifndef C_SERVER_OPTIONS_H
#define C_SERVER_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *config, *listen, *output;
    unsigned idle_timeout_seconds, drain_timeout_seconds, max_connections;
};

// Reads it. False: the program ends with `exit_code`, all has been said.
bool options_read(struct options *options, int argc, char **argv, int *exit_code);

#endif

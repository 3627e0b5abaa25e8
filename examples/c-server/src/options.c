#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char USAGE[] =
    "usage: tollbar-c-server --config FILE [--listen ADDR] [--output FILE] [--idle-timeout SECONDS]\n"
    "                        [--drain-timeout SECONDS] [--max-connections N]\n\n"
    "An intake server for Elastic APM agents and OTLP/HTTP exporters, gated by Tollbar.\n"
    "SIGHUP reloads the configuration, as does a change of its files; SIGTERM drains and stops.\n\n"
    "  --config FILE            the configuration, in the shape of apm-server.yml\n"
    "  --listen ADDR            HOST:PORT, [IPV6]:PORT or :PORT (all interfaces); default 127.0.0.1:8200\n"
    "  --output FILE            accepted events are appended here as ndjson; - (default): standard output\n"
    "  --idle-timeout SECONDS   end a connection whose client is waited for this long; default 30\n"
    "  --drain-timeout SECONDS  after SIGTERM, requests in flight may go on for this long; default 10\n"
    "  --max-connections N      further ones are not served until one ends; default 1024\n";

static bool number(const char *name, const char *text, unsigned most, unsigned *value)
{
    char *end;
    errno = 0;
    unsigned long found = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || found < 1 || found > most) {
        fprintf(stderr, "--%s: found %s; accepted are 1 to %u\n", name, text, most);
        return false;
    }
    *value = (unsigned)found;
    return true;
}

static bool usage(int *exit_code)
{
    fputs(USAGE, *exit_code ? stderr : stdout);
    return false;
}

bool options_read(struct options *options, int argc, char **argv, int *exit_code)
{
    static const struct option KNOWN[] = {
        {"config", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},
        {"output", required_argument, NULL, 'o'},
        {"idle-timeout", required_argument, NULL, 'i'},
        {"drain-timeout", required_argument, NULL, 'd'},
        {"max-connections", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const unsigned day = 86400;
    *options = (struct options){NULL, "127.0.0.1:8200", "-", 30, 10, 1024};
    *exit_code = 2;
    for (int found; (found = getopt_long(argc, argv, "", KNOWN, NULL)) != -1;) {
        bool usable = true;
        switch (found) {
        case 'c':
            options->config = optarg;
            break;
        case 'l':
            options->listen = optarg;
            break;
        case 'o':
            options->output = optarg;
            break;
        case 'i':
            usable = number("idle-timeout", optarg, day, &options->idle_timeout_seconds);
            break;
        case 'd':
            usable = number("drain-timeout", optarg, day, &options->drain_timeout_seconds);
            break;
        case 'm':
            usable = number("max-connections", optarg, 30000, &options->max_connections);
            break;
        case 'h':
            *exit_code = 0;
            return usage(exit_code);
        default:
            return usage(exit_code);
        }
        if (!usable) {
            return false;
        }
    }
    return (options->config && optind == argc) || usage(exit_code);
}

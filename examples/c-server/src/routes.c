// Which path is answered by what.
#include "config.h"
#include "otlp.h"
#include "request.h"
#include "root.h"
#include "sourcemap.h"
#include "stream.h"

#define STREAM                                                                                                         \
    .post = true, .begin = stream_begin, .take = stream_take, .pause = stream_pause, .end = stream_end,                \
    .fail = stream_fail, .release = stream_release
#define CONFIG                                                                                                         \
    .get = true, .post = true, .begin = config_begin, .take = config_take, .end = config_end, .fail = config_fail,     \
    .release = config_release
#define OTLP                                                                                                           \
    .post = true, .begin = otlp_begin, .take = otlp_take, .end = otlp_end, .fail = otlp_fail, .release = otlp_release

const struct route ROUTES[] = {
    {.path = "/", .get = true, .post = true, .open = true, .end = root_end, .fail = root_fail},
    {.path = "/intake/v2/events", STREAM},
    {.path = "/intake/v2/rum/events", .rum = true, STREAM},
    {.path = "/intake/v3/rum/events", .rum = true, STREAM},
    {.path = "/config/v1/agents", CONFIG},
    {.path = "/config/v1/rum/agents", .rum = true, CONFIG},
    {.path = "/v1/traces", .about = &OTLP_TRACES, OTLP},
    {.path = "/v1/metrics", .about = &OTLP_METRICS, OTLP},
    {.path = "/v1/logs", .about = &OTLP_LOGS, OTLP},
    {.path = "/assets/v1/sourcemaps",
     .post = true,
     .begin = sourcemap_begin,
     .take = sourcemap_take,
     .end = sourcemap_end,
     .fail = sourcemap_fail,
     .release = sourcemap_release},
};
const size_t ROUTE_COUNT = sizeof ROUTES / sizeof *ROUTES;

// `/config/v1/agents` and `/config/v1/rum/agents`: the agents' central configuration.
//
// There is none: the answer is APM Server's for a service without one, `{}` with the Etag `"-"`, so that agents cache
// it and keep asking every 30 s. What matters here is who may ask.
#ifndef C_SERVER_CONFIG_H
#define C_SERVER_CONFIG_H

#include "request.h"

void config_begin(struct request *request);
body_sink config_take;
void config_end(struct request *request);
void config_fail(struct request *request, const struct refusal *refusal);
void config_release(struct request *request);

#endif

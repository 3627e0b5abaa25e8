// OTLP over HTTP: `/v1/traces`, `/v1/metrics` and `/v1/logs`, protobuf.
//
// Invariants: every resource is authorized by its own names and admitted as one batch before any of its events is
// accepted. If some resources are refused, the answer is a partial success that says how many events and why; if all
// are, it is the refusal. A request that can't be decoded to its end is refused before anything of it is charged.
#ifndef C_SERVER_OTLP_H
#define C_SERVER_OTLP_H

#include "otlp_signal.h"
#include "request.h"

void otlp_begin(struct request *request);
body_sink otlp_take;
void otlp_end(struct request *request);
void otlp_fail(struct request *request, const struct refusal *refusal);
void otlp_release(struct request *request);

#endif

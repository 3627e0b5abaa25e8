// `POST /intake/…/events`: a stream of events, admitted batch by batch as it is read.
//
// Invariants: the stream is authorized before its first event is accepted, every batch is admitted before any event of
// it is, and an event counts as accepted only once it has been written. Nothing complete is held back while the client
// is waited for. Whatever ends the stream, what was accepted stays accepted and the answer says how many.
#ifndef C_SERVER_STREAM_H
#define C_SERVER_STREAM_H

#include "request.h"

void stream_begin(struct request *request);
body_sink stream_take;
bool stream_pause(struct request *request, struct refusal *refusal);
void stream_end(struct request *request);
void stream_fail(struct request *request, const struct refusal *refusal);
void stream_release(struct request *request);

#endif

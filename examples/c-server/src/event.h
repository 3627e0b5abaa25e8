// The Elastic APM intake protocols, line by line: v2 and RUM v3 (short keys).
//
// Invariants: a line's first key alone decides what it is, and nothing else of the line is taken over. Names are
// strings that aren't empty. An event is written as JSON that any parser reads alike.
#ifndef C_SERVER_EVENT_H
#define C_SERVER_EVENT_H

#include "buffer.h"
#include "refusal.h"
#include <jansson.h>

// One line. All zeros: none.
struct event {
    json_t *document; // owned
    const char *key;  // the first one; lives as long as the document
    json_t *body;     // what it says; an object
};

// Who is speaking: the names that an anonymous client must be allowed to use. Strings of an event, or null.
struct names {
    json_t *agent, *service;
};

// Parses a line. A status of 503 ends the stream, 400 only the event.
bool event_parse(struct event *event, const char *line, size_t size, bool too_long, struct refusal *refusal);
void event_free(struct event *event);

// Reads the names of the stream's first line.
bool event_metadata(const struct event *event, struct names *names, const char **protocol, struct refusal *refusal);

// Calls `visit` for the names by which the event, or a part of it, overrides the stream's: APM Server prefers them, so
// an anonymous client must be allowed to use them too. Those that are not overridden are null. Fails as `visit` does,
// or if the event is malformed (400).
typedef bool names_visitor(void *context, struct names names, struct refusal *refusal);
bool event_names(const struct event *event, names_visitor *visit, void *context, struct refusal *refusal);

// Appends one line for each event that the line holds: a RUM v3 transaction carries its spans and metrics inside. Adds
// their number to `count`. May change the document.
bool event_write(struct event *event, const struct buffer *head, struct buffer *lines, size_t *count,
                 struct refusal *refusal);

#endif

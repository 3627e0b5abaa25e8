package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"unicode/utf8"

	"tollbar"
)

// object is a JSON object. Keys are compared as they are: encoding/json's structs would take "Service" for "service", too.
type object = map[string]any

var eventTypes = map[string]string{
	"transaction": "transaction", "span": "span", "error": "error", "metricset": "metricset", "log": "log", "x": "transaction", "e": "error",
}

// event is one line: an event, or a RUM v3 transaction with its spans and metrics.
type event struct {
	records []record
	// names by which parts of the event override the stream's; empty where they don't.
	names []tollbar.Resource
}

// readMetadata reads the first line: without it the stream can't be read.
func readMetadata(line []byte, tooLong bool) (names tollbar.Resource, protocol string, err error) {
	key, body, err := readLine(line, tooLong)
	if err == nil {
		switch key {
		case "metadata":
			service := child(body, "service")
			names, protocol = tollbar.Resource{Agent: text(child(service, "agent"), "name"), Service: text(service, "name")}, "intake/v2"
		case "m":
			service := child(body, "se")
			names, protocol = tollbar.Resource{Agent: text(child(service, "a"), "n"), Service: text(service, "n")}, "rum/v3"
		default:
			err = shown(line, `"metadata" or "m" required as the first line`)
		}
	}
	if err == nil && (names.Agent == "" || names.Service == "") {
		err = shown(line, "validation error: the names of the service and of the agent are required")
	}
	var invalid *failure
	if errors.As(err, &invalid) {
		invalid.message = "cannot read metadata in stream: " + invalid.message
	}
	return names, protocol, err
}

// readEvent reads one of the lines after the first.
func readEvent(line []byte, tooLong bool) (event, error) {
	key, body, err := readLine(line, tooLong)
	if err != nil {
		return event{}, err
	}
	kind, known := eventTypes[key]
	if !known {
		return event{}, shown(line, "did not recognize object type: "+string(firstOf([]byte(key), 40)))
	}
	var found event
	if found.names, err = overrides(key, body, line); err != nil {
		return event{}, err
	}
	if key == "x" {
		ids := object{"trace_id": body["tid"], "transaction_id": body["id"]}
		for _, nested := range []struct{ key, kind string }{{"y", "span"}, {"me", "metricset"}} {
			items, err := children(body, nested.key, line)
			if err != nil {
				return event{}, err
			}
			for _, item := range items {
				item = maps.Clone(item)
				maps.Copy(item, ids)
				found.records = append(found.records, encoded(nested.kind, item))
			}
			delete(body, nested.key)
		}
	}
	found.records = append([]record{encoded(kind, body)}, found.records...)
	return found, nil
}

func encoded(kind string, body object) record {
	data, err := json.Marshal(body)
	if err != nil {
		data = []byte("null") // what was read can be written
	}
	return record{kind, data}
}

// overrides are the names that an event itself, or a part of it, goes by. APM Server prefers them to the metadata's, so an anonymous client
// must be allowed to use them too.
func overrides(key string, body object, line []byte) (names []tollbar.Resource, err error) {
	add := func(agent, service string) {
		if agent != "" || service != "" {
			names = append(names, tollbar.Resource{Agent: agent, Service: service})
		}
	}
	switch key {
	case "x", "e":
		parts := []object{body}
		if key == "x" {
			spans, err := children(body, "y", line)
			if err != nil {
				return nil, err
			}
			parts = append(parts, spans...)
		}
		for _, part := range parts {
			service := child(child(part, "c"), "se")
			add(text(child(service, "a"), "n"), text(service, "n"))
		}
	case "metricset":
		add("", text(child(body, "service"), "name"))
	case "log":
		add("", text(body, "service.name"))
		add("", text(child(body, "service"), "name"))
	default:
		service := child(child(body, "context"), "service")
		add(text(child(service, "agent"), "name"), text(service, "name"))
	}
	return names, nil
}

// readLine parses a line: a JSON object whose first key says what it is. Nothing else of the line is taken over.
func readLine(line []byte, tooLong bool) (string, object, error) {
	if tooLong {
		return "", nil, shown(line, "event exceeded the permitted size")
	}
	if !utf8.Valid(line) {
		return "", nil, shown(line, "invalid UTF-8: accepted are lines of JSON")
	}
	if !json.Valid(line) {
		return "", nil, shown(line, "invalid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return "", nil, shown(line, "accepted is a JSON object with one key, the event's type")
	}
	key, err := decoder.Token()
	name, isKey := key.(string)
	if err != nil && err != io.EOF || !isKey {
		return "", nil, shown(line, "accepted is a JSON object with one key, the event's type")
	}
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", nil, shown(line, "invalid JSON")
	}
	body, isObject := value.(object)
	if !isObject {
		return "", nil, shown(line, "the event must be a JSON object")
	}
	if !finite(body) {
		return "", nil, shown(line, "a number is out of range")
	}
	return name, body, nil
}

// finite is whether every number is one that any parser reads.
func finite(value any) bool {
	switch value := value.(type) {
	case json.Number:
		_, err := value.Float64()
		return err == nil
	case object:
		for _, inner := range value {
			if !finite(inner) {
				return false
			}
		}
	case []any:
		for _, inner := range value {
			if !finite(inner) {
				return false
			}
		}
	}
	return true
}

func child(parent object, key string) object {
	found, _ := parent[key].(object)
	return found
}

func children(parent object, key string, line []byte) ([]object, error) {
	value := parent[key]
	if value == nil {
		return nil, nil
	}
	list, isList := value.([]any)
	items := make([]object, len(list))
	for i, item := range list {
		found, isObject := item.(object)
		isList = isList && isObject
		items[i] = found
	}
	if !isList {
		return nil, shown(line, "validation error: '"+key+"' must be a list of objects")
	}
	return items, nil
}

func text(parent object, key string) string {
	found, _ := parent[key].(string)
	return found
}

// shown is a failure that shows its sender the beginning of what was refused.
func shown(line []byte, message string) *failure {
	return &failure{http.StatusBadRequest, message, string(bytes.ToValidUTF8(firstOf(line, shownBytes), []byte("\ufffd")))}
}

func firstOf(data []byte, n int) []byte { return data[:min(n, len(data))] }

// Records what the page is told about the agent's requests: it wraps fetch and XMLHttpRequest, changes nothing, and keeps for
// each request to the ingestor what was sent and what a script of this origin may read of the answer.
//
// Invariant: a status and a body stand here only if the browser let the page read them. An answer that lacks its CORS headers
// shows as `error`, whatever its status was on the wire; so a 403 or 429 found here proves CORS on the refusal as well.
// The RUM agent (5.17) sends with `fetch(…, {keepalive: true, credentials: 'omit'})` while the compressed body is under 60 kB,
// with XMLHttpRequest otherwise, and *again* with XMLHttpRequest when fetch throws (that is: when CORS fails).
(() => {
  "use strict";
  const ingestor = new URLSearchParams(location.search).get("ingestor");
  const requests = [];
  let open = 0;

  // The events after the metadata line, and how many of them are transactions: a v2 transaction is followed by its spans on
  // lines of their own, a v3 transaction carries its spans (`y`) and metric sets (`me`) inside. The agent compresses with
  // CompressionStream where there is one.
  async function countEvents(body, encoding) {
    let stream = new Blob([await body]).stream();
    if (encoding) stream = stream.pipeThrough(new DecompressionStream(encoding));
    const text = await new Response(stream).text();
    const lines = text.split("\n").filter((line) => line !== "").slice(1).map((line) => JSON.parse(line));
    const nested = lines.reduce((sum, { x }) => sum + (x?.y?.length ?? 0) + (x?.me?.length ?? 0), 0);
    return { events: lines.length + nested, transactions: lines.filter(({ transaction, x }) => transaction ?? x).length };
  }

  async function record(via, method, url, headers, body, answer) {
    open += 1;
    const entry = { via, method, path: new URL(url).pathname, encoding: headers["content-encoding"] ?? null,
      type: headers["content-type"] ?? null, events: 0, transactions: 0, status: null, body: null, error: null };
    requests.push(entry);
    try {
      if (method === "POST") Object.assign(entry, await countEvents(body, entry.encoding));
      Object.assign(entry, await answer);
    } catch (error) {
      entry.error = String(error);
    } finally {
      open -= 1;
    }
  }

  // The agent wraps this function in turn and passes it one Request object; its body is read from a clone.
  const realFetch = window.fetch;
  window.fetch = function (input, init) {
    const request = new Request(input, init);
    if (!request.url.startsWith(ingestor)) return realFetch(request);
    const body = request.clone().arrayBuffer();
    const answered = realFetch(request);
    const read = answered.then(async (response) => ({ status: response.status, body: await response.clone().text() }));
    void record("fetch", request.method, request.url, Object.fromEntries([...request.headers]), body, read);
    return answered;
  };

  const xhr = XMLHttpRequest.prototype;
  const { open: realOpen, send: realSend, setRequestHeader: realSetRequestHeader } = xhr;
  xhr.open = function (method, url) {
    this.observed = { method, url: String(url), headers: {} };
    return realOpen.apply(this, arguments);
  };
  xhr.setRequestHeader = function (name, value) {
    this.observed.headers[name.toLowerCase()] = value;
    return realSetRequestHeader.apply(this, arguments);
  };
  xhr.send = function (body) {
    const { method, url, headers } = this.observed;
    if (url.startsWith(ingestor)) {
      const read = new Promise((resolve, reject) => {
        this.addEventListener("load", () => resolve({ status: this.status, body: this.responseText }));
        for (const failure of ["error", "timeout", "abort"]) this.addEventListener(failure, () => reject(new Error(failure)));
      });
      void record("xhr", method, url, headers, body, read);
    }
    return realSend.apply(this, arguments);
  };

  window.observed = { requests, idle: () => open === 0 };
})();

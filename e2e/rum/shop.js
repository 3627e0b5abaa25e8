// The page's own code: starts the RUM agent as the query asks, makes custom transactions, and says when all of them and the
// page load have been sent and answered (`window.finished`).
(async () => {
  "use strict";
  const query = new URLSearchParams(location.search);
  const custom = Number(query.get("transactions"));
  const started = performance.now();

  const apm = window.elasticApm.init({
    serviceName: query.get("service"),
    serverUrl: query.get("ingestor"),
    apiVersion: Number(query.get("api")),
    centralConfig: query.get("config") === "1",
    eventsLimit: 100_000, // the agent's own limit of 80 a minute would hide the server's
    logLevel: "error",
    // Nothing but the page load and what is made below: the number of transactions is known.
    disableInstrumentations: ["click", "eventtarget", "history", "fetch", "xmlhttprequest", "error"],
    monitorLongtasks: false,
  });

  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  let ended = 0;
  apm.observe("transaction:end", () => (ended += 1));

  if (document.readyState !== "complete") await new Promise((resolve) => addEventListener("load", resolve));
  const transactions = Array.from({ length: custom }, (_, i) => apm.startTransaction(`demo ${i}`, "custom", { managed: false }));
  await pause(5); // a transaction that took no time at all is thrown away by the agent
  for (const transaction of transactions) transaction.end();

  // The agent ends the page load a second after the load event and flushes its queue every half second.
  const sent = () => window.observed.requests.reduce((sum, request) => sum + request.transactions, 0);
  const patience = Number(query.get("patience"));
  while (performance.now() - started < patience) {
    if (ended >= custom + 1 && sent() >= custom + 1 && window.observed.idle()) break;
    await pause(50);
  }
  await pause(700); // one more flush interval: nothing else may come
  window.finished = { ended, requests: window.observed.requests };
})();

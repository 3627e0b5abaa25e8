// Opens pages with the RUM agent in headless Chromium and prints, as JSON, what the pages and the browser saw.
//
//   node drive.mjs '{"ingestor": "http://127.0.0.1:8200", "pages": [{"service": "shop", "api": 3, "transactions": 4}]}'
//
// The pages are served from another origin than the ingestor's, so every request of the agent is cross-origin; its intake requests
// carry Content-Encoding and a Content-Type that no form can send, so Chromium asks with OPTIONS first.
// Each page has a browser context of its own; Chromium gets a fresh profile that Playwright deletes at the end.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const here = new URL("./", import.meta.url);
const served = {
  "/": ["page.html", "text/html"],
  "/observer.js": ["observer.js", "text/javascript"],
  "/shop.js": ["shop.js", "text/javascript"],
  "/elastic-apm-rum.umd.min.js": ["node_modules/@elastic/apm-rum/dist/bundles/elastic-apm-rum.umd.min.js", "text/javascript"],
};

async function servePages() {
  const server = createServer(async (request, response) => {
    const file = served[new URL(request.url, "http://page").pathname];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": file[1], "cache-control": "no-store" }).end(await readFile(new URL(file[0], here)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

async function visit(browser, origin, ingestor, page) {
  const patience = page.patience ?? 15_000;
  const context = await browser.newContext();
  try {
    const tab = await context.newPage();
    const wire = [];
    tab.on("response", (response) => response.url().startsWith(ingestor) && wire.push(response.status()));
    const complaints = [];
    tab.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
    tab.on("pageerror", (error) => complaints.push(`page: ${error}`));
    const query = new URLSearchParams({ ingestor, patience, service: page.service, api: page.api,
      transactions: page.transactions, config: page.config ? 1 : 0 });
    await tab.goto(`${origin}/?${query}`);
    const finished = await tab.waitForFunction(() => window.finished, undefined, { timeout: patience + 15_000 });
    return { service: page.service, ...(await finished.jsonValue()), wire, complaints };
  } finally {
    await context.close();
  }
}

const { ingestor, pages, executable = "/usr/bin/chromium" } = JSON.parse(process.argv[2]);
const site = await servePages();
const browser = await chromium.launch({
  executablePath: executable,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const visits = [];
  for (const page of pages) {
    if (page.after) await new Promise((resolve) => setTimeout(resolve, page.after));
    visits.push(await visit(browser, site.origin, ingestor, page));
  }
  console.log(JSON.stringify({ browser: browser.version(), visits }, null, 1));
} finally {
  await browser.close();
  site.close();
}

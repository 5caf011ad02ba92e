// Opens boards in a headless Chromium, writes a picture of each, and says of every panel what it painted.
//   node shoot.mjs JOB.json     {prometheus, loki, boards, chromium, pages: [{board, theme, from, to, variables, all, width, height, picture}]}
// Standard output is JSON: a list per page of {title, type, status, error, box, painted, cut}.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const job = JSON.parse(await readFile(process.argv[2], 'utf8'));
const PAGE = '<!doctype html><meta charset="utf-8"><body style="margin:0"><div id="page"></div><script src="/page.js"></script>';

async function answer(request, response) {
  const { pathname, search } = new URL(request.url, 'http://localhost');
  const upstream = pathname.startsWith('/api/') ? job.prometheus : pathname.startsWith('/loki/') ? job.loki : null;
  if (upstream) {
    const given = await fetch(`${upstream}${pathname}${search}`);
    response.writeHead(given.status, { 'content-type': 'application/json' }).end(await given.text());
  } else if (pathname === '/page.js') {
    response.end(await readFile(new URL('dist/page.js', import.meta.url)));
  } else if (pathname.endsWith('.svg')) {
    const icon = new URL(`node_modules/@grafana/ui/dist${pathname.replace('/build/', '/')}`, import.meta.url);
    response.setHeader('content-type', 'image/svg+xml');
    response.end(await readFile(icon));
  } else if (pathname.startsWith('/boards/')) {
    response.end(await readFile(join(job.boards, pathname.slice('/boards/'.length))));
  } else if (/\.(?:woff2|ico)$/.test(pathname)) {
    response.writeHead(204).end(); // the machine's own Inter is used
  } else if (pathname === '/') {
    response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => answer(request, response).catch((error) => response.writeHead(500).end(String(error))));
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const address = `http://127.0.0.1:${server.address().port}`;

/** In the page: what each panel shows. A canvas has painted where any pixel is not transparent. */
function look() {
  const inked = (canvas) => {
    const { width, height } = canvas;
    const pixels = width && height ? canvas.getContext('2d').getImageData(0, 0, width, height).data : [];
    let count = 0;
    for (let at = 3; at < pixels.length; at += 4) {
      count += pixels[at] > 0;
    }
    return count;
  };
  return [...document.querySelectorAll('[data-panel]')].map((panel) => {
    const { x, y, width, height } = panel.getBoundingClientRect();
    const { panel: title, type, status, error } = panel.dataset;
    const canvases = [...panel.querySelectorAll('canvas')].map(inked);
    return { title, type, status, error, box: { x, y, width, height }, painted: Math.max(0, ...canvases), text: panel.innerText };
  });
}

const browser = await puppeteer.launch({
  executablePath: job.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none', '--force-color-profile=srgb'],
});
const told = [];
for (const { board, theme, from, to, all, width, height, picture, variables } of job.pages) {
  const page = await browser.newPage();
  // "Since" is told from the end of the day that is shown.
  await page.evaluateOnNewDocument((now) => (Date.now = () => now), to * 1000);
  const troubles = [];
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && troubles.push(`${message.text()} ${message.location().url}`));
  await page.setViewport({ width, height });
  await page.goto(`${address}/?${new URLSearchParams({ board, theme, from, to, variables: JSON.stringify(variables ?? {}), ...(all ? { all: '1' } : {}) })}`);
  await page.waitForSelector('[data-panel]', { timeout: 60_000 });
  await page.waitForFunction(() => !document.querySelector('[data-status=loading]'), { timeout: 120_000 });
  await new Promise((settled) => setTimeout(settled, 500));
  if (picture) {
    await page.screenshot({ path: picture, fullPage: false });
  }
  told.push({ board, theme, troubles, panels: await page.evaluate(look) });
  await page.close();
}
await browser.close();
server.close();
console.log(JSON.stringify(told));

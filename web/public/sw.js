// Keeps every file of the page, so that it opens without a network after the first time.
// The page registers it with the version of its files (files.json); another version is another worker.

const CACHE = `page-${new URL(self.location.href).searchParams.get("v")}`;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const { files } = await (await fetch("files.json", { cache: "no-cache" })).json();
    await (await caches.open(CACHE)).addAll(files);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith((async () => {
    const kept = await (await caches.open(CACHE)).match(event.request, { ignoreSearch: true });
    return kept ?? fetch(event.request);
  })());
});

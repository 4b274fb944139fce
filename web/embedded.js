// Binary data in the page.

/** The bytes of an element whose text is gzipped data in base64, as `html::embedded` writes it. */
async function embedded(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** An embedded JSON value. */
async function embeddedJson(id) { return JSON.parse(new TextDecoder().decode(await embedded(id))); }
